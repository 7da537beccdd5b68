package page_test

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"

	"understudy/appliance/web/page"
)

// TestThePageNeedsNothingElse: what it says to need is in it, under the hashes that its
// policy names, and no address of anything else.
func TestThePageNeedsNothingElse(t *testing.T) {
	html, policy, err := page.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range []string{"style", "script"} {
		found := regexp.MustCompile(`(?s)<`+part+`>(.*?)</`+part+`>`).FindAllSubmatch(html, -1)
		if len(found) != 1 {
			t.Fatalf("%d of <%s>", len(found), part)
		}
		sum := sha256.Sum256(found[0][1])
		if want := part + "-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"; !strings.Contains(policy, want) {
			t.Errorf("the policy does not have %s: %s", want, policy)
		}
	}
	for _, forbidden := range []string{"http://", "https://", "//cdn", "src=", "@import", "url(", "eval(", "innerHTML", " style=", "onclick="} {
		rest := strings.ReplaceAll(string(html), "http://www.w3.org/", "")
		if i := strings.Index(rest, forbidden); i >= 0 {
			t.Errorf("%q in the page: …%s…", forbidden, rest[max(0, i-40):min(len(rest), i+60)])
		}
	}
	for _, want := range []string{"default-src 'none'", "base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'", "connect-src 'self'"} {
		if !strings.Contains(policy, want) {
			t.Errorf("the policy does not have %s", want)
		}
	}
	if strings.Contains(policy, "unsafe") {
		t.Errorf("unsafe: %s", policy)
	}
}

// TestForThoseWhoDoNotSee: landmarks, captions, a place where changes are spoken.
func TestForThoseWhoDoNotSee(t *testing.T) {
	html, _, err := page.Status()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{`<html lang="en">`, "<main", "<header", "<noscript>", `aria-live="polite"`, `class="skip"`, `h("h1"`, `h("caption"`} {
		if !strings.Contains(string(html), want) {
			t.Errorf("no %s", want)
		}
	}
}

func TestAPageWithoutAProgramRunsNone(t *testing.T) {
	d := page.Document{Title: "a <b>", Body: template.HTML("<main>x</main>")}
	html, policy, err := d.Render()
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(html), "<script") || strings.Contains(policy, "script-src") || strings.Contains(policy, "connect-src") {
		t.Errorf("%s\n%s", policy, html)
	}
	if !strings.Contains(string(html), "<title>a &lt;b&gt;</title>") {
		t.Error("the title is not escaped")
	}
	w := httptest.NewRecorder()
	page.Handler(html, policy).ServeHTTP(w, httptest.NewRequest("GET", "/", nil))
	if got := w.Header().Get("Content-Security-Policy"); got != policy || w.Body.Len() != len(html) {
		t.Errorf("%q, %d bytes", got, w.Body.Len())
	}
}

func TestAScriptThatEndsItselfIsRefused(t *testing.T) {
	d := page.Document{Title: "x", Script: "'</SCRIPT>'"}
	if _, _, err := d.Render(); err == nil {
		t.Error("taken")
	}
}
