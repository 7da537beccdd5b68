package e2e

import (
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// Two in one network namespace would fight over everything in it.
func TestSecondRunIsRefused(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	s.settle()
	s.load(s.gw1, 10)
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}
	began := time.Now()
	for _, g := range s.Gateways {
		a := s.cli(g, "run", "--config", configPath, "--control", "/run/understudy/other.sock")
		if a.code != 1 || !strings.Contains(a.out, "already running") {
			t.Errorf("a second run on %s: exit code %d, want 1 and that it is already running\n%s", g.Name, a.code, a.out)
		}
	}
	s.settled(s.gw1)
	s.intact(began)
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}
	s.whole()
}

// A file with mistakes starts nothing, changes nothing, and is told about by
// file, line and key, all of it at once.
func TestRunWithABrokenFile(t *testing.T) {
	s := newScene(t, pair.Options{})
	before := s.sysctls(s.gw1.Node)
	good := s.gw1.Config()
	s.must(s.gw1.WriteFile(secretPath, []byte(s.ok(s.gw1, "keygen")), 0o600))
	for _, row := range []struct {
		name, from, to string
		want           []string // line numbers follow from the file
	}{
		{"three mistakes", "", "", nil},
		{"not TOML", `node = "gw1"`, `node = "gw1`, []string{configPath + ":1: "}},
		{"a peer of its own name", `peers = [{ name = "gw2"`, `peers = [{ name = "gw1"`, []string{"peers", "gw1"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			text, want := strings.Replace(good, row.from, row.to, 1), row.want
			if row.from == "" {
				text = strings.Replace(text, "vrid = 51", "vrid = 510", 1)
				text = strings.Replace(text, "priority = 200", "priorty = 200", 1)
				text = strings.Replace(text, secretPath, "/run/lab/nothing", 1)
				want = []string{"vrid", "priorty", "priority", "secret_file", "/run/lab/nothing"}
			}
			if text == good {
				t.Fatal("the file is not broken")
			}
			s.must(s.gw1.WriteFile(configPath, []byte(text), 0o644))
			for _, command := range []string{"run", "check"} {
				a := s.cli(s.gw1, command, "--config", configPath)
				if a.code != 2 {
					t.Errorf("%s: exit code %d, want 2\n%s", command, a.code, a.out)
				}
				for _, w := range append(want, configPath+":") {
					if !strings.Contains(a.out, w) {
						t.Errorf("%s does not tell of %q:\n%s", command, w, a.out)
					}
				}
			}
		})
	}
	if a := s.cli(s.gw1, "run", "--config", "/run/lab/none.toml"); a.code == 0 || !strings.Contains(a.out, "/run/lab/none.toml") {
		t.Errorf("a file that is not there: exit code %d\n%s", a.code, a.out)
	}
	if tables := s.ourTables(s.gw1); len(tables) > 0 {
		t.Errorf("tables %v of a program that did not start", tables)
	}
	for key, value := range s.sysctls(s.gw1.Node) {
		if before[key] != value {
			t.Errorf("sysctl %s was %q, is %q", key, before[key], value)
		}
	}
	// Nothing of it is in the way of the right file.
	s.settle()
}
