package probe_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/health/probe"
)

// script writes a shell script and returns its path.
func script(t *testing.T, dir, body string) string {
	t.Helper()
	path := filepath.Join(dir, "check.sh")
	must(t, os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755))
	return path
}

func runScript(t *testing.T, limit time.Duration, cfg probe.ScriptConfig) error {
	t.Helper()
	p, err := probe.NewScript(cfg)
	must(t, err)
	ctx, cancel := context.WithTimeoutCause(t.Context(), limit, fmt.Errorf("no answer: %w", probe.ErrTimeout))
	defer cancel()
	return p.Probe(ctx)
}

func TestScript(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, body string
		args       []string
		want       string
	}{
		{"success", "exit 0", nil, ""},
		{"talkative success", "yes | head -c 300000; yes | head -c 300000 >&2", nil, ""},
		{"failure", "exit 3", nil, "script check.sh: exit status 3"},
		{"failure with a word", "echo one; echo 'no \001 peers' >&2; echo; exit 1", nil, "script check.sh: exit status 1: no   peers"},
		{"killed", "kill -9 $$", nil, "signal: killed"},
		{"arguments as they are", `test "$1" = 'a b;$HOME*' && test $# -eq 1`, []string{"a b;$HOME*"}, ""},
		{"no input", "read x && exit 1; exit 0", nil, ""},
		{"a small environment", `test "$(env | grep -c SECRET)" = 0 && test "$HOME" = / && test "$PWD" = /`, nil, ""},
		{"a group of its own", `test "$(ps -o pgid= -p $$ | tr -d ' ')" = $$`, nil, ""},
	} {
		t.Setenv("UNDERSTUDY_SECRET", "SECRET")
		err := runScript(t, soon, probe.ScriptConfig{Argv: append([]string{script(t, dir, tt.body)}, tt.args...)})
		outcome(t, tt.name, tt.want, err)
	}
	err := runScript(t, soon, probe.ScriptConfig{Argv: []string{filepath.Join(dir, "missing")}})
	outcome(t, "missing", "script missing: no such file", err)
}

func TestNewScriptRefuses(t *testing.T) {
	for want, cfg := range map[string]probe.ScriptConfig{
		"no program":                       {},
		"check.sh is not an absolute path": {Argv: []string{"check.sh"}},
		`there is no user "nobody-at-all"`: {Argv: []string{"/bin/true"}, User: "nobody-at-all"},
	} {
		_, err := probe.NewScript(cfg)
		outcome(t, want, want, err)
	}
}

// gone waits for the processes whose numbers are in a file to end.
func gone(t *testing.T, file string, count int) {
	t.Helper()
	b, err := os.ReadFile(file)
	must(t, err)
	pids := strings.Fields(string(b))
	if len(pids) != count {
		t.Fatalf("%d processes were started, want %d", len(pids), count)
	}
	for _, s := range pids {
		pid, err := strconv.Atoi(s)
		must(t, err)
		for end := time.Now().Add(soon); alive(pid); {
			if time.Now().After(end) {
				t.Fatalf("process %d is still running", pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// alive tells whether a process runs; one that nobody has reaped does not.
func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func TestScriptIsKilledWithItsGroup(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		pids       int
		want       string
	}{
		{"its time is up", "sleep 1000 & echo $! >>$1; echo $$ >>$1; wait", 2, "script check.sh: too long"},
		{"it does not listen", "trap '' TERM INT HUP; echo $$ >>$1; while :; do sleep 1000; done", 1, "script check.sh: too long"},
		{"it left something behind", "sleep 1000 & echo $! >>$1; exit 0", 1, ""},
	} {
		dir := t.TempDir()
		pids := filepath.Join(dir, "pids")
		p, err := probe.NewScript(probe.ScriptConfig{Argv: []string{script(t, dir, tt.body), pids}})
		must(t, err)
		ctx, cancel := context.WithCancelCause(t.Context())
		errC := make(chan error, 1)
		go func() { errC <- p.Probe(ctx) }()
		for end := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
			if b, _ := os.ReadFile(pids); strings.Count(string(b), "\n") == tt.pids {
				break
			}
			if time.Now().After(end) {
				t.Errorf("%s: it did not start", tt.name)
				break
			}
		}
		if tt.want != "" {
			cancel(errors.New("too long"))
		}
		outcome(t, tt.name, tt.want, <-errC)
		cancel(nil)
		gone(t, pids, tt.pids)
	}
}

// One that leaves the group on purpose cannot hold the probe by its output.
func TestScriptDoesNotWaitForWhoLeftTheGroup(t *testing.T) {
	dir := t.TempDir()
	pids := filepath.Join(dir, "pids")
	body := "setsid sh -c 'echo $$ >>'$1'; exec sleep 1000' & while ! test -s $1; do sleep 0.01; done; exit 0"
	err := runScript(t, 10*soon, probe.ScriptConfig{Argv: []string{script(t, dir, body), pids}})
	b, rerr := os.ReadFile(pids)
	must(t, rerr)
	pid, aerr := strconv.Atoi(strings.TrimSpace(string(b)))
	must(t, aerr)
	if !alive(pid) {
		t.Error("it should have survived")
	}
	must(t, unix.Kill(pid, unix.SIGKILL))
	outcome(t, "left", "", err)
}

func TestScriptRunsAsItsUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root to become another")
	}
	dir, err := os.MkdirTemp("/tmp", "probe") // where anyone may look
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	path := script(t, dir, `test "$(id -un)" = nobody && test "$(id -G)" = "$(id -G nobody)" && test "$HOME" != /`)
	outcome(t, "by name", "", runScript(t, soon, probe.ScriptConfig{Argv: []string{path}, User: "nobody"}))
	outcome(t, "by number", "", runScript(t, soon, probe.ScriptConfig{Argv: []string{path}, User: "65534"}))
	outcome(t, "as root", "exit status 1", runScript(t, soon, probe.ScriptConfig{Argv: []string{path}}))
}

// TestScriptValue: the exit code is a measure, and 1 a failure.
func TestScriptValue(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		body  string
		value int
		want  string
	}{
		{"exit 0", 0, ""},
		{"exit 2", 2, ""},
		{"exit 255", 255, ""},
		{"exit 1", 0, "exit status 1"},
		{"kill -9 $$", 0, "signal: killed"},
	} {
		s, err := probe.NewScript(probe.ScriptConfig{Argv: []string{script(t, dir, tt.body)}})
		must(t, err)
		got, err := probe.ScriptValue{Script: s}.Measure(t.Context())
		outcome(t, tt.body, tt.want, err)
		if got != tt.value {
			t.Errorf("%s: want %d, got %d", tt.body, tt.value, got)
		}
	}
}
