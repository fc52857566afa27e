package script_test

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/osrg/gobgp/v4/pkg/server"
	"github.com/rogpeppe/go-internal/testscript"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"

	"github.com/sluice-lb/sluice/internal/etcdv2/etcdv2test"
)

// commands are what scripts can do beyond running programs:
//
//	etcd start|kill|stop|cont|wipe   the store: run it, kill it, SIGSTOP, SIGCONT,
//	                                 or replace it by an empty one
//	key KEY VALUE                    store a raw value below /conftool/v1/
//	backends N                       N web servers be1…beN on $NET.N:8080, and a
//	                                 hosts file that knows them
//	backend beN ok|fail|stop|…       what that server answers; hang, drip, or a
//	                                 status by its number
//	fakelb ADDR BEHAVIOUR            a load balancer's status server that
//	                                 hangs, answers 500, 404, garbage, …
//	poolweb ADDR BEHAVIOUR           a web server with a pool file: a file's name,
//	                                 or refuse, reset, hang, 404, 500, empty
//	await URL REGEXP [HEADER…]       GET until the body matches, 20 s at most
//	fetch URL FILE [HEADER…]         GET or METHOD:URL once; status line, chosen
//	                                 headers and body go to FILE
//	spread URL N                     N requests; the distinct bodies to stdout
//	router ADDR                      a BGP router at ADDR:1790, AS 64601
//	[!] route PREFIX                 wait until the router has (has not) the route
//	lbd FILE                         run lbd on the userspace plane with that
//	                                 configuration, its log in lbd.log
//	signal HUP|TERM                  send it to that lbd; TERM waits for its end
//	members NAME[=POOL,…]…           wait until exactly these balancers live, and
//	                                 serve exactly these pools
//	expand FILE                      expand $NET, $ETCD, $WORK in FILE
func commands() map[string]func(*testscript.TestScript, bool, []string) {
	all := operatorCommands()
	maps.Copy(all, historyCommands())
	maps.Copy(all, etcdV2Commands())
	maps.Copy(all, map[string]func(*testscript.TestScript, bool, []string){
		"etcd":     func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).etcd(ts, a[0]) },
		"key":      func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).put(ts, a[0], a[1]) },
		"backends": func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).backends(ts, a[0]) },
		"backend":  func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).behave(ts, a[0], a[1]) },
		"fakelb":   func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).fakeLB(ts, a[0], a[1]) },
		"poolweb":  func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).poolWeb(ts, a[0], a[1]) },
		"members":  func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).members(ts, a) },
		"await":    await,
		"fetch":    fetch,
		"spread":   spread,
		"expand":   expand,
		"lbd":      func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).startLBD(ts, a[0]) },
		"signal":   func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).signal(ts, a[0]) },
		"router":   func(ts *testscript.TestScript, _ bool, a []string) { worldOf(ts).startRouter(ts, a[0]) },
		"route":    func(ts *testscript.TestScript, neg bool, a []string) { worldOf(ts).awaitRoute(ts, neg, a[0]) },
	})
	return all
}

// world is what surrounds the programs in one script.
type world struct {
	net, dir string
	store    *exec.Cmd
	lbd      *exec.Cmd
	servers  map[string]*backend
	router   *server.BgpServer
	fakes    []io.Closer
	bot      *bot
	marked   int64 // a revision of the store
	// listeners are the programs beside the script, by name.
	listeners map[string]*listener
	webs      map[string][]io.Closer // by address
	builder   *etcdv2test.Builder
	v2        *etcdv2test.Server
	cases     cases
}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *world { return ts.Value(worldKey{}).(*world) }

func (w *world) etcdAddr() string { return w.net + ".200:2379" }

func (w *world) close() {
	if w.lbd != nil {
		_ = w.lbd.Process.Kill()
		_ = w.lbd.Wait()
	}
	if w.store != nil {
		_ = w.store.Process.Kill()
		_, _ = w.store.Process.Wait()
	}
	if w.v2 != nil {
		w.v2.Close()
	}
	for _, b := range w.servers {
		b.become("stop")
		b.stop()
	}
	for _, f := range w.fakes {
		_ = f.Close()
	}
	for _, web := range w.webs {
		for _, c := range web {
			_ = c.Close()
		}
	}
	if w.router != nil {
		w.router.Stop()
	}
	w.cases.close()
}

// etcd controls the store's process.
func (w *world) etcd(ts *testscript.TestScript, verb string) {
	switch verb {
	case "start":
		w.start(ts)
	case "kill":
		ts.Check(w.store.Process.Kill())
		_, _ = w.store.Process.Wait()
		w.store = nil
	case "stop":
		ts.Check(w.store.Process.Signal(syscall.SIGSTOP))
	case "cont":
		ts.Check(w.store.Process.Signal(syscall.SIGCONT))
	case "wipe":
		w.etcd(ts, "kill")
		ts.Check(os.RemoveAll(w.data()))
		w.start(ts)
	default:
		ts.Fatalf("etcd: no such verb %q", verb)
	}
}

func (w *world) data() string { return filepath.Join(w.dir, "etcd-data") }

func (w *world) start(ts *testscript.TestScript) {
	program, err := exec.LookPath("devetcd")
	if err != nil {
		program = filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[1], "devetcd")
	}
	w.store = exec.Command(program, w.etcdAddr(), w.data())
	w.store.Stderr = os.Stderr
	ts.Check(w.store.Start())
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	_, err = client.Get(ctx, "ready")
	ts.Check(err)
}

func (w *world) client(ts *testscript.TestScript) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: []string{"http://" + w.etcdAddr()}, Logger: zap.NewNop()})
	ts.Check(err)
	return client
}

func (w *world) put(ts *testscript.TestScript, key, value string) {
	client := w.client(ts)
	defer client.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err := client.Put(ctx, "/conftool/v1/"+key, value)
	ts.Check(err)
}

// startLBD runs lbd where a script has to send it more than SIGINT.
func (w *world) startLBD(ts *testscript.TestScript, config string) {
	log, err := os.Create(ts.MkAbs("lbd.log"))
	ts.Check(err)
	defer log.Close()
	program := filepath.Join(filepath.SplitList(ts.Getenv("PATH"))[0], "lbd")
	w.lbd = exec.Command(program, "--config", ts.MkAbs(config), "--plane", "userspace")
	w.lbd.Stderr = log
	ts.Check(w.lbd.Start())
}

func (w *world) signal(ts *testscript.TestScript, name string) {
	ts.Check(w.lbd.Process.Signal(map[string]os.Signal{"HUP": syscall.SIGHUP, "TERM": syscall.SIGTERM}[name]))
	if name == "TERM" {
		ts.Check(w.lbd.Wait())
		w.lbd = nil
	}
}

// backend is one web server whose answers a script chooses.
type backend struct {
	name, addr string
	mu         sync.Mutex
	how        string        // what to answer
	changed    chan struct{} // closed when that is something else
	asked      string        // the last request
	server     *http.Server
}

func (w *world) backends(ts *testscript.TestScript, count string) {
	w.servers = map[string]*backend{}
	var hosts strings.Builder
	n := 0
	_, err := fmt.Sscan(count, &n)
	ts.Check(err)
	for i := 1; i <= n; i++ {
		b := &backend{name: fmt.Sprintf("be%d", i), addr: fmt.Sprintf("%s.%d:8080", w.net, i), changed: make(chan struct{})}
		w.servers[b.name] = b
		fmt.Fprintf(&hosts, "%s.%d %s\n", w.net, i, b.name)
		ts.Check(b.start())
	}
	ts.Check(os.WriteFile(filepath.Join(w.dir, "hosts"), []byte(hosts.String()), 0o644))
}

func (w *world) behave(ts *testscript.TestScript, name, how string) {
	b, ok := w.servers[name]
	if !ok {
		ts.Fatalf("no backend %q", name)
	}
	b.become(how)
	if how == "stop" {
		b.stop()
		return
	}
	if b.server == nil {
		ts.Check(b.start())
	}
}

func (b *backend) start() error {
	l, err := net.Listen("tcp", b.addr)
	if err != nil {
		return err
	}
	b.server = &http.Server{Handler: b}
	go func(s *http.Server) { _ = s.Serve(l) }(b.server)
	return nil
}

func (b *backend) stop() {
	if b.server != nil {
		_ = b.server.Close()
		b.server = nil
	}
}

// await gets a URL until its body matches.
func await(ts *testscript.TestScript, neg bool, args []string) {
	pattern := regexp.MustCompile(args[1])
	deadline := time.Now().Add(20 * time.Second)
	for {
		_, _, body, err := request(args[0], args[2:])
		if err == nil && pattern.MatchString(body) != neg {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("await %s: never matched %s; last answer (error %v):\n%s", args[0], args[1], err, body)
		}
		time.Sleep(20 * time.Millisecond) // a pause between questions, not a wait for an outcome
	}
}

// fetch writes one answer to a file.
func fetch(ts *testscript.TestScript, _ bool, args []string) {
	status, header, body, err := request(args[0], args[2:])
	ts.Check(err)
	var out strings.Builder
	fmt.Fprintln(&out, status)
	for _, name := range []string{"Allow", "Content-Type"} {
		if v := header.Get(name); v != "" {
			fmt.Fprintf(&out, "%s: %s\n", name, v)
		}
	}
	fmt.Fprintf(&out, "\n%s", body)
	if body != "" && !strings.HasSuffix(body, "\n") {
		out.WriteString("\n(no final newline)\n")
	}
	ts.Check(os.WriteFile(ts.MkAbs(args[1]), []byte(out.String()), 0o644))
}

// spread asks n times, over new connections, and prints the distinct answers.
func spread(ts *testscript.TestScript, _ bool, args []string) {
	n := 0
	_, err := fmt.Sscan(args[1], &n)
	ts.Check(err)
	seen := map[string]bool{}
	for range n {
		_, _, body, err := request(args[0], nil)
		if err != nil {
			body = "no answer\n"
		}
		if !seen[body] {
			seen[body] = true
		}
	}
	var all []string
	for body := range seen {
		all = append(all, strings.TrimSpace(body))
	}
	ts.Check(os.WriteFile(ts.MkAbs("spread"), []byte(sorted(all)), 0o644))
}

// request sends one request over a connection of its own. The URL may have a
// method before it, "POST:http://…"; header lines are "Name: value".
func request(url string, headers []string) (status string, header http.Header, body string, err error) {
	method := http.MethodGet
	if m, rest, ok := strings.Cut(url, ":"); ok && !strings.HasPrefix(rest, "//") {
		method, url = m, rest
	}
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		return "", nil, "", err
	}
	for _, line := range headers {
		name, value, _ := strings.Cut(line, ": ")
		req.Header.Set(name, value)
	}
	client := &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return "", nil, "", err
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	return resp.Status, resp.Header, string(data), err
}
