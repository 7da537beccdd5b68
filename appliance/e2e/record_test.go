package e2e

import (
	"bytes"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"understudy/appliance/lab/pair"
	"understudy/appliance/replay"
)

var keepRecordings = flag.String("recordings", "", "directory that the recordings of TestRecordedCrash are copied to")

// A crash is recorded on both gateways, and every decision of four processes comes out
// the same when they are given the same again. A program that decides otherwise is
// noticed, and where.
func TestRecordedCrash(t *testing.T) {
	s := newScene(t, pair.Options{Args: []string{"--record", "/run/lab/record"}, RouterKeys: "auth_pass = \"geheim\"\nversion = 2", Interval: 1e9})
	s.settle()
	s.load(s.gw1, 10)
	s.must(s.gw2.WriteFile(configPath, []byte(strings.Replace(s.gw2.Config(), "priority = 100", "priority = 110", 1)), 0o644))
	s.must(s.gw2.Reload(s.within(patience)))
	cut := s.crash(s.gw1)
	s.intact(cut)
	pid := s.kill(s.gw2, "daemon")
	s.wait("another daemon", replaced(s.gw2, pid, "daemon"))
	s.must(s.gw2.Process().Stop(patience))

	seen := map[string]bool{}
	for _, g := range s.Gateways {
		dir, err := g.Path("/run/lab/record")
		s.must(err)
		files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
		s.must(err)
		steps := map[string]int{}
		for _, f := range files {
			text, err := os.ReadFile(f)
			s.must(err)
			if strings.Contains(string(text), "geheim") {
				t.Errorf("%s: the password is in it", f)
			}
			rep, err := replay.Replay(bytes.NewReader(text))
			s.must(err)
			t.Logf("%s: %s: %d steps in %v", g.Name, filepath.Base(f), rep.Steps, rep.Span)
			if rep.Diff != nil {
				t.Errorf("%s: %v", f, rep.Diff)
			}
			if !rep.Whole || len(rep.Unknown) > 0 || rep.Lost > 0 {
				t.Errorf("%s: %+v", f, rep)
			}
			steps[rep.Machine] += rep.Steps
			for _, what := range []string{`"do":"reconfigure"`, `"To":"active"`, `"Priority":200`, `"Leaving":true`, `"Reloaded"`, `"Announce"`} {
				seen[what] = seen[what] || bytes.Contains(text, []byte(what))
			}
			if *keepRecordings != "" {
				s.must(os.WriteFile(filepath.Join(*keepRecordings, g.Name+"-"+filepath.Base(f)), text, 0o644))
			}
			// One that decides otherwise: it believes another priority after the reload.
			if i := bytes.Index(text, []byte(`"do":"reconfigure"`)); i >= 0 {
				broken := bytes.Clone(text)
				copy(broken[i:], bytes.Replace(text[i:], []byte(`"Priority":110`), []byte(`"Priority":120`), 1))
				rep, err := replay.Replay(bytes.NewReader(broken))
				if err != nil || rep.Diff == nil || !strings.Contains(rep.Diff.Now, `"Priority":120`) || !strings.Contains(rep.Diff.Recorded, `"Priority":110`) {
					t.Errorf("%s: a broken machine is not noticed: %+v, %v", f, rep, err)
				}
			}
		}
		if steps[replay.Election] < 5 || steps[replay.Daemon] < 5 {
			t.Errorf("%s: steps %v", g.Name, steps)
		}
	}
	for what, yes := range seen {
		if !yes {
			t.Errorf("no recording has %s", what)
		}
	}
	if a := s.cli(s.gw2, "replay", "/run/lab/record"); a.code != 0 || strings.Count(a.out, "all as recorded") < 3 {
		t.Errorf("replay: exit code %d\n%s", a.code, a.out)
	}
}
