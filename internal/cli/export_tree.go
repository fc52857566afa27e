package cli

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"

	"github.com/sluice-lb/sluice/internal/poolfile"
	"github.com/sluice-lb/sluice/pkg/objects"
)

// treeMark is the first line of every file of a tree. A file without it is
// somebody's own.
const treeMark = "# Written by confctl export, which replaces it the next time.\n"

// treeFile is one file of a tree, by its path below the directory.
type treeFile struct {
	name string
	data []byte
}

// typeFiles returns a type's files: nodes have one for each site, other types
// have one. It wants nothing where there are no objects.
func typeFiles(t *objects.Type, list []objects.Object) ([]treeFile, error) {
	by := map[string][]objects.Key{}
	for _, o := range list {
		name := treeFileName(t, o.Key)
		by[name] = append(by[name], o.Key)
	}
	if len(list) == 0 {
		by[t.Name+".yaml"] = nil
	}
	var files []treeFile
	for name, keys := range by {
		data, err := t.WriteTree(keys)
		if err != nil {
			return nil, err
		}
		files = append(files, treeFile{path.Join(t.Name, name), append([]byte(treeMark), data...)})
	}
	slices.SortFunc(files, func(a, b treeFile) int { return bytes.Compare([]byte(a.name), []byte(b.name)) })
	return files, nil
}

// siteName is the name of a site that can be a file's.
var siteName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// treeFileName is the file of one key. sync does not care for names, and reads
// all files of a type as one.
func treeFileName(t *objects.Type, k objects.Key) string {
	if t.Name == objects.Node().Name && len(t.Tags) > 0 {
		if site, _ := t.Tag(k, t.Tags[0]); siteName.MatchString(site) {
			return site + ".yaml"
		}
	}
	return t.Name + ".yaml"
}

// makeDir makes a directory, but not those it would lie in: that is where a
// misspelt path shows.
func makeDir(dir string) error {
	err := os.Mkdir(dir, 0o755)
	if errors.Is(err, fs.ErrExist) {
		return nil
	}
	if pathErr, ok := errors.AsType[*fs.PathError](err); ok {
		return fmt.Errorf("make directory %s: %w", dir, pathErr.Err)
	}
	return err
}

// writeTree replaces the files of a tree, each as a whole, and then removes those
// an earlier export has left. Before the first it looks at all there are: one of
// somebody's own, and nothing is written.
func writeTree(dir *poolfile.Dir, types []*objects.Type, files []treeFile) error {
	var stale []string
	for _, t := range types {
		old, err := earlier(dir, t.Name)
		if err != nil {
			return fmt.Errorf("%w: nothing written", err)
		}
		for _, name := range old {
			if !slices.ContainsFunc(files, func(f treeFile) bool { return f.name == name }) {
				stale = append(stale, name)
			}
		}
	}
	for i, f := range files {
		if _, err := dir.Replace(f.name, f.data); err != nil {
			return fmt.Errorf("%w: %d of %d files are written", err, i, len(files))
		}
	}
	for _, name := range stale {
		if err := dir.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// earlier returns the files of a type that an earlier export has written. Any
// other that sync would read is an error.
func earlier(dir *poolfile.Dir, typeName string) ([]string, error) {
	entries, err := fs.ReadDir(dir.FS(), typeName)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		name := path.Join(typeName, e.Name())
		if path.Ext(name) != ".yaml" || e.Name()[0] == '.' {
			continue
		}
		data, err := dir.Read(name)
		if err != nil {
			return nil, err
		}
		if !bytes.HasPrefix(data, []byte(treeMark)) {
			return nil, fmt.Errorf("%s is there and of no export", name)
		}
		names = append(names, name)
	}
	return names, nil
}
