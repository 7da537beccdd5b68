package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/history"
)

// twin is a node that says what a test wants.
type twin struct {
	control.Handler // what nobody asks for

	mu     sync.Mutex
	status appliance.Status
	log    history.Log
	news   chan struct{}
}

func newTwin() *twin {
	n := &twin{news: make(chan struct{})}
	n.status = appliance.NewStatus()
	n.status.Node, n.status.Version = "gw1", "1.2"
	n.status.Groups = []appliance.GroupStatus{{Name: "gateway", State: "backup", Reason: "startup", Members: []string{"lan"}}}
	n.status.Alarms = []appliance.Alarm{{Name: "no-peer", Since: time.Now(), Detail: "nobody"}}
	return n
}

func (n *twin) Status(context.Context) (appliance.Status, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	s := n.status
	s.Groups = append([]appliance.GroupStatus(nil), s.Groups...)
	return s, nil
}

func (n *twin) Events(ctx context.Context, q history.Query, wait time.Duration) (history.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		n.mu.Lock()
		a, news := history.Answer{Rev: n.log.Rev(), Events: n.log.Events(q)}, n.news
		n.mu.Unlock()
		if len(a.Events) > 0 || wait == 0 {
			return a, nil
		}
		select {
		case <-news:
		case <-ctx.Done():
			return a, nil
		}
	}
}

func (n *twin) become(state, text string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.status.Groups[0].State = state
	n.log.Append(history.Event{At: time.Now(), Kind: history.Transition, Group: "gateway", To: state, Text: text})
	close(n.news)
	n.news = make(chan struct{})
}

// listen serves the node until the test ends, or end is called.
func (n *twin) listen(t *testing.T, path string) (end func()) {
	t.Helper()
	s, err := control.Listen(path, n)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	end = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	t.Cleanup(end)
	return end
}

// screen is what was written by a process, as it comes.
type screen struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *screen) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

// shows waits until a text was written.
func (s *screen) shows(t *testing.T, text string) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(s.String(), text); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never %q in\n%q", text, s.String())
		}
	}
}

// start runs the program; in a terminal of so many columns and rows, if there are any.
func start(t *testing.T, columns, rows uint16, env []string, args ...string) (*exec.Cmd, *screen) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	out := &screen{}
	cmd := exec.Command(exe, args...)
	cmd.Env = append(append(os.Environ(), asMain+"=1", "TERM=xterm", "NO_COLOR="), env...)
	cmd.Stdout, cmd.Stderr = out, out
	if columns > 0 {
		master, slave := terminal(t, columns, rows)
		cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
		go func() { // ends with the terminal
			b := make([]byte, 4096)
			for {
				n, err := master.Read(b)
				if err != nil {
					return
				}
				out.Write(b[:n])
			}
		}()
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, out
}

func terminal(t *testing.T, columns, rows uint16) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { master.Close() })
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err == nil {
		err = unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Col: columns, Row: rows})
	}
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { slave.Close() })
	return master, slave
}

func interrupted(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("interrupted, it ends with %v", err)
	}
}

// Colours are for terminals, and not for those who do not want any.
func TestStatusColours(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	newTwin().listen(t, path)
	for _, row := range []struct {
		name    string
		columns uint16
		env     string
		want    bool
	}{
		{"a terminal", 200, "X=", true},
		{"a pipe", 0, "X=", false},
		{"NO_COLOR", 200, "NO_COLOR=1", false},
		{"a dumb terminal", 200, "TERM=dumb", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			cmd, out := start(t, row.columns, 50, []string{row.env}, "status", "--control", path)
			if err := cmd.Wait(); err != nil {
				t.Fatal(err)
			}
			out.shows(t, "nobody")
			if got := strings.Contains(out.String(), "\x1b["); got != row.want {
				t.Errorf("colours: %v, want %v: %q", got, row.want, out.String())
			}
			for _, want := range []string{"gateway", "backup", "this node takes part", "no-peer"} {
				if !strings.Contains(out.String(), want) {
					t.Errorf("no %q in\n%s", want, out.String())
				}
			}
		})
	}
}

// In a terminal the status is drawn over itself, within its size, and the screen from
// before comes back. A node that is away for a moment does not end it.
func TestWatchInATerminal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	n := newTwin()
	end := n.listen(t, path)
	cmd, out := start(t, 40, 12, nil, "status", "--watch", "--control", path)
	out.shows(t, "backup")
	n.become("active", "gateway is active")
	out.shows(t, "active")
	end()
	out.shows(t, "NO ANSWER")
	n.status.Groups[0].State = "fault"
	n.listen(t, path)
	out.shows(t, "fault")
	interrupted(t, cmd)
	out.shows(t, screenClose)
	text := out.String()
	if !strings.HasPrefix(text, screenOpen) || strings.Contains(text, "\x1b[2J") {
		t.Errorf("begins with %q, or clears the screen", text[:min(len(text), 40)])
	}
	for _, frame := range strings.Split(text, screenTop)[1:] {
		frame, _, _ = strings.Cut(frame, screenRest)
		lines := strings.Split(frame, "\r\n")
		if len(lines) > 12 {
			t.Errorf("%d lines in 12 rows", len(lines))
		}
		for _, l := range lines {
			if w := appliance.Width(strings.TrimSuffix(strings.ReplaceAll(l, "\x1b[K", ""), "\r")); w > 40 {
				t.Errorf("%d characters in 40 columns: %q", w, l)
			}
		}
	}
}

// Elsewhere there is a line for each change, and nothing that a terminal only knows.
func TestWatchInAPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	n := newTwin()
	end := n.listen(t, path)
	cmd, out := start(t, 0, 0, nil, "status", "--watch", "--control", path)
	out.shows(t, "gw1: gateway is backup: this node takes part\n")
	out.shows(t, "gw1: alarm no-peer: nobody\n")
	n.become("active", "gateway is active, was backup")
	out.shows(t, "gw1: gateway is active, was backup\n")
	end()
	out.shows(t, "no answer")
	n.listen(t, path)
	out.shows(t, "answers again")
	n.become("fault", "gateway is fault, was active")
	out.shows(t, "gw1: gateway is fault, was active\n")
	interrupted(t, cmd)
	if text := out.String(); strings.ContainsRune(text, '\x1b') || strings.Count(text, "was backup") != 1 || strings.Count(text, "no answer") != 1 {
		t.Errorf("got\n%q", text)
	}
}

// The events of a node, as they come.
func TestEventsFollow(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	n := newTwin()
	n.listen(t, path)
	n.become("backup", "one")
	cmd, out := start(t, 0, 0, nil, "events", "--follow", "--json", "--control", path)
	out.shows(t, `"text":"one"`)
	n.become("active", "two")
	out.shows(t, `"text":"two"`)
	interrupted(t, cmd)
	if got := strings.Count(out.String(), "\n"); got != 2 {
		t.Errorf("%d lines, want 2:\n%s", got, out.String())
	}
}

// Without the privileges of root a command says which it lacks, and what to do; it has
// done nothing by then.
func TestPermissionDenied(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	dir := t.TempDir()
	_, secret, _ := understudy(t, dir, "keygen")
	write(t, dir, "secret", secret, 0o600)
	write(t, dir, "gw.toml", "node = \"gw1\"\n[[router]]\nname = \"lan\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"10.0.0.1/24\"]\n", 0o644)
	path := filepath.Join(dir, "run", "control.sock")
	newTwin().listen(t, path)
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"run", "--config", "gw.toml"}, "CAP_NET_ADMIN and CAP_NET_RAW"},
		{[]string{"clean"}, "CAP_NET_ADMIN"},
		{[]string{"status", "--control", path}, "permission denied: the socket is root's alone"},
	} {
		t.Run(row.args[0], func(t *testing.T) {
			cmd := exec.Command(exe, row.args...)
			cmd.Env, cmd.Dir = append(os.Environ(), asMain+"=1"), dir
			// A user of a namespace without any: nobody, with no capability.
			cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER}
			out, err := cmd.CombinedOutput()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
				t.Errorf("%v, want exit code %d", err, exitFailed)
			}
			for _, want := range []string{"permission denied", row.want, "run as root"} {
				if !strings.Contains(string(out), want) {
					t.Errorf("no %q in: %s", want, out)
				}
			}
		})
	}
}

// The doctor of somebody who may do nothing says so, and does not call untried features
// missing.
func TestDoctorWithoutPrivileges(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("needs root, to be somebody else")
	}
	dir := t.TempDir()
	write(t, dir, "gw.toml", "node = \"gw1\"\n[[router]]\nname = \"lan\"\ninterface = \"lo\"\nvrid = 51\nadvertise = \"100ms\"\naddresses = [\"10.0.0.1/24\"]\n", 0o644)
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "doctor", "--config", "gw.toml", "--listen", "10ms", "--control", "none.sock")
	cmd.Env, cmd.Dir = append(os.Environ(), asMain+"=1"), dir
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWUSER | syscall.CLONE_NEWNET}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != exitFailed {
		t.Errorf("%v, want exit code %d", err, exitFailed)
	}
	for _, want := range []string{"no CAP_NET_ADMIN", "no CAP_NET_RAW", "fix: run it as root", "cannot be tried: operation not permitted", "cannot be listened at"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("no %q in\n%s", want, out)
		}
	}
	if strings.Contains(string(out), "this kernel lacks") {
		t.Errorf("what was not tried is missing:\n%s", out)
	}
}
