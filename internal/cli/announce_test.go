package cli

import (
	"io"
	"net"
	"strings"
	"testing"
)

// A bot that accepts nothing, and one that hangs up, cost a line and no more.
func TestAnnouncementNeverFails(t *testing.T) {
	client := startEtcd(t)
	rude, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer rude.Close()
	heard := make(chan string, 1)
	go func() {
		conn, err := rude.Accept()
		if err != nil {
			return
		}
		text, _ := io.ReadAll(conn)
		_ = conn.Close()
		heard <- string(text)
	}()
	w := newWorld(t, client, base())
	_, port, _ := net.SplitHostPort(rude.Addr().String())
	w.file("config.yaml", "namespace: \""+w.space+"\"\ntcpircbot_host: 127.0.0.1\ntcpircbot_port: "+port+"\n")
	got := w.run(Confctl, "select", "name=mw1001", "set/pooled=no")
	got.wants(t, ran{0, "eqiad/appservers/apache/mw1001: pooled changed yes => no\n", announced + "conftool action : set/pooled=no; selector: name=mw1001\n"})
	if text := <-heard; text != "!log ada@cp1001 conftool action : set/pooled=no; selector: name=mw1001" {
		t.Errorf("the bot heard %q", text)
	}
	rude.Close()
	got = w.run(Confctl, "select", "name=mw1001", "set/pooled=yes")
	if got.code != 0 || !strings.Contains(got.stderr, "warning: announce to 127.0.0.1:"+port) || strings.Count(got.stderr, "\n") != 2 {
		t.Errorf("got %+v", got)
	}
}

// What was done before an error is announced; what was not, is not.
func TestAnnouncementTellsWhatHappened(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	for args, want := range map[string]string{
		"select name=mw1001 set/pooled=yes":          "",
		"select name=nobody set/pooled=no":           "",
		"--dry-run select name=mw1001 set/pooled=no": "",
		"--quiet select name=mw1001 set/pooled=no":   "",
		"select name=mw1001 delete":                  "conftool action : delete; selector: name=mw1001",
		"depool --hostname cp1001 --service varnish": "conftool action : set/pooled=no; selector: name=cp1001,service=varnish",
		"tags dc=eqiad,cluster=cache_text,service=https --action set/weight=3 cp1002": "conftool action : set/weight=3; selector: cp1002 " +
			"(tags: ['dc=eqiad', 'cluster=cache_text', 'service=https'])",
	} {
		w.put("pools/eqiad/appservers/apache/mw1001", `{"weight": 30, "pooled": "yes"}`)
		_, got, _ := strings.Cut(w.run(Confctl, strings.Fields(args)...).stderr, announced)
		if strings.TrimSuffix(got, "\n") != want {
			t.Errorf("%s: announced %q, want %q", args, got, want)
		}
	}
}
