// Package browser_test opens the status page of a running lbd in a real browser
// and uses it as people do.
package browser_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// find returns a browser: the one SLUICE_BROWSER names, one that is installed,
// or the one `make browser` fetched.
func find(t *testing.T) string {
	t.Helper()
	if told := os.Getenv("SLUICE_BROWSER"); told != "" {
		path, err := exec.LookPath(told)
		if err != nil {
			t.Fatalf("SLUICE_BROWSER: %v", err)
		}
		return path
	}
	names := []string{"chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome-headless-shell"}
	if cache, err := os.UserCacheDir(); err == nil {
		names = append(names, filepath.Join(cache, "sluice-lab", "browser", "chromium"))
	}
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	t.Skip("SKIPPED: no Chromium here; make browser gets one")
	return ""
}

// startBrowser starts a browser without a window, until the test ends.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	options := append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]),
		chromedp.ExecPath(find(t)),
		chromedp.NoSandbox, // containers have no namespaces to give, and the page is ours
		chromedp.UserDataDir(t.TempDir()),
		chromedp.Flag("lang", "en"),
	)
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), options...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("start browser: %v", err)
	}
	return ctx
}

// tab is a page in the browser.
type tab struct {
	t   *testing.T
	ctx context.Context

	mu   sync.Mutex
	said []chromedp.ConsoleMessage
}

// patience is how long anything may take to show.
const patience = 30 * time.Second

// newTab opens a tab of this size that shares nothing with others. What its
// console says is kept, and is wrong unless the test says otherwise.
func newTab(t *testing.T, browser context.Context, width, height int64) *tab {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext())
	t.Cleanup(cancel)
	p := &tab{t: t, ctx: ctx}
	if err := chromedp.Do(ctx); err != nil { // makes the tab, which lives as long as this context
		t.Fatalf("open tab: %v", err)
	}
	p.do(chromedp.EmulateViewport(width, height))
	messages := chromedp.Console(ctx)
	go func() {
		for m, err := range messages {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.said = append(p.said, m)
			p.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		for _, m := range p.messages() {
			t.Errorf("console: %s %s %s (%s)", m.Source, m.Type, m.Text, m.URL)
		}
	})
	return p
}

// messages returns what the console said since it was last asked.
func (p *tab) messages() []chromedp.ConsoleMessage {
	p.mu.Lock()
	defer p.mu.Unlock()
	said := p.said
	p.said = nil
	return said
}

func (p *tab) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

func (p *tab) open(url string) {
	p.t.Helper()
	p.do(chromedp.Navigate(url))
}

// eval returns the value of a JavaScript expression.
func eval[T any](p *tab, expression string) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for a JavaScript condition.
func (p *tab) until(condition string) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	wait := fmt.Sprintf(`new Promise((done) => {
		const look = () => { if (%s) done(true); else setTimeout(look, 20); };
		look();
	})`, condition)
	await := func(p *runtime.EvaluateParams) { yes := true; p.AwaitPromise = &yes }
	_, err := chromedp.Run(ctx, chromedp.Evaluate[bool](wait, await))
	if errors.Is(err, context.DeadlineExceeded) {
		p.t.Fatalf("never: %s\npage: %s", condition, eval[string](p, `document.body.innerText`))
	}
	if err != nil {
		p.t.Fatalf("%s: %v", condition, err)
	}
}

// want compares the value of an expression.
func want[T comparable](p *tab, expression string, value T) {
	p.t.Helper()
	if got := eval[T](p, expression); got != value {
		p.t.Errorf("%s is %v, want %v", expression, got, value)
	}
}

// dark has the browser prefer dark colours.
func (p *tab) dark() {
	p.t.Helper()
	_, err := chromedp.Call(p.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: "dark"}},
	})
	if err != nil {
		p.t.Fatal(err)
	}
}

// shoot writes a picture into the directory SLUICE_SCREENSHOTS, if that is set.
func (p *tab) shoot(name string) {
	p.t.Helper()
	dir := os.Getenv("SLUICE_SCREENSHOTS")
	if dir == "" {
		return
	}
	picture, err := chromedp.Run(p.ctx, chromedp.FullScreenshot(100))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name+".png"), picture, 0o644); err != nil {
		p.t.Fatal(err)
	}
}
