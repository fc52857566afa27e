package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Ports, chosen away from those a developer's machine is likely to use.
const (
	etcdPort   = 12379
	toyPort    = 17080
	statusPort = 19090
)

const (
	toyCount      = 6
	balancerCount = 2
	// toyTags are dc, cluster and service of the toy pool.
	toyTags = "sandbox/web/http"
)

// plan says where everything is.
type plan struct {
	dir       string
	etcd      string // host:port
	pool      string // the balancers' name of the pool
	toys      []toyServer
	balancers []toyBalancer
}

type toyServer struct {
	unit string // "web1"
	host string // "web1.sandbox"
	ip   string
}

type toyBalancer struct {
	name   string
	vip    string // host:port
	status string // host:port
	conf   string // path of its pybal.conf
	log    string
}

func newPlan(net, dir string) plan {
	p := plan{dir: dir, etcd: fmt.Sprintf("%s.0.1:%d", net, etcdPort), pool: fmt.Sprintf("web_%d", toyPort)}
	for i := 1; i <= toyCount; i++ {
		unit := fmt.Sprintf("web%d", i)
		p.toys = append(p.toys, toyServer{unit: unit, host: unit + ".sandbox", ip: fmt.Sprintf("%s.1.%d", net, i)})
	}
	for i := 1; i <= balancerCount; i++ {
		name := fmt.Sprintf("lb%d", i)
		ip := fmt.Sprintf("%s.2.%d", net, i)
		p.balancers = append(p.balancers, toyBalancer{
			name:   name,
			vip:    fmt.Sprintf("%s:%d", ip, toyPort),
			status: fmt.Sprintf("%s:%d", ip, statusPort),
			conf:   filepath.Join(dir, name+".conf"),
			log:    filepath.Join(dir, name+".log"),
		})
	}
	return p
}

func (p plan) path(name string) string { return filepath.Join(p.dir, name) }

// write writes every file the programs need: configurations, the catalog, the
// hosts file, wrappers as a site would install them, and the shell environment.
func (p plan) write(controlURL string) error {
	if err := os.MkdirAll(p.path("bin"), 0o755); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find own program: %w", err)
	}
	link := p.path(filepath.Join("bin", controlProgram))
	_ = os.Remove(link) // left by a kept directory
	if err := os.Symlink(self, link); err != nil {
		return err
	}
	files := map[string]string{
		"config.yaml":  fmt.Sprintf("endpoints: [\"http://%s\"]\n", p.etcd),
		"catalog.yaml": p.catalog(),
		"hosts":        p.hosts(),
		"env":          p.env(filepath.Dir(self)),
		controlFile:    controlURL + "\n",
	}
	for name, text := range files {
		if err := os.WriteFile(p.path(name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	for _, b := range p.balancers {
		if err := os.WriteFile(b.conf, []byte(p.pybalConf(b)), 0o644); err != nil {
			return err
		}
	}
	return p.writeWrappers()
}

// writeWrappers writes restart-NAME, pool-NAME and depool-NAME for every toy
// server: on a real site each server has its own three.
func (p plan) writeWrappers() error {
	for _, t := range p.toys {
		common := fmt.Sprintf("exec restart-service --config %s --catalog %s --dc sandbox --hostname %s --pools web --retries 10 --wait 1",
			p.path("config.yaml"), p.path("catalog.yaml"), t.host)
		for name, rest := range map[string]string{
			"restart-": fmt.Sprintf("--grace-period 1 --restart-command %s --services %s", p.path("bin/"+controlProgram), t.unit),
			"pool-":    "--pool",
			"depool-":  "--depool",
		} {
			text := fmt.Sprintf("#!/bin/sh\n%s %s \"$@\"\n", common, rest)
			if err := os.WriteFile(p.path("bin/"+name+t.unit), []byte(text), 0o755); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p plan) catalog() string {
	var servers []string
	for _, b := range p.balancers {
		servers = append(servers, fmt.Sprintf("%q", b.status))
	}
	return fmt.Sprintf("web:\n  cluster: web\n  service: http\n  port: %d\n  servers: [%s]\n", toyPort, strings.Join(servers, ", "))
}

func (p plan) hosts() string {
	var b strings.Builder
	for _, t := range p.toys {
		fmt.Fprintf(&b, "%s %s\n", t.ip, t.host)
	}
	return b.String()
}

func (p plan) env(programs string) string {
	return fmt.Sprintf(`export PATH=%q:%q:"$PATH"
export SLUICE_CONFIG=%q
`, p.path("bin"), programs, p.path("config.yaml"))
}

func (p plan) pybalConf(b toyBalancer) string {
	vip, _, _ := strings.Cut(b.vip, ":")
	return fmt.Sprintf(`[global]
name = %s
plane = userspace
hosts-file = %s
instrumentation = yes
instrumentation_ips = [ '%s' ]
instrumentation_port = %d

[%s]
protocol = tcp
ip = %s
port = %d
scheduler = wrr
config = etcd://%s/conftool/v1/pools/%s/
depool-threshold = .5
monitors = [ "IdleConnection", "ProxyFetch" ]
idleconnection.max-delay = 1
proxyfetch.url = [ "http://web.sandbox/healthz" ]
proxyfetch.interval = 1
`, b.name, p.path("hosts"), vip, statusPort, p.pool, vip, toyPort, p.etcd, toyTags)
}

// banner is what is printed once everything runs.
func (p plan) banner() string {
	one, two := p.balancers[0], p.balancers[1]
	return fmt.Sprintf(`Sluice is running: etcd on %s, six servers, two balancers.
Everything is below %s; Ctrl-C here ends it.

In a second terminal:

  . %s
  confctl select 'cluster=web' get          # what is said
  curl http://%s/             # served through the first balancer
  confctl status                            # what is true, pool by balancer
  depool --hostname web1.sandbox --verify   # take a server out, and wait for both balancers ...
  for i in 1 2 3 4 5 6; do curl -s http://%s/; done   # ... and it is gone
  restart-web2                              # depool, verify with both balancers, restart, repool, verify
  pool --hostname web1.sandbox
  confctl history                           # who changed what
  curl http://%s/pools/%s    # PyBal's status
  curl 'http://%s/v1/pools/%s/web1.sandbox'   # ours, with revisions

Status pages: http://%s/  http://%s/
`, p.etcd, p.dir, p.path("env"), one.vip, one.vip, one.status, p.pool, two.status, p.pool, one.status, two.status)
}
