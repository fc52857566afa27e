package script_test

import (
	"context"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
)

// cases is what a world has besides, for the numbered cases of PyBal's
// behaviour in pybal-*.txtar.
type cases struct {
	said  int // how many lines of the dry-run plane a script has seen
	link  *link
	doors map[string]*door
	peer  *peer
}

// withCases adds what those scripts can do beyond the others:
//
//	dryrun FILE               run lbd on the dry-run plane with that
//	                          configuration, its log in lbd.log
//	ipvs LINE                 wait for the plane's next line, which must be
//	                          this one; without a line: it has said nothing more
//	unkey KEY                 delete a raw key below /conftool/v1/
//	burst COUNT KEY VALUE     store beCOUNT…be1 below KEY, one write each
//	within TIME URL REGEXP    await, but not that patiently
//	asked beN FILE            the last request that server saw
//	etcdlink open|cut|hang|resume|compact|500|empty|reset
//	                          a link to the store at $NET.201:2379
//	door NAME VERB            a bare TCP server; see door
//	peer ADDR:PORT HOLD       a BGP peer that shows what it hears; see peer
func withCases(all map[string]func(*testscript.TestScript, bool, []string)) map[string]func(*testscript.TestScript, bool, []string) {
	maps.Copy(all, map[string]func(*testscript.TestScript, bool, []string){
		"dryrun":   func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).dryRun(ts, a[0]) },
		"ipvs":     func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).ipvs(ts, strings.Join(a, " ")) },
		"unkey":    func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).unkey(ts, a[0]) },
		"burst":    func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).burst(ts, a[0], a[1], a[2]) },
		"asked":    func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).asked(ts, a[0], a[1]) },
		"within":   within,
		"etcdlink": func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).etcdLink(ts, a[0]) },
		"door":     func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).door(ts, a[0], a[1:]) },
		"peer":     func(ts *testscript.TestScript, neg bool, a []string) { worldOf(ts).peerDo(ts, neg, a) },
	})
	return all
}

func (c *cases) close() {
	if c.link != nil {
		c.link.close()
	}
	for _, d := range c.doors {
		d.shut()
		d.end(false)
	}
	if c.peer != nil {
		c.peer.close()
	}
}

// dryRun starts lbd on the dry-run plane. What that says goes to the file ipvs.
func (w *world) dryRun(ts *testscript.TestScript, config string) {
	log, err := os.Create(ts.MkAbs("lbd.log"))
	ts.Check(err)
	defer log.Close()
	out, err := os.Create(ts.MkAbs("ipvs"))
	ts.Check(err)
	defer out.Close()
	program := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "lbd")
	w.lbd = exec.Command(program, "--config", ts.MkAbs(config), "--plane", "dry-run")
	w.lbd.Stdout, w.lbd.Stderr = out, log
	w.cases.said = 0
	ts.Check(w.lbd.Start())
}

// ipvs compares the next line of the plane, or that there is none.
func (w *world) ipvs(ts *testscript.TestScript, want string) {
	deadline := time.Now().Add(20 * time.Second)
	for {
		lines := strings.SplitAfter(ts.ReadFile("ipvs"), "\n")
		news := lines[w.cases.said : len(lines)-1] // the last one is not complete
		switch {
		case len(news) == 0 && want == "":
			return
		case len(news) > 0 && news[0] == want+"\n":
			w.cases.said++
			return
		case len(news) > 0 || time.Now().After(deadline):
			ts.Fatalf("the plane says\n%swant\n%s\nall it said:\n%s", strings.Join(news, ""), want, strings.Join(lines, ""))
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}

func (w *world) unkey(ts *testscript.TestScript, key string) {
	w.store3(ts, func(ctx context.Context, c *clientv3.Client) error {
		_, err := c.Delete(ctx, "/conftool/v1/"+key)
		return err
	})
}

func (w *world) burst(ts *testscript.TestScript, count, key, value string) {
	n := 0
	_, err := fmt.Sscan(count, &n)
	ts.Check(err)
	w.store3(ts, func(ctx context.Context, c *clientv3.Client) error {
		for i := n; i > 0; i-- {
			if _, err := c.Put(ctx, fmt.Sprintf("/conftool/v1/%s/be%d", key, i), value); err != nil {
				return err
			}
		}
		return nil
	})
}

// store3 does something at the store itself, past any link.
func (w *world) store3(ts *testscript.TestScript, do func(context.Context, *clientv3.Client) error) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ts.Check(do(ctx, client))
}

// within awaits an answer that must come in a given time.
func within(ts *testscript.TestScript, _ bool, args []string) {
	limit, err := time.ParseDuration(args[0])
	ts.Check(err)
	start := time.Now()
	await(ts, false, args[1:])
	if took := time.Since(start); took > limit {
		ts.Fatalf("%s took %v, more than %v", args[1], took, limit)
	}
}

func (w *world) asked(ts *testscript.TestScript, name, file string) {
	b, ok := w.servers[name]
	if !ok {
		ts.Fatalf("no backend %q", name)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	ts.Check(os.WriteFile(ts.MkAbs(file), []byte(b.asked), 0o644))
}
