package browser_test

import (
	"context"
	"strings"
	"testing"
)

// settled is the page of a site whose checks have all been made.
func settled(t *testing.T, browser context.Context, width, height int64) *tab {
	w := site(t)
	w.start()
	p := newTab(t, browser, width, height) // last, so that it ends before the balancer
	p.open(w.url("/status"))
	p.isLive()
	p.until(has("web_8080", "Down: be3.example."))
	w.pool(8080, `{"be1.example": {"weight": 10}, "be2.example": {"weight": 10, "enabled": false}, "be3.example": {"weight": 10}}`)
	p.until(has("web_8080", "Held in the table by the threshold: be2.example."))
	p.until(has("api_8081", "2 of 3 pooled") + "&&" + has("mail_8084", "no such file") + "&&" + has(oddPool, "1 of 1"))
	return p
}

const unfold = `document.querySelectorAll('details').forEach((d) => { d.open = true; }); true`

// phone: nothing is wider than the screen, folded or not.
func phone(t *testing.T, browser context.Context) {
	p := settled(t, browser, 360, 740)
	const tooWide = `[...document.querySelectorAll('body *')].filter((e) => e.getBoundingClientRect().right > innerWidth + 0.5 && e.getClientRects().length > 0)
		.map((e) => e.tagName + ' ' + e.className + ' ' + e.innerText.slice(0, 40)).join('\n')`
	for _, name := range []string{"phone-folded", "phone"} {
		if name == "phone" {
			eval[bool](p, unfold)
		}
		want(p, `document.documentElement.scrollWidth`, 360)
		want(p, tooWide, "")
		p.shoot(name)
	}
	// What is touched is large enough for a finger.
	want(p, `[...document.querySelectorAll('summary, button, input[type=search]')].filter((e) => e.getBoundingClientRect().height < 24).length`, 0)
}

// contrasts are the texts of the page that stand out too little from what is
// behind them (WCAG 2.1, 1.4.3: 4.5 to 1).
const contrasts = `(() => {
	const rgb = (c) => c.match(/[\d.]+/g).map(Number);
	const light = (c) => {
		const [r, g, b] = rgb(c).slice(0, 3).map((v) => { v /= 255; return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; });
		return 0.2126 * r + 0.7152 * g + 0.0722 * b;
	};
	const behind = (e) => {
		for (; e; e = e.parentElement) {
			const c = getComputedStyle(e).backgroundColor;
			if ((rgb(c)[3] ?? 1) === 1) return c;
		}
	};
	const poor = new Set();
	for (const e of document.querySelectorAll('body *')) {
		const says = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
		if (!says || e.getClientRects().length === 0) continue;
		const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x);
		const ratio = (a + 0.05) / (b + 0.05);
		if (ratio < 4.5) poor.add(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2));
	}
	return [...poor].join('\n');
})()`

// colours can be told apart, by day and by night.
func colours(t *testing.T, browser context.Context) {
	p := settled(t, browser, 1200, 900)
	eval[bool](p, unfold)
	const back = `getComputedStyle(document.body).backgroundColor`
	want(p, back, "rgb(255, 255, 255)")
	p.until(`document.getAnimations().length === 0`)
	want(p, contrasts, "")
	p.shoot("light")
	p.dark()
	want(p, back, "rgb(20, 23, 27)")
	want(p, contrasts, "")
	p.shoot("dark")
	eval[bool](p, strings.ReplaceAll(unfold, "= true", "= false"))
	p.shoot("dark-folded")
}

// semantics: who cannot see the page is told the same, also where tables are
// laid out as blocks.
func semantics(t *testing.T, browser context.Context) {
	p := settled(t, browser, 360, 740)
	eval[bool](p, unfold)
	for expression, value := range map[string]string{
		`document.documentElement.lang`: "en",
		`[...document.querySelectorAll('h1, h2, [role=heading]')].map((h) => h.getAttribute('aria-level') ?? h.tagName[1]).join('')`:              "1223333322",
		`[...document.querySelectorAll('input, button')].filter((e) => !(e.labels?.length || e.innerText || e.type === 'hidden')).length + ''`:    "0",
		`[...document.querySelectorAll('table')].filter((e) => !(e.getAttribute('aria-label') || e.getAttribute('aria-labelledby'))).length + ''`: "0",
		`document.querySelectorAll('th:not([scope]), td:not([role]), tr:not([role]), th:not([role]), table:not([role])').length + ''`:             "0",
		`document.getElementById('attention').getAttribute('aria-live') + ' ' + document.getElementById('live').getAttribute('role')`:             "polite status",
		`[...document.querySelectorAll('summary .state')].filter((e) => !/^[✓✗!] (fine|trouble|degraded)$/.test(e.innerText)).length + ''`:        "0",
	} {
		want(p, expression, value)
	}
}
