package browser_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Names a page has to bear.
const (
	longHost = "a-server-with-a-rather-long-name-0001.some-cluster.datacentre-one.example.org"
	oddPool  = `odd <i>name</i> & "quotes"`
)

// site is a world with a few pools, one of them without its file.
func site(t *testing.T) *world {
	w := newWorld(t)
	for i, name := range []string{"be1.example", "be2.example", "be3.example", longHost} {
		w.host(name, 11+i)
	}
	w.server(11, 8080)
	w.server(12, 8080)
	w.service("web_8080", 8080, `monitors = ["IdleConnection"]`, "idleconnection.max-delay = 1")
	w.pool(8080, `{"be1.example": {"weight": 10}, "be2.example": {"weight": 10}, "be3.example": {"weight": 10}}`)
	w.service("api_8081", 8081)
	w.pool(8081, `{"be1.example": {"weight": 1}, "be2.example": {"weight": 2, "enabled": false}, "`+longHost+`": {"weight": 3}}`)
	w.service("dns-over-tls_8082", 8082)
	w.pool(8082, `{"be1.example": {}, "be2.example": {}}`)
	w.service(oddPool, 8083)
	w.pool(8083, `{"be2.example": {}}`)
	w.service("mail_8084", 8084)
	return w
}

func TestPage(t *testing.T) {
	browser := startBrowser(t)
	for name, test := range map[string]func(*testing.T, context.Context){
		"live": live, "filters": filters, "restart": restart, "refused": refused, "without script": withoutScript,
		"phone": phone, "colours": colours, "many pools": manyPools, "semantics": semantics,
	} {
		t.Run(name, func(t *testing.T) { test(t, browser) })
	}
}

// pool is the JavaScript for a pool's element.
func pool(name string) string {
	return fmt.Sprintf("[...document.querySelectorAll('details.pool')].find((d) => d.dataset.pool === %q)", name)
}

// has is the JavaScript for whether a pool's element says something.
func has(name, what string) string {
	return fmt.Sprintf("((%s)?.innerText ?? '').includes(%q)", pool(name), what)
}

// shown are the names of the pools on the page.
const shown = `[...document.querySelectorAll('details.pool')].map((d) => d.dataset.pool).join('|')`

// isLive waits until the page follows its balancer.
func (p *tab) isLive() {
	p.t.Helper()
	p.until(`document.getElementById('live').textContent === 'live' && !document.getElementById('live').hidden`)
}

// click unfolds or folds a pool, as people do.
func (p *tab) click(pool string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(fmt.Sprintf(`details[data-pool=%q] > summary`, pool))))
}

// typeFilter types in place of what is in the filter.
func (p *tab) typeFilter(keys string) {
	p.t.Helper()
	eval[bool](p, `document.querySelector('input[type=search]').select(); true`)
	p.do(chromedp.SendKeys(chromedp.CSS("input[type=search]"), keys))
}

// live: what changes is seen without a reload; folds, focus and place stay.
func live(t *testing.T, browser context.Context) {
	w := site(t)
	w.start()
	p := newTab(t, browser, 1200, 500)
	p.open(w.url("/status"))
	p.isLive()
	want(p, shown, strings.Join([]string{"web_8080", "api_8081", "dns-over-tls_8082", oddPool, "mail_8084"}, "|"))
	p.until(has("web_8080", "2 of 3 pooled") + "&&" + has("web_8080", "Down: be3.example."))
	p.until(has(oddPool, "1 of 1 pooled"))
	eval[int](p, `window.unreloaded = 1`)

	want(p, pool("web_8080")+".open", false)
	p.click("web_8080")
	want(p, pool("web_8080")+".open", true)
	for _, what := range []string{"✓ up", "✗ down", "connection refused", "○ not pooled", "50 %, one more may go"} {
		want(p, has("web_8080", what), true)
	}
	eval[bool](p, `scrollTo(0, 120); document.querySelector('details[data-pool="web_8080"] > summary').focus({preventScroll: true}); true`)

	w.pool(8080, `{"be1.example": {"weight": 77}, "be2.example": {"weight": 10, "enabled": false}, "be3.example": {"weight": 10}}`)
	p.until(has("web_8080", "77") + "&&" + has("web_8080", "– disabled"))
	p.until(`document.getElementById('changes').innerText.includes('10 → 77')`)
	// Out as well, be2 would leave less than half: it is held.
	p.until(has("web_8080", "Held in the table by the threshold: be2.example."))
	want(p, pool("web_8080")+".open", true)
	want(p, `document.activeElement.closest('details')?.dataset.pool`, "web_8080")
	want(p, `scrollY`, 120)

	// A link within has the focus as well when it is written anew.
	eval[bool](p, `document.querySelector('details[data-pool="web_8080"] dd a:last-child').focus({preventScroll: true}); true`)

	// A server that comes back, a connection, a pool that is there at last.
	w.server(13, 8080)
	p.until(has("web_8080", "2 of 3 pooled") + "&&" + has("web_8080", "✓ fine"))
	want(p, `document.activeElement.textContent + ' ' + document.activeElement.closest('details')?.dataset.pool`, "JSON web_8080")
	conn, err := net.Dial("tcp", w.net+".100:8080")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	p.until(has("web_8080", "1 connection") + `&& document.getElementById('counts').innerText.includes('1 open connection')`)
	p.until(has("mail_8084", "no such file"))
	w.pool(8084, `{"be1.example": {}}`)
	p.until(has("mail_8084", "1 of 1 pooled"))
	p.until(`document.getElementById('routers').textContent.includes('` + w.net + `.100/32')`)

	// A configuration that cannot be used.
	const attention = `document.getElementById('attention').innerText`
	w.reload("[nonsense")
	p.until(attention + `.includes('The configuration was not reloaded')`)
	w.reload(w.conf.String())
	p.until("!" + attention + `.includes('configuration')`)
	want(p, `window.unreloaded`, 1)
}

// filters narrow the page as it is typed, and keep it so while things change.
func filters(t *testing.T, browser context.Context) {
	w := site(t)
	w.start()
	p := newTab(t, browser, 1200, 900)
	p.open(w.url("/"))
	p.isLive()
	p.until(has("web_8080", "Down: be3.example.") + "&&" + has("api_8081", "✓ fine"))
	eval[int](p, `window.unreloaded = 1`)
	p.typeFilter("API ")
	p.until(shown + ` === 'api_8081'`)
	want(p, `location.pathname + location.search`, "/status?q=API+")
	p.until(`document.getElementById('shown').innerText.startsWith('1 of 5 pools.')`)
	want(p, `document.activeElement.name`, "q")

	// By a server's name, which unfolds the pools that have it.
	p.typeFilter("rather-long")
	p.until(shown + ` === 'api_8081' && ` + pool("api_8081") + `.open`)
	p.typeFilter("nothing like it")
	p.until(shown + ` === '' && document.getElementById('pools').innerText === 'No pool is like that.'`)
	p.typeFilter(kb.Backspace)
	p.until(`document.querySelectorAll('details.pool').length === 5 && location.search === ''`)

	// Only trouble: a pool comes when it has some, and goes with it.
	p.do(chromedp.Click(chromedp.CSS("input[name=trouble]")))
	p.until(shown + ` === 'web_8080|mail_8084'`)
	w.pool(8082, `{"be1.example": {"enabled": false}, "be2.example": {"enabled": false}}`)
	p.until(shown + ` === 'web_8080|dns-over-tls_8082|mail_8084'`)
	w.pool(8082, `{"be1.example": {}, "be2.example": {}}`)
	p.until(shown + ` === 'web_8080|mail_8084'`)
	w.server(13, 8080)
	p.until(shown + ` === 'mail_8084'`)
	w.pool(8084, `{"be1.example": {}}`)
	p.until(shown + ` === '' && document.getElementById('pools').innerText === 'No pool is like that.'`)
	w.pool(8084, `{"be1.example": {"enabled": false}, "be2.example": {"enabled": false}}`)
	p.until(has("mail_8084", "Held in the table by the threshold: be1.example."))
	want(p, `document.getElementById('pools').innerText.includes('No pool')`, false)
	want(p, `window.unreloaded`, 1)

	// The address leads there again.
	p.do(chromedp.Reload())
	p.isLive()
	want(p, shown, "mail_8084")
	want(p, `document.querySelector('input[name=trouble]').checked`, true)
	p.do(chromedp.Click(chromedp.CSS("#shown a")))
	p.until(`location.search === '' && document.readyState === 'complete'`)
	want(p, `document.querySelectorAll('details.pool').length`, 5)

	// One pool alone, however it is named.
	p.do(chromedp.Click(chromedp.CSS(`details:nth-of-type(4) > summary`)), chromedp.Click(chromedp.CSS(`details:nth-of-type(4) dd a`)))
	p.until(`location.search !== '' && document.readyState === 'complete'`)
	want(p, shown, oddPool)
	want(p, pool(oddPool)+".open", true)
	want(p, `document.querySelectorAll('i').length`, 0)
	p.isLive()
	w.pool(8083, `{"be2.example": {"weight": 99}}`)
	p.until(has(oddPool, "99"))
	want(p, shown, oddPool)
}

// restart: the page says that it lost the line, and finds the balancer again.
func restart(t *testing.T, browser context.Context) {
	w := site(t)
	w.start()
	p := newTab(t, browser, 1200, 900)
	p.open(w.url("/status"))
	p.isLive()
	p.until(has("api_8081", "2 of 3 pooled"))
	p.click("api_8081")
	eval[int](p, `window.unreloaded = 1`)
	w.stop()
	p.until(`document.getElementById('live').className === 'lost'`)
	w.pool(8081, `{"be1.example": {"weight": 55}}`)
	w.start()
	p.isLive()
	p.until(has("api_8081", "1 of 1 pooled") + "&&" + has("api_8081", "55"))
	want(p, pool("api_8081")+".open", true)
	want(p, `window.unreloaded`, 1)
	p.onlyNetwork()
}

// onlyNetwork takes note of what the console said of a balancer that could not
// be reached, and of nothing else.
func (p *tab) onlyNetwork() {
	p.t.Helper()
	for _, m := range p.messages() {
		if m.Source != "network" {
			p.t.Errorf("console: %s %s", m.Source, m.Text)
		}
	}
}

// refused: where too many follow already, the page tries again.
func refused(t *testing.T, browser context.Context) {
	w := site(t)
	w.start()
	var others []io.Closer
	for range 100 {
		resp, err := http.Get(w.url("/v1/events"))
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatal(err, resp)
		}
		defer resp.Body.Close()
		others = append(others, resp.Body)
	}
	p := newTab(t, browser, 1200, 900)
	p.open(w.url("/status"))
	p.until(`document.getElementById('live').className === 'lost'`)
	want(p, `document.querySelectorAll('details.pool').length`, 5)
	for _, other := range others {
		other.Close()
	}
	p.isLive()
	p.onlyNetwork()
}

// withoutScript everything is there as well.
func withoutScript(t *testing.T, browser context.Context) {
	w := site(t)
	w.start()
	p := newTab(t, browser, 1200, 900)
	if _, err := chromedp.Call(p.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		t.Fatal(err)
	}
	for !eval[bool](p, has("api_8081", "2 of 3 pooled")) {
		p.open(w.url("/status?still=on"))
	}
	want(p, `document.getElementById('live').hidden`, true)
	want(p, `document.querySelectorAll('details.pool').length`, 5)
	p.click("api_8081")
	want(p, has("api_8081", longHost), true)
	p.do(chromedp.SendKeys(chromedp.CSS("input[type=search]"), "api"), chromedp.Click(chromedp.CSS("button")))
	ready(p, "/status?still=on&q=api")
	want(p, shown, "api_8081")
	p.do(chromedp.Click(chromedp.CSS("noscript a")))
	ready(p, "/status?q=api")
	want(p, `document.querySelector('noscript meta').httpEquiv`, "refresh")
	p.shoot("without-script")
}

// ready waits, without the page's help, until it is at an address.
func ready(p *tab, address string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	for eval[string](p, `document.readyState + location.pathname + location.search`) != "complete"+address {
		if ctx.Err() != nil {
			p.t.Fatalf("never at %s", address)
		}
	}
}

// manyPools: their servers come when a pool is unfolded.
func manyPools(t *testing.T, browser context.Context) {
	w := newWorld(t)
	servers := make([]string, 12)
	for i := range servers {
		name := fmt.Sprintf("be%02d.example", i)
		w.host(name, 11+i)
		servers[i] = fmt.Sprintf("%q: {}", name)
	}
	for port := 8100; port < 8160; port++ {
		w.service(fmt.Sprintf("service_%d", port), port)
		w.pool(port, "{"+strings.Join(servers, ",")+"}")
	}
	w.start()
	w.applied(60)
	p := newTab(t, browser, 1200, 900)
	p.open(w.url("/status"))
	p.isLive()
	want(p, `document.querySelectorAll('details.pool .state.fine').length`, 60)
	want(p, `document.querySelectorAll('#pools table').length`, 0)
	eval[int](p, `window.unreloaded = 1`)
	p.click("service_8150")
	p.until(has("service_8150", "be07.example"))
	want(p, `document.querySelectorAll('#pools table').length`, 1)
	place := eval[float64](p, `scrollY`)
	want(p, pool("service_8150")+".dataset.lazy ?? 'there'", "there")
	eval[bool](p, `performance.clearResourceTimings(); true`)
	w.pool(8150, `{"be00.example": {"weight": 88}, "be01.example": {}}`)
	p.until(has("service_8150", "2 of 2 pooled") + "&&" + has("service_8150", "88"))
	// Parts were asked for, and nothing else.
	want(p, `performance.getEntriesByType('resource').filter((r) => !r.name.includes('?part=')).map((r) => r.name).join()`, "")
	for port := 8100; port < 8150; port++ { // more than are asked for by name
		w.pool(port, "{"+strings.Join(servers[:7], ",")+"}")
	}
	p.until(`[...document.querySelectorAll('.share')].filter((e) => e.innerText === '7 of 7 pooled').length === 50`)
	want(p, has("service_8150", "88"), true)
	want(p, `scrollY`, place)

	// The whole page anew: what is unfolded gets its servers.
	w.stop()
	p.until(`document.getElementById('live').className === 'lost'`)
	w.pool(8150, `{"be00.example": {"weight": 99}}`)
	w.start()
	p.until(has("service_8150", "99"))
	want(p, `window.unreloaded`, 1)
	p.onlyNetwork()
}
