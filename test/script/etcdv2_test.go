package script_test

import (
	"net/url"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/sluice-lb/sluice/internal/etcdv2/etcdv2test"
)

// etcdV2Commands are what stories about a conftool store need, on the API it is
// on. The condition [etcdv2] tells whether there can be one:
//
//	etcdv2 start               a real etcd 3.5 at $V2
//	etcdv2 stop                end it
//	etcdv2 put KEY VALUE       store a value below /conftool/v1/
//	etcdv2 dir KEY             make a directory there
//	etcdv2 delete KEY          delete a key there
//	etcdv2 secure PASSWORD     from now on only ada, who says that, may read
func etcdV2Commands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"etcdv2": func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).etcdV2(ts, a) },
	}
}

func (w *world) etcdV2(ts *testscript.TestScript, args []string) {
	const below = "/conftool/v1/"
	switch args[0] {
	case "start":
		program, err := w.builder.Program()
		ts.Check(err)
		w.v2, err = etcdv2test.Start(etcdv2test.Options{Program: program, Dir: filepath.Join(w.dir, "etcdv2-data"), Listen: w.etcdV2Addr()})
		ts.Check(err)
	case "stop":
		w.v2.Close()
		w.v2 = nil
	case "put":
		ts.Check(w.v2.Put(below+args[1], args[2]))
	case "dir":
		ts.Check(w.v2.Set(below+args[1], url.Values{"dir": {"true"}}))
	case "delete":
		ts.Check(w.v2.Delete(below + args[1]))
	case "secure":
		ts.Check(w.v2.Secure("sesame", "/conftool/v1", map[string]string{"ada": args[1]}))
	default:
		ts.Fatalf("etcdv2: no such verb %q", args[0])
	}
}

func (w *world) etcdV2Addr() string { return w.net + ".210:4001" }

// haveEtcdV2 tells whether the server can be built. In CI it has to be.
func haveEtcdV2(b *etcdv2test.Builder) (bool, error) {
	_, err := b.Program()
	if os.Getenv("CI") == "true" {
		return err == nil, err
	}
	return err == nil, nil
}
