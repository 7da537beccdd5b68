package probe_test

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"

	"understudy/health"
	"understudy/health/probe"
)

// notifyAndWait sends datagrams, and returns when the last of them was read: those before it were
// judged then.
func notifyAndWait(t *testing.T, socket string, states ...string) {
	t.Helper()
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	must(t, err)
	defer c.Close()
	for _, s := range states {
		must(t, justWrite(c, []byte(s)))
	}
	raw, err := c.SyscallConn()
	must(t, err)
	eventually(t, "the datagrams to be read", func() bool {
		waits := 0
		must(t, raw.Control(func(fd uintptr) { waits, err = unix.IoctlGetInt(int(fd), unix.SIOCOUTQ) }))
		must(t, err)
		return waits == 0
	})
}

// notify sends a datagram as sd_notify does: by a socket that is opened for it.
func notify(socket, state string) error {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return err
	}
	defer c.Close()
	return justWrite(c, []byte(state))
}

func runWatchdog(t *testing.T, cfg probe.WatchdogConfig) (got *inputs, stop func()) {
	t.Helper()
	got = &inputs{}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		(&probe.Watchdog{WatchdogConfig: cfg}).Run(ctx, got.add)
	}()
	stop = func() { cancel(); <-ended }
	t.Cleanup(stop)
	return got, stop
}

func TestWatchdog(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "web")
	got, stop := runWatchdog(t, probe.WatchdogConfig{Socket: socket, UID: -1, Check: 5})
	eventually(t, "the socket", func() bool { return notify(socket, "READY=1\nSTATUS=serving") == nil })
	want := []health.Input{{Kind: health.InResult, OK: true}}
	for _, tt := range []struct {
		say  string
		want health.Input
	}{
		{"WATCHDOG=1", health.Input{Kind: health.InResult, OK: true}},
		{"WATCHDOG=1\nSTATUS=x", health.Input{Kind: health.InResult, OK: true}},
		{"STATUS=nothing else", health.Input{}},
		{"READY=1\x00STOPPING=1", health.Input{}},
		{"WATCHDOG=trigger", health.Input{Kind: health.InResult, Certain: true, Why: "watchdog " + socket + ": it asks to be taken for dead"}},
		{"STOPPING=1\nSTATUS=bye", health.Input{Kind: health.InResult, Certain: true, Why: "watchdog " + socket + ": it (bye) stops"}},
		{"READY=1", health.Input{Kind: health.InResult, OK: true}},
	} {
		must(t, notify(socket, tt.say))
		if tt.want != (health.Input{}) {
			want = append(want, tt.want)
		}
		eventually(t, tt.say, func() bool { all, _ := got.list(); return len(all) == len(want) })
	}
	all, at := got.list()
	for i := range want {
		if all[i] != want[i] || at[i] != 5 {
			t.Errorf("%d: %+v of %d, want %+v", i, all[i], at[i], want[i])
		}
	}
	stop()
	if _, err := os.Lstat(socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the socket is still there: %v", err)
	}
}

// The kernel says who sent a datagram; others than the user, and other processes
// than the one, are nobody.
func TestWatchdogBelievesItsServiceOnly(t *testing.T) {
	dir := t.TempDir()
	pidFile := filepath.Join(dir, "pid")
	for _, tt := range []struct {
		name string
		cfg  probe.WatchdogConfig
		pid  string
		want bool
	}{
		{"anybody", probe.WatchdogConfig{UID: -1}, "", true},
		{"us", probe.WatchdogConfig{UID: os.Getuid()}, "", true},
		{"our process", probe.WatchdogConfig{UID: -1, PIDFile: pidFile}, strconv.Itoa(os.Getpid()) + "\n", true},
		{"another process", probe.WatchdogConfig{UID: -1, PIDFile: pidFile}, "1\n", false},
		{"no process", probe.WatchdogConfig{UID: -1, PIDFile: pidFile}, "", false},
		{"no number", probe.WatchdogConfig{UID: -1, PIDFile: pidFile}, "me\n", false},
	} {
		must(t, os.WriteFile(pidFile, []byte(tt.pid), 0o644))
		tt.cfg.Socket = filepath.Join(dir, "s")
		got, stop := runWatchdog(t, tt.cfg)
		eventually(t, "the socket", func() bool { return notify(tt.cfg.Socket, "STATUS=x") == nil })
		// Then the process that is right, so that an outcome is seen in any case. What
		// was sent before is judged by what was true then.
		notifyAndWait(t, tt.cfg.Socket, "WATCHDOG=1", "STATUS=x")
		must(t, os.WriteFile(pidFile, []byte(strconv.Itoa(os.Getpid())), 0o644))
		must(t, notify(tt.cfg.Socket, "WATCHDOG=trigger"))
		eventually(t, "the last word", func() bool {
			all, _ := got.list()
			return len(all) > 0 && all[len(all)-1].Certain
		})
		if all, _ := got.list(); (len(all) == 2) != tt.want {
			t.Errorf("%s: %+v", tt.name, all)
		}
		stop()
	}
}

// What another user sends is passed over.
func TestWatchdogDoesNotBelieveOtherUsers(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("needs root: becomes others")
	}
	dir, err := os.MkdirTemp("/tmp", "watchdog") // where anyone may look
	must(t, err)
	t.Cleanup(func() { os.RemoveAll(dir) })
	must(t, os.Chmod(dir, 0o755))
	socket := filepath.Join(dir, "web")
	got, _ := runWatchdog(t, probe.WatchdogConfig{Socket: socket, UID: 65534})
	eventually(t, "the socket", func() bool { return notify(socket, "X=1") == nil })
	must(t, notifyAs(1000, socket, "STOPPING=1"))
	must(t, notifyAs(65534, socket, "READY=1"))
	must(t, notifyAs(0, socket, "WATCHDOG=trigger"))
	eventually(t, "the last word", func() bool {
		all, _ := got.list()
		return len(all) > 0 && strings.Contains(all[len(all)-1].Why, "taken for dead")
	})
	if all, _ := got.list(); len(all) != 2 || !all[0].OK {
		t.Errorf("%+v", all)
	}
}

// notifyAs is notify on a thread that belongs to another user from then on, and
// ends.
func notifyAs(uid int, socket, state string) error {
	errC := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked: the thread ends with the goroutine
		if _, _, e := syscall.RawSyscall(syscall.SYS_SETRESUID, uintptr(uid), uintptr(uid), uintptr(uid)); e != 0 {
			errC <- e
			return
		}
		errC <- notify(socket, state)
	}()
	return <-errC
}

// A reload opens the socket anew before the old one is closed: the name is never
// gone, and the one that closes leaves the other's alone. What is no socket is not
// replaced.
func TestWatchdogSocketIsReplaced(t *testing.T) {
	dir := t.TempDir()
	socket := filepath.Join(dir, "web")
	_, stopFirst := runWatchdog(t, probe.WatchdogConfig{Socket: socket, UID: -1})
	eventually(t, "the first socket", func() bool { return notify(socket, "X=1") == nil })
	first, err := os.Lstat(socket)
	must(t, err)
	got, _ := runWatchdog(t, probe.WatchdogConfig{Socket: socket, UID: -1})
	eventually(t, "the second socket", func() bool {
		st, err := os.Lstat(socket)
		return err == nil && !os.SameFile(st, first)
	})
	stopFirst()
	must(t, notify(socket, "WATCHDOG=1"))
	eventually(t, "what is said to the second", func() bool { all, _ := got.list(); return len(all) == 1 })

	file := filepath.Join(dir, "file")
	must(t, os.WriteFile(file, []byte("mine"), 0o644))
	refused, _ := runWatchdog(t, probe.WatchdogConfig{Socket: file, UID: -1})
	eventually(t, "the refusal", func() bool {
		all, _ := refused.list()
		return len(all) > 0 && strings.Contains(all[0].Why, "there is something else")
	})
	if b, err := os.ReadFile(file); err != nil || string(b) != "mine" {
		t.Errorf("the file was replaced: %q, %v", b, err)
	}
}

// A service whose one thread goes on to reset the timer while the others serve
// nobody: the timer is content, and what it serves is not. Together they are down.
func TestWatchdogFedByAHalfDeadServiceUnderACompositeCheck(t *testing.T) {
	n := newNetwork(t)
	socket := filepath.Join(t.TempDir(), "web")
	var halfDead atomic.Bool
	serveHTTP(t, n.b, ":80", &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if halfDead.Load() {
			<-r.Context().Done()
		}
	})})
	page, err := probe.NewHTTP(probe.HTTPConfig{Endpoint: target("10.1.0.2:80")})
	must(t, err)
	timer := pushed("timer", 20*ms, soon, 2)
	served := check("served", 50*ms, 500*ms, proberIn{n.a, page})
	served.Rise, served.Fall = 1, 2
	both := probe.Check{CheckConfig: health.CheckConfig{Name: "both", Derived: true}, Of: []int{0, 1}, Need: 2}
	w := probe.NewWatcher([]probe.Check{timer, served, both}, nil, &probe.Watchdog{WatchdogConfig: probe.WatchdogConfig{Socket: socket, UID: -1, Check: 0}})
	state, why := watchIn(t, n.a, w)
	stopC := make(chan struct{})
	defer close(stopC)
	go func() { // the thread that lives
		for {
			_ = notify(socket, "WATCHDOG=1")
			select {
			case <-stopC:
				return
			case <-time.After(20 * ms):
			}
		}
	}()
	eventually(t, "all to be well", func() bool { return state("both") == health.Up })
	halfDead.Store(true)
	eventually(t, "it to be found out", func() bool { return state("both") == health.Down })
	if state("timer") != health.Up || state("served") != health.Down {
		t.Errorf("timer %v, served %v", state("timer"), state("served"))
	}
	if got := why("both"); !strings.HasPrefix(got, "1 of 2 up, 2 wanted: served: http 10.1.0.2:80/: no answer in 500ms") {
		t.Errorf("why: %s", got)
	}
	halfDead.Store(false)
	eventually(t, "it to be well again", func() bool { return state("both") == health.Up })
}

// fixed is a prober that does as it is told.
type fixed struct{ bad atomic.Bool }

func (f *fixed) Probe(context.Context) error {
	if f.bad.Load() {
		return errors.New("told so")
	}
	return nil
}

// Checks of checks of checks follow what they are made of, in the same moment.
func TestCombinedChecks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		leaves := []*fixed{{}, {}, {}}
		var list []probe.Check
		for i, f := range leaves {
			c := check(string(rune('a'+i)), 100*ms, 50*ms, f)
			c.Rise, c.Fall = 1, 1
			list = append(list, c)
		}
		combine := func(name string, need int, of ...int) {
			list = append(list, probe.Check{CheckConfig: health.CheckConfig{Name: name, Derived: true}, Of: of, Need: need})
		}
		combine("most", 2, 0, 1, 2) // 3
		combine("any", 1, 0, 1)     // 4
		combine("all", 2, 3, 4)     // 5
		combine("one", 1, 2)        // 6
		combine("rather", 2, 5, 6)  // 7
		w := probe.NewWatcher(list, nil)
		ctx, cancel := context.WithCancel(t.Context())
		doneC := make(chan struct{})
		var changes []string
		states := func() (s string) {
			for _, f := range w.Facts()[3:] {
				s += map[health.State]string{health.Up: "U", health.Down: "D", health.Unknown: "?"}[f.State]
			}
			return s
		}
		step := func(bad string, want string) {
			for i, f := range leaves {
				f.bad.Store(strings.ContainsRune(bad, rune('a'+i)))
			}
			time.Sleep(100 * ms)
			synctest.Wait()
			if got := states(); got != want {
				t.Errorf("with %q bad: %s, want %s", bad, got, want)
			}
		}
		if got := states(); got != "?????" {
			t.Errorf("at first: %s", got)
		}
		go func() {
			defer close(doneC)
			w.Run(ctx, func(c probe.Change) { changes = append(changes, c.Name+" "+c.To.String()) })
		}()
		step("", "UUUUU")
		step("a", "UUUUU")
		step("ab", "DDDUD")
		step("b", "UUUUU")
		step("c", "UUUDD")
		step("abc", "DDDDD")
		step("", "UUUUU")
		cancel()
		<-doneC
		if len(changes) == 0 || !strings.Contains(strings.Join(changes, ","), "rather down") {
			t.Errorf("%q", changes)
		}
	})
}

// What is the same is tried once, whatever it is called; each judges for itself.
func TestOneProbeForAllWhoAsk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var runs atomic.Int32
		p := fake(func(context.Context) error { runs.Add(1); return errors.New("no") })
		one := func(name, subject string, every time.Duration, fall int) probe.Check {
			c := check(name, every, 50*ms, p)
			c.Subject, c.Fall = subject, fall
			return c
		}
		w := probe.NewWatcher([]probe.Check{
			one("a", "tcp 10.0.0.1:80", 100*ms, 1),
			one("b", "tcp 10.0.0.1:80", 100*ms, 5),
			one("another target", "tcp 10.0.0.2:80", 100*ms, 1),
			one("another pace", "tcp 10.0.0.1:80", 300*ms, 1),
			one("no subject", "", 100*ms, 1),
			one("none either", "", 100*ms, 1),
		}, nil)
		got := watch(t, w, 590*ms)
		if w.Probes() != 5 || runs.Load() != 6*4+2 {
			t.Errorf("%d probes, %d runs", w.Probes(), runs.Load())
		}
		f := w.Facts()
		if f[0].Results != 6 || f[1].Results != 6 || f[0].State != health.Down || f[1].State != health.Down || !f[1].Since.After(f[0].Since) {
			t.Errorf("%+v\n%+v\n%q", f[0], f[1], got)
		}
	})
}

// A check that is held down comes up when its time is over, though nothing else
// happens then.
func TestDampedCheckComesUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &fixed{}
		c := check("c", 100*ms, 50*ms, f)
		c.Rise, c.Fall = 1, 1
		c.Damp = health.Damp{HalfLife: 10 * time.Second, Suppress: 1000}
		w := probe.NewWatcher([]probe.Check{c}, nil)
		time.AfterFunc(150*ms, func() { f.bad.Store(true) })
		time.AfterFunc(250*ms, func() { f.bad.Store(false) })
		got := watch(t, w, 30*time.Second)
		// Up at 0, down at 200 ms with a penalty of 1000, which is let go of at 1000.
		if want := "0s c up 200ms c down: told so 300ms c up"; strings.Join(got, " ") != want {
			t.Errorf("%q, want %q", got, want)
		}
		c.Damp.Reuse = 500
		f.bad.Store(false)
		w = probe.NewWatcher([]probe.Check{c}, nil)
		time.AfterFunc(150*ms, func() { f.bad.Store(true) })
		time.AfterFunc(250*ms, func() { f.bad.Store(false) })
		got = watch(t, w, 30*time.Second)
		if len(got) != 3 || got[1] != "200ms c down: told so" || !strings.HasPrefix(got[2], "10.2") {
			t.Errorf("%q, want it back one half-life after 200 ms", got)
		}
	})
}
