package browser

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience bounds every wait.
const patience = 40 * time.Second

// find is the browser. Where it is promised a missing one is a failure: a skipped proof
// is none.
func find(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	const missing = "no Chromium here; make tools installs it"
	if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_BROWSER") == "1" {
		t.Fatal(missing)
	}
	t.Skip(missing)
	return ""
}

// start runs a browser that ends with the test.
func start(t *testing.T) context.Context {
	t.Helper()
	flags := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(find(t)), chromedp.UserDataDir(t.TempDir()),
		chromedp.NoSandbox, // the tests are root, whom its sandbox refuses
		chromedp.Flag("host-resolver-rules", "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"),
		chromedp.Flag("disable-component-update", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Flag("disable-gpu", true), chromedp.Flag("force-color-profile", "srgb"),
		chromedp.WSURLReadTimeout(patience), chromedp.ModifyCmdFunc(behind))
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), flags...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	return ctx
}

// behind has the browser wait for whoever has something to do: what is looked at are
// gateways, whose timers are not to be late for its sake.
func behind(c *exec.Cmd) {
	if nice, err := exec.LookPath("nice"); err == nil {
		c.Path, c.Args = nice, append([]string{"nice", "-n", "19"}, c.Args...)
	}
}

// tab is one page, and what the browser had to say about it.
type tab struct {
	context.Context
	t      *testing.T
	origin string

	mu       sync.Mutex
	quarrels []string // errors and warnings, of the console or the browser
	requests []string
}

// open opens an address in a tab of its own.
func open(t *testing.T, browser context.Context, address string, size [2]int64, dark bool) *tab {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	b := &tab{t: t, origin: u.Scheme + "://" + u.Host}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithListener(b.hear))
	t.Cleanup(cancel)
	if b.Context = ctx; chromedp.Do(ctx) != nil {
		t.Fatal("no new tab")
	}
	b.do("open "+address, resize(size), inColour(dark), chromedp.Navigate(address))
	return b
}

// resize has the page as wide and as high as on such a device.
func resize(size [2]int64) chromedp.Action[chromedp.Void] {
	return call(emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{
		Width: size[0], Height: size[1], DeviceScaleFactor: 1, Mobile: size[0] < 600})
}

// call is a command of the browser's protocol, whose result nobody needs.
func call[P, R any](c cdp.Command[P, R], params P) chromedp.Action[chromedp.Void] {
	return func(ctx context.Context, t *chromedp.Target) (chromedp.Void, error) {
		_, err := cdp.Call(ctx, t, c, params)
		return chromedp.Void{}, err
	}
}

func inColour(dark bool) chromedp.Action[chromedp.Void] {
	scheme := "light"
	if dark {
		scheme = "dark"
	}
	return call(emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
}

func (b *tab) hear(ev any) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch ev := ev.(type) {
	case *network.EventRequestWillBeSent:
		b.requests = append(b.requests, ev.Request.URL)
	case *runtime.EventExceptionThrown:
		b.quarrels = append(b.quarrels, fmt.Sprintf("%s %+v", ev.ExceptionDetails.Text, ev.ExceptionDetails.Exception))
	case *runtime.EventConsoleAPICalled:
		if ev.Type == runtime.ConsoleAPICalledTypeError || ev.Type == runtime.ConsoleAPICalledTypeWarning || ev.Type == runtime.ConsoleAPICalledTypeAssert {
			q := "console: " + string(ev.Type)
			for _, a := range ev.Args {
				q += fmt.Sprintf(" %s%s", a.Value, a.Description)
			}
			b.quarrels = append(b.quarrels, q)
		}
	case *log.EventEntryAdded:
		if ev.Entry.Level == log.EntryLevelError || ev.Entry.Level == log.EntryLevelWarning {
			b.quarrels = append(b.quarrels, fmt.Sprintf("%s: %s %s", ev.Entry.Level, ev.Entry.Text, ev.Entry.URL))
		}
	}
}

func (b *tab) do(what string, actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatalf("%s: %v", what, err)
	}
}

// eval is the value of an expression of the page's language.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	v, err := chromedp.Run(ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return v
}

// until waits for an expression to be true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) {
		if eval[bool](b, "Boolean("+expression+")") {
			return
		}
		if time.Now().After(end) {
			b.shot("failed-" + strings.ReplaceAll(b.t.Name(), "/", "-"))
			text := eval[string](b, "document.body.innerText")
			b.t.Fatalf("waited in vain for %s; the page says\n%s\nand the browser %q", what, text, b.said())
		}
	}
}

// says waits for a text on the page.
func (b *tab) says(text string) {
	b.t.Helper()
	quoted, err := json.Marshal(text)
	if err != nil {
		b.t.Fatal(err)
	}
	b.until(text, "document.body.innerText.includes("+string(quoted)+")")
}

func (b *tab) said() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]string(nil), b.quarrels...)
}

// clean checks that the browser found nothing wrong, and that nothing was asked of
// anybody else. but: what is to be found wrong.
func (b *tab) clean(but ...string) {
	b.t.Helper()
next:
	for _, q := range b.said() {
		for _, x := range but {
			if strings.Contains(q, x) {
				continue next
			}
		}
		b.t.Errorf("the browser says: %s", q)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.requests) == 0 {
		b.t.Error("no request was seen, so none could be judged")
	}
	for _, r := range b.requests {
		if !strings.HasPrefix(r, b.origin) && !strings.HasPrefix(r, "data:") {
			b.t.Errorf("asked for %s", r)
		}
	}
}

// shot writes a picture of the whole page, if pictures are wanted.
func (b *tab) shot(name string) {
	b.t.Helper()
	dir := os.Getenv("UNDERSTUDY_SHOTS")
	if dir == "" {
		return
	}
	ctx, cancel := context.WithTimeout(b, patience)
	defer cancel()
	png, err := chromedp.Run(ctx, chromedp.FullScreenshot(100))
	if err != nil {
		b.t.Fatalf("a picture: %v", err)
	}
	path := filepath.Join(dir, name+".png")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(path, png, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.t.Logf("picture: %s", path)
}

// accessible checks what a screen reader needs, on the page as it is now: landmarks,
// one heading that says it all, names for pictures, captions for tables, no colour that
// is alone.
func (b *tab) accessible(landmarks ...string) {
	b.t.Helper()
	for _, l := range append(landmarks, "header", "main", "h1", "footer") {
		if n := eval[int](b, fmt.Sprintf("[...document.querySelectorAll(%q)].filter((e) => e.checkVisibility()).length", l)); n != 1 {
			b.t.Errorf("%d of %s", n, l)
		}
	}
	wrong := eval[[]string](b, `(() => {
  const wrong = [], all = (s) => [...document.querySelectorAll(s)];
  for (const t of all("table")) {
    if (!t.querySelector("caption")?.textContent) wrong.push("a table without a caption");
    if ([...t.querySelectorAll("thead th")].some((th) => th.scope !== "col")) wrong.push("a heading without a scope");
    if ([...t.querySelectorAll("tbody tr")].some((r) => r.firstElementChild.tagName !== "TH")) wrong.push("a row without a heading");
  }
  for (const s of all("svg")) if (s.getAttribute("aria-hidden") !== "true" && !(s.getAttribute("role") === "img" && document.getElementById(s.getAttribute("aria-labelledby"))?.textContent)) wrong.push("a picture without a name");
  for (const s of all("section")) if (!s.getAttribute("aria-label") && !document.getElementById(s.getAttribute("aria-labelledby"))) wrong.push("a section without a name");
  for (const s of all(".state, .badge, .chip")) if (!s.textContent.trim() || !s.querySelector("svg")) wrong.push("a state that is a colour only: " + s.outerHTML);
  for (const i of all("input")) if (!i.labels.length) wrong.push("a field without a label");
  const ids = all("[id]").map((e) => e.id);
  for (const id of ids) if (ids.indexOf(id) !== ids.lastIndexOf(id)) wrong.push("two of id " + id);
  for (const p of all(".panel")) for (const e of p.querySelectorAll("td, th, p, li"))
    if (e.checkVisibility() && !e.closest(".out") && e.getBoundingClientRect().right > p.getBoundingClientRect().right - parseFloat(getComputedStyle(p).paddingRight) + 1) wrong.push("beyond its panel: " + e.textContent.slice(0, 60));
  if (document.documentElement.scrollWidth > document.documentElement.clientWidth) wrong.push("wider than the window: " + document.documentElement.scrollWidth + " > " + document.documentElement.clientWidth);
  return wrong;
})()`)
	for _, w := range wrong {
		b.t.Error(w)
	}
	b.legible()
}

// legible checks that every text stands out against what is behind it (WCAG 2.2, 1.4.3:
// 4.5 to 1).
func (b *tab) legible() {
	b.t.Helper()
	wrong := eval[[]string](b, `(() => {
  const parse = (c) => { const m = c.match(/[\d.]+/g).map(Number); return m.length < 4 ? [...m, 1] : m; };
  const lum = (c) => { const [r, g, b] = c.map((v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const wrong = new Set();
  const walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const e = walk.currentNode.parentElement;
    if (!walk.currentNode.data.trim() || !e.checkVisibility() || e.closest(".out, .skip, noscript, script")) continue;
    const ink = parse(getComputedStyle(e).color);
    let behind = [255, 255, 255, 0];
    for (let p = e; p; p = p.parentElement) { const c = parse(getComputedStyle(p).backgroundColor); if (c[3] === 1) { behind = c; break; } }
    const [a, z] = [lum(ink.slice(0, 3)), lum(behind.slice(0, 3))].sort((x, y) => y - x), ratio = (a + 0.05) / (z + 0.05);
    if (ratio < 4.5) wrong.add(ratio.toFixed(2) + " to 1: " + walk.currentNode.data.trim().slice(0, 40) + " in " + e.className);
  }
  return [...wrong];
})()`)
	for _, w := range wrong {
		b.t.Error("hard to read: " + w)
	}
}
