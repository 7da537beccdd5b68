package metrics_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"

	"understudy/appliance/metrics"
)

const (
	rulesFile     = "../../etc/prometheus/understudy.rules.yml"
	rulesTests    = "testdata/rules_test.yml"
	dashboardFile = "../../etc/grafana/understudy.json"
)

// promtool is Prometheus's own judge of rules. In CI it must be there.
func promtool(t *testing.T, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("CI") != "" {
			t.Fatal("no promtool: install the package prometheus")
		}
		t.Skip("no promtool: install the package prometheus")
	}
	if out, err := exec.Command(path, args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

// TestRulesAreValid: they parse, and fire when they should and not otherwise.
func TestRulesAreValid(t *testing.T) {
	promtool(t, "check", "rules", rulesFile)
	promtool(t, "test", "rules", rulesTests)
}

// named finds metrics of ours; those of a histogram have an ending of their own.
var named = regexp.MustCompile(`understudy_[a-z_]+`)

// known are the metrics that there are.
func known() map[string]bool {
	m := map[string]bool{}
	for _, name := range named.FindAllString(metrics.Reference(), -1) {
		m[name] = true
	}
	return m
}

// TestOnlyWhatThereIs: rules and dashboard ask for metrics that exist.
func TestOnlyWhatThereIs(t *testing.T) {
	all := known()
	for _, file := range []string{rulesFile, dashboardFile} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		names := named.FindAllString(string(b), -1)
		if len(names) < 8 {
			t.Errorf("%s asks for %d", file, len(names))
		}
		for _, name := range names {
			for _, end := range []string{"_bucket", "_count", "_sum"} {
				if base := strings.TrimSuffix(name, end); all[base] {
					name = base
				}
			}
			if !all[name] {
				t.Errorf("%s asks for %s, which is not there", file, name)
			}
		}
	}
}

// TestDashboard: Grafana's form, each panel with a title and a question.
func TestDashboard(t *testing.T) {
	b, err := os.ReadFile(dashboardFile)
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Title, UID string
		Panels     []struct {
			ID      int
			Type    string
			Title   string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr, RefID string }
		}
	}
	if err := json.Unmarshal(b, &d); err != nil {
		t.Fatal(err)
	}
	if d.Title == "" || d.UID == "" || len(d.Panels) < 8 {
		t.Errorf("%q, %q, %d panels", d.Title, d.UID, len(d.Panels))
	}
	ids := map[int]bool{}
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels of id %d", p.ID)
		}
		ids[p.ID] = true
		if p.Title == "" || len(p.Targets) == 0 || p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
			t.Errorf("panel %d: %+v", p.ID, p)
		}
	}
	for i, p := range d.Panels {
		for _, q := range d.Panels[:i] {
			a, b := p.GridPos, q.GridPos
			if a.X < b.X+b.W && b.X < a.X+a.W && a.Y < b.Y+b.H && b.Y < a.Y+a.H {
				t.Errorf("panels %q and %q overlap", p.Title, q.Title)
			}
		}
	}
}
