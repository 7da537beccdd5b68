package browser

import (
	"os/exec"
	"path/filepath"
	"testing"

	"understudy/appliance/lab"
)

// TestReportOfTheDemo: the demo's result as a page, out of a file: with pictures of each
// event, nothing asked of anybody, no program in it.
func TestReportOfTheDemo(t *testing.T) {
	lab.Require(t)
	browser := start(t)
	file := filepath.Join(t.TempDir(), "report.html")
	out, err := exec.CommandContext(t.Context(), binary, "demo", "--connections", "40", "--report", file).CombinedOutput()
	if err != nil {
		t.Logf("%v: %s", err, out) // what was lost is on the page too
	}
	b := open(t, browser, "file://"+file, desk, false)
	b.says("Who was active")
	b.until("six events", `document.querySelectorAll(".event").length === 6`)
	b.until("a gap of the crash", `document.querySelector(".event .gap-text")?.textContent.endsWith(" ms")`)
	b.until("five lanes, not flat", `[...document.querySelectorAll(".event:nth-of-type(3) path.flow")].filter((p) => p.getBBox().height > 20).length === 5`)
	b.until("no program", `document.querySelectorAll("script").length === 0`)
	eval[int](b, `(document.querySelectorAll("details").forEach((d) => { d.open = true }), 1)`)
	b.accessible()
	b.shot("report")
	b.do("as on a phone, in the dark", resize(phone), inColour(true))
	b.accessible()
	b.shot("report-phone-dark")
	b.clean()
}
