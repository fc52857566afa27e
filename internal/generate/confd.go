package generate

import (
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"text/template"

	"github.com/sluice-lb/sluice/pkg/state"
)

// KVPair is a key and its value, as confd's get and gets return them.
type KVPair struct{ Key, Value string }

// tree is what confd's functions see: all keys below a path, each with "/"
// before it, and their values.
type tree struct {
	keys   []string // sorted
	values map[string]string
}

func newTree(snap state.Snapshot) *tree {
	t := &tree{values: make(map[string]string, len(snap.Entries))}
	for _, e := range snap.Entries {
		key := "/" + e.Key
		t.keys = append(t.keys, key)
		t.values[key] = string(e.Value)
	}
	slices.Sort(t.keys)
	return t
}

func (t *tree) functions() template.FuncMap {
	return template.FuncMap{
		"exists": t.exists, "get": t.get, "getv": t.getv, "gets": t.gets, "getvs": t.getvs, "ls": t.ls, "lsdir": t.lsdir,
	}
}

// at returns a key in the form keys have.
func at(key string) string { return path.Clean("/" + key) }

func (t *tree) exists(key string) bool {
	_, ok := t.values[at(key)]
	return ok
}

func (t *tree) get(key string) (KVPair, error) {
	key = at(key)
	v, ok := t.values[key]
	if !ok {
		return KVPair{}, fmt.Errorf("key %s does not exist", key)
	}
	return KVPair{key, v}, nil
}

// getv returns a value, or the first of the defaults where there is none.
func (t *tree) getv(key string, defaults ...string) (string, error) {
	kv, err := t.get(key)
	if err != nil && len(defaults) > 0 {
		return defaults[0], nil
	}
	return kv.Value, err
}

// gets returns the pairs whose keys match a pattern, in which "*" stands for
// what is between two slashes.
func (t *tree) gets(pattern string) ([]KVPair, error) {
	pairs := []KVPair{}
	for _, key := range t.keys {
		ok, err := path.Match(pattern, key)
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", pattern, err)
		}
		if ok {
			pairs = append(pairs, KVPair{key, t.values[key]})
		}
	}
	return pairs, nil
}

func (t *tree) getvs(pattern string) ([]string, error) {
	pairs, err := t.gets(pattern)
	values := make([]string, len(pairs))
	for i, kv := range pairs {
		values[i] = kv.Value
	}
	return values, err
}

// ls returns the names right below a path, sorted. A key is its own listing.
func (t *tree) ls(dir string) []string { return t.list(dir, false) }

// lsdir returns those names that have others below them.
func (t *tree) lsdir(dir string) []string { return t.list(dir, true) }

func (t *tree) list(dir string, dirs bool) []string {
	names := []string{}
	if dir = at(dir); t.exists(dir) && !dirs {
		names = append(names, path.Base(dir))
	}
	below := strings.TrimSuffix(dir, "/") + "/"
	first, _ := slices.BinarySearch(t.keys, below)
	for _, key := range t.keys[first:] {
		rest, ok := strings.CutPrefix(key, below)
		if !ok {
			break
		}
		if name, _, deeper := strings.Cut(rest, "/"); deeper || !dirs {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// textFunctions are confd's functions that have nothing to do with the store,
// as far as they read nothing else, and toJSON.
func textFunctions() template.FuncMap {
	return template.FuncMap{
		"base": path.Base, "dir": path.Dir, "split": strings.Split, "join": join,
		"contains": strings.Contains, "replace": strings.Replace, "trimSuffix": strings.TrimSuffix,
		"toLower": strings.ToLower, "toUpper": strings.ToUpper, "parseBool": strconv.ParseBool, "atoi": strconv.Atoi,
		"json": parseJSON[map[string]any], "jsonArray": parseJSON[[]any], "toJSON": toJSON,
	}
}

// parseJSON reads JSON; its numbers are float64, as in confd.
func parseJSON[T any](text string) (v T, err error) {
	if err := json.Unmarshal([]byte(text), &v); err != nil {
		return v, fmt.Errorf("not JSON as wanted: %w", err)
	}
	return v, nil
}

// toJSON writes a value as JSON on one line.
func toJSON(v any) (string, error) {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(v)
	return strings.TrimSuffix(b.String(), "\n"), err
}

// join puts strings together, be they of split or of jsonArray.
func join(list any, sep string) (string, error) {
	switch list := list.(type) {
	case []string:
		return strings.Join(list, sep), nil
	case []any:
		texts := make([]string, len(list))
		for i, item := range list {
			texts[i] = fmt.Sprint(item)
		}
		return strings.Join(texts, sep), nil
	}
	return "", fmt.Errorf("join: a %T is no list", list)
}
