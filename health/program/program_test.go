package program

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
)

// soon bounds what takes no time.
const soon = 10 * time.Second

// script writes a shell script and returns the program that runs it.
func script(t *testing.T, body string, args ...string) *Program {
	t.Helper()
	path := filepath.Join(t.TempDir(), "it.sh")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+body+"\n"), 0o755); err != nil {
		t.Fatal(err)
	}
	p, err := New(Config{Argv: append([]string{path}, args...)})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestRun(t *testing.T) {
	for _, tt := range []struct {
		name, body string
		run        Run
		code       int
		output     string
	}{
		{"success", "exit 0", Run{}, 0, ""},
		{"a code", "exit 7", Run{}, 7, ""},
		{"killed", "kill -9 $$", Run{}, -1, ""},
		{"its arguments, then those of the run", `echo "$@"`, Run{Args: []string{"b c"}}, 0, "a b c"},
		{"more environment", `echo "$STATE $HOME $PWD"`, Run{Env: []string{"STATE=active"}}, 0, "active / /"},
		{"several lines, fit to print", `printf '\none\001\ntwo\n\n'`, Run{}, 0, "one \ntwo"},
		{"the last of much", "seq 1 100000", Run{Output: 12}, 0, "9999\n100000"},
	} {
		r := script(t, tt.body, "a").Run(t.Context(), tt.run)
		if r.Code != tt.code || r.Output != tt.output || (r.Err == nil) != (tt.code == 0) {
			t.Errorf("%s: %+v", tt.name, r)
		}
	}
	if got := (Result{Output: "one\n two "}).LastLine(); got != "two" {
		t.Errorf("last line %q", got)
	}
	over, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("over"))
	if r := script(t, "exit 0").Run(over, Run{}); r.Err == nil || r.Err.Error() != "over" || r.Code != -1 {
		t.Errorf("%+v", r)
	}
}

// started runs the program until it has written a line of numbers of processes to
// the file that is its argument, and ends its context.
func started(t *testing.T, p *Program, file string, r Run) (Result, []int) {
	t.Helper()
	ctx, cancel := context.WithCancelCause(t.Context())
	resultC := make(chan Result, 1)
	go func() { resultC <- p.Run(ctx, r) }()
	var pids []int
	for end := time.Now().Add(soon); ; time.Sleep(time.Millisecond) {
		b, _ := os.ReadFile(file)
		if strings.HasSuffix(string(b), "\n") {
			for _, f := range strings.Fields(string(b)) {
				pid, err := strconv.Atoi(f)
				if err != nil {
					t.Fatal(err)
				}
				pids = append(pids, pid)
			}
			break
		}
		if time.Now().After(end) {
			t.Fatal("it did not start")
		}
	}
	cancel(errors.New("too long"))
	return <-resultC, pids
}

func alive(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ")
}

func ends(t *testing.T, pids ...int) {
	t.Helper()
	for _, pid := range pids {
		for end := time.Now().Add(soon); alive(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d is still running", pid)
			}
		}
	}
}

// One that listens to SIGTERM ends by itself; one that does not is killed, and so
// is what it has started.
func TestGrace(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pids")
	r, pids := started(t, script(t, `trap 'echo bye; exit 5' TERM; sleep 1000 & echo $$ $! >$1; wait`, file), file, Run{Grace: time.Hour})
	if r.Output != "bye" || r.Code != 5 || r.Err.Error() != "too long" {
		t.Errorf("%+v", r)
	}
	ends(t, pids...)

	file = filepath.Join(t.TempDir(), "pids")
	r, pids = started(t, script(t, `trap '' TERM; sleep 1000 & echo $$ $! >$1; while :; do sleep 1000; done`, file), file, Run{Grace: 10 * time.Millisecond, Spare: true})
	if r.Code != -1 || r.Err.Error() != "too long" {
		t.Errorf("%+v", r)
	}
	ends(t, pids...)
}

// What it leaves running is ended with it, or spared.
func TestWhatItLeaves(t *testing.T) {
	for _, spare := range []bool{false, true} {
		file := filepath.Join(t.TempDir(), "pid")
		r := script(t, "sleep 1000 & echo $! >$1", file).Run(t.Context(), Run{Spare: spare})
		if r.Err != nil {
			t.Errorf("%+v", r)
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
		if err != nil {
			t.Fatal(err)
		}
		if !spare {
			ends(t, pid)
			continue
		}
		if !alive(pid) {
			t.Error("it was not spared")
		}
		if err := unix.Kill(pid, unix.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
}

// What a dead process has left is known by the group and by its environment.
func TestEndOrphans(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	var pgid int
	p := script(t, "sleep 1000 & echo $! >$1", file)
	p.Run(t.Context(), Run{Spare: true, Env: []string{"UNDERSTUDY_RUN=one"}, Started: func(pid int) { pgid = pid }})
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for _, wrong := range []struct {
		pgid int
		mark string
	}{{pgid, "UNDERSTUDY_RUN=on"}, {pgid, "UNDERSTUDY_RUN=two"}, {pgid + 1, "UNDERSTUDY_RUN=one"}, {pgid, ""}, {0, "UNDERSTUDY_RUN=one"}} {
		if n := EndOrphans(wrong.pgid, wrong.mark); n != 0 || !alive(pid) {
			t.Fatalf("%+v ended %d", wrong, n)
		}
	}
	if n := EndOrphans(pgid, "UNDERSTUDY_RUN=one"); n != 1 {
		t.Errorf("ended %d", n)
	}
	ends(t, pid)
}

func TestTrusted(t *testing.T) {
	if os.Geteuid() != 0 {
		if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
			t.Fatal("needs root, which is required here")
		}
		t.Skip("needs root: gives files to others")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name string
		do   func(dir, file string) error
		user string
		want string
	}{
		{"root's", func(string, string) error { return nil }, "", ""},
		{"somebody's", func(_, file string) error { return os.Chown(file, 65534, 0) }, "", "belongs to user 65534"},
		{"run by its owner", func(_, file string) error { return os.Chown(file, 65534, 0) }, "nobody", ""},
		{"root's, run by somebody", func(string, string) error { return nil }, "nobody", ""},
		{"everybody writes it", func(_, file string) error { return os.Chmod(file, 0o757) }, "", "everybody may write"},
		{"a group writes it", func(_, file string) error { return errors.Join(os.Chown(file, 0, 5), os.Chmod(file, 0o775)) }, "", "group 5 may write"},
		{"root's group writes it", func(_, file string) error { return os.Chmod(file, 0o775) }, "", ""},
		{"everybody writes its directory", func(dir, _ string) error { return os.Chmod(dir, 0o757) }, "", "everybody may write"},
		{"everybody adds to its directory", func(dir, _ string) error { return os.Chmod(dir, 0o1777|os.ModeSticky) }, "", ""},
		{"its directory is somebody's", func(dir, _ string) error { return os.Chown(dir, 65534, 0) }, "", "belongs to user 65534"},
		{"not executable", func(_, file string) error { return os.Chmod(file, 0o644) }, "", "is not executable"},
		{"not there", func(_, file string) error { return os.Remove(file) }, "", "no such file"},
		{"a directory", func(_, file string) error { return errors.Join(os.Remove(file), os.Mkdir(file, 0o755)) }, "", "is no file"},
	} {
		sub := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-"))
		file := filepath.Join(sub, "it")
		if err := errors.Join(os.Mkdir(sub, 0o755), os.WriteFile(file, nil, 0o755), tt.do(sub, file)); err != nil {
			t.Fatal(err)
		}
		link := filepath.Join(dir, "link-"+filepath.Base(sub))
		if err := os.Symlink(file, link); err != nil {
			t.Fatal(err)
		}
		for _, path := range []string{file, link} {
			p, err := New(Config{Argv: []string{path}, User: tt.user})
			if err != nil {
				t.Fatal(err)
			}
			if err := p.Trusted(); err == nil && tt.want != "" || err != nil && (tt.want == "" || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("%s (%s): %v", tt.name, filepath.Base(path), err)
			}
		}
	}
}

// TestInherit: a program has our environment, if that is wanted, without what changes how
// a shell splits and what the linker loads; else it has none of it.
func TestInherit(t *testing.T) {
	t.Setenv("TEAM", "gateways")
	t.Setenv("IFS", ":")
	t.Setenv("LD_LIBRARY_PATH", "/nowhere")
	const say = `tr '\0' '\n' </proc/$$/environ`
	for _, inherit := range []bool{false, true} {
		p := script(t, say)
		again, err := New(Config{Argv: p.argv, Inherit: inherit})
		if err != nil {
			t.Fatal(err)
		}
		out := again.Run(t.Context(), Run{Env: []string{"STATE=active"}, Output: 1 << 16}).Output
		for name, want := range map[string]bool{"TEAM=gateways": inherit, "IFS=": false, "LD_LIBRARY_PATH=": false, "PATH=": true, "STATE=active": true, "LC_ALL=C\n": !inherit} {
			if got := strings.Contains("\n"+out+"\n", "\n"+name); got != want {
				t.Errorf("inherit %t: %s is there: %t\n%s", inherit, strings.TrimSpace(name), got, out)
			}
		}
	}
	if got := inherited([]string{"A=1"}); len(got) != 2 || got[1] != usualPath {
		t.Errorf("without a PATH: %q", got)
	}
}
