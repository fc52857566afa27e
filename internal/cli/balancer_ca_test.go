package cli

import (
	"crypto/tls"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/sluice-lb/sluice/internal/devetcd"
)

// A balancer that speaks HTTPS is asked, and believed only where its certificate
// is good: by balancer_ca, not by the store's.
func TestBalancerCA(t *testing.T) {
	w := newWorld(t, startEtcd(t), base())
	ca, err := devetcd.NewAuthority(w.dir)
	if err == nil {
		err = ca.Issue("lb1")
	}
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.LoadX509KeyPair(ca.File("lb1.pem"), ca.File("lb1.key"))
	if err != nil {
		t.Fatal(err)
	}
	lb := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(rw, `{"pool":"text","vip":"tcp 192.0.2.1:443","seen":9999,"applied":9999,"source":{"revisions":"store"},"members":[
			{"host":"cp1001","enabled":true,"up":"up","pooled":true,"weight":10},{"host":"cp1002","enabled":true,"up":"up","pooled":true,"weight":10}]}`)
	}))
	lb.TLS = &tls.Config{Certificates: []tls.Certificate{pair}}
	lb.StartTLS()
	defer lb.Close()
	own := strings.TrimSuffix(w.space, "/") + "/sluice/"
	for key, value := range map[string]string{
		"balancers/lb1": fmt.Sprintf(`{"name":"lb1","status":[%q],"pools":[{"pool":"text","source":%q}]}`, lb.URL, w.space+"/v1/pools/eqiad/cache_text/https/"),
		"life/lb1":      fmt.Sprintf(`{"status":[%q]}`, lb.URL),
	} {
		if _, err := w.client.Put(t.Context(), own+key, value); err != nil {
			t.Fatal(err)
		}
	}
	verify := []string{"verify", "name=cp1001,service=https"}
	if got := w.run(Confctl, verify...); got.code == 0 || !strings.Contains(got.stdout+got.stderr, "certificate signed by unknown authority") {
		t.Errorf("a balancer nobody knows: %+v", got)
	}
	config := func(extra string) { w.file("config.yaml", "namespace: \""+w.space+"\"\n"+extra) }
	config("balancer_ca: " + ca.File("ca.pem") + "\n")
	if got := w.run(Confctl, verify...); got.code != 0 {
		t.Errorf("a balancer of that authority: %+v", got)
	}
	config("balancer_ca: " + ca.File("gone.pem") + "\n")
	w.run(Confctl, verify...).wants(t, ran{1, "", "confctl: read balancer_ca " + ca.File("gone.pem") + ": no such file or directory\n"})
}
