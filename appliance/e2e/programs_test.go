package e2e

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// Where programs that are told something are, inside a gateway, and where they
// write what they hear.
const (
	toldPath = "/run/lab/told"
	saidPath = "/run/lab/said"
)

// told is a program that writes what it hears, and whether the address is there.
const told = `#!/bin/sh
case "$(ip -o addr show dev lan0)" in *" 10.0.0.1/"*) has=yes ;; *) has=no ;; esac
echo "$UNDERSTUDY_KIND $UNDERSTUDY_NAME $UNDERSTUDY_PREVIOUS>$UNDERSTUDY_STATE address $has${1:+ args $*}" >>/run/lab/said
`

// program puts a program on a gateway, which has nothing from before its last boot.
func (s *scene) program(g *pair.Gateway, path, text string) {
	s.t.Helper()
	s.must(g.WriteFile(path, []byte(text), 0o755))
}

// said is what the programs of a gateway have written; only what begins so, if
// there is a prefix.
func said(g *pair.Gateway, prefix string) (lines []string) {
	path, err := g.Path(saidPath)
	if err != nil {
		return nil
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return nil
	}
	for line := range strings.Lines(string(b)) {
		if strings.HasPrefix(line, prefix) && strings.HasSuffix(line, "\n") {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return lines
}

// says is a condition: that is what they have written, in that order.
func says(g *pair.Gateway, prefix string, want ...string) func(context.Context) error {
	return func(context.Context) error {
		if got := said(g, prefix); !slices.Equal(got, want) {
			return fmt.Errorf("%s has written %q, want %q", g.Name, got, want)
		}
		return nil
	}
}

// Through all that moves the role, programs are told each state once, in order, and
// what they are told is true: the address is there exactly if they are told of
// active.
func TestProgramsAreTold(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried, RouterKeys: `notify = [{ command = ["/run/lab/told"] }]`, Extra: `
[[group.notify]]
command = ["/run/lab/told", "own"]
arguments = "keepalived"`})
	for _, g := range s.Gateways {
		s.program(g, toldPath, told)
	}
	s.settle()
	first := []string{"router lan initialize>backup address no", "router lan backup>active address yes"}
	s.wait("gw1 to be told", says(s.gw1, "router lan", first...))
	s.wait("all to be told", func(context.Context) error {
		if n := len(said(s.gw1, "")); n != 6 {
			return fmt.Errorf("%d were", n)
		}
		return nil
	})
	s.wait("the group", says(s.gw1, "group", "group gateway initialize>backup address no args own GROUP gateway BACKUP 0",
		"group gateway backup>active address yes args own GROUP gateway MASTER 0"))
	s.wait("gw2 to be told", says(s.gw2, "router wan", "router wan initialize>backup address no"))
	s.load(s.gw1, 10)

	s.ok(s.gw1, "failover")
	s.settled(s.gw2)
	s.wait("both to be told", all(says(s.gw1, "router lan", append(first, "router lan active>backup address no")...),
		says(s.gw2, "router lan", first...)))
	s.ok(s.gw2, "failover")
	s.settled(s.gw1)
	s.wait("both to be told", all(says(s.gw1, "router lan", append(first, "router lan active>backup address no", "router lan backup>active address yes")...),
		says(s.gw2, "router lan", append(first, "router lan active>backup address no")...)))

	// A daemon that is restarted tells nobody what is known.
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw1)
	s.stays("it to be told no more", time.Second, says(s.gw1, "router lan",
		append(first, "router lan active>backup address no", "router lan backup>active address yes")...))

	// A fault, and its end.
	s.must(s.gw2.Link("wan0").Unplug())
	s.wait("gw2 to be told of its fault", says(s.gw2, "router lan", append(first, "router lan active>backup address no", "router lan backup>fault address no")...))
	s.must(s.gw2.Link("wan0").Plug())
	s.settled(s.gw1)
	since := append(first, "router lan active>backup address no", "router lan backup>fault address no", "router lan fault>backup address no")
	s.wait("gw2 to be told of its end", says(s.gw2, "router lan", since...))

	cut := s.crash(s.gw1)
	s.wait("gw2 to be told", says(s.gw2, "router lan", append(since, "router lan backup>active address yes")...))
	s.intact(cut)
	st := s.status(s.gw2)
	if n := st.Groups[0].Notify; len(n) != 1 || n[0].State != "active" || n[0].Failures != 0 || n[0].Runs < 3 {
		t.Errorf("status: %+v", n)
	}
	if out := s.ok(s.gw2, "status"); !strings.Contains(out, "/run/lab/told own") {
		t.Errorf("status:\n%s", out)
	}

	// The end is told before the program ends, when the addresses are gone.
	p := s.gw2.Process()
	s.must(p.Signal(syscall.SIGTERM))
	if a := s.ended(p); a.code != 0 {
		t.Errorf("exit code %d", a.code)
	}
	s.wait("gw2 to have been told", says(s.gw2, "router lan", append(since, "router lan backup>active address yes", "router lan active>initialize address no")...))
}

// A program that never ends, and listens to nobody, delays nothing but itself: not a
// takeover, not a hand-over, not the end.
func TestHangingProgramDelaysNothing(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried, RouterKeys: `notify = [{ command = ["/run/lab/told"], timeout = "10m" }]`, Extra: `
[[group.notify]]
command = ["/run/lab/fails"]`})
	for _, g := range s.Gateways {
		s.program(g, toldPath, "#!/bin/sh\ntrap '' TERM\necho \"$UNDERSTUDY_NAME $UNDERSTUDY_STATE\" >>/run/lab/said\nwhile :; do sleep 1000; done\n")
		s.program(g, "/run/lab/fails", "#!/bin/sh\necho no luck; exit 4\n")
	}
	s.settle()
	s.load(s.gw1, 20)
	began := time.Now()
	s.wait("the alarm", alarmed(s.gw1, "notify-failed"))
	for range 2 {
		s.ok(s.gw1, "failover")
		s.settled(s.gw2)
		s.ok(s.gw2, "failover")
		s.settled(s.gw1)
	}
	s.intact(began)
	s.mild(began)
	s.wait("what the first of them heard", says(s.gw1, "lan", "lan backup"))
	st := s.status(s.gw1)
	if n := st.Routers[0].Notify[0]; !n.Running || n.Runs != 0 {
		t.Errorf("status: %+v", n)
	}
	if n := st.Groups[0].Notify[0]; n.ExitCode != 4 || n.Error != "exit code 4" || n.Runs == 0 {
		t.Errorf("status: %+v", n)
	}
	if len(s.journal.of(s.gw1, `"msg":"notify"`, `"output":"no luck"`)) == 0 {
		t.Error("what the program wrote is not in the log")
	}
	p := s.gw1.Process()
	s.must(p.Signal(syscall.SIGTERM))
	if a := s.ended(p); a.code != 0 {
		t.Errorf("exit code %d", a.code)
	}
	s.wait("gw2 active", s.gw2.Is("active"))
	s.alone(s.gw1)
	s.intact(began)
}

// The daemon is killed while a program runs. The next one ends what is left of it
// and tells the state again: never two at a time. Once it has come to its end it is
// not told again.
func TestDaemonKilledDuringNotify(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried, Extra: `
[[group.notify]]
command = ["/run/lab/told"]
states = ["active"]
timeout = "10m"`})
	s.program(s.gw1, toldPath, `#!/bin/sh
for other in $(cat /run/lab/running 2>/dev/null); do
	grep -q ') [^Z]' /proc/$other/stat 2>/dev/null && echo overlap >>/run/lab/said
done
echo begin >>/run/lab/said
test -e /run/lab/go || sleep 1000 &
echo $$ $! >/run/lab/running
wait
echo end >>/run/lab/said
`)
	s.settle()
	s.wait("the program", says(s.gw1, "", "begin"))
	began := time.Now()
	for n := range 2 {
		pid := s.kill(s.gw1, "daemon")
		s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
		s.wait("the program again", says(s.gw1, "", slices.Repeat([]string{"begin"}, n+2)...))
	}
	s.settled(s.gw1)
	s.program(s.gw1, "/run/lab/go", "")
	path, err := s.gw1.Path("/run/lab/running")
	s.must(err)
	pids, err := os.ReadFile(path)
	s.must(err)
	s.wait("what the program waits for", func(context.Context) error {
		list, err := processes(s.gw1)
		if err == nil && list["1000"] == 0 {
			err = fmt.Errorf("the program does not run: %v, it is %s", list, pids)
		}
		if err == nil {
			err = unix.Kill(list["1000"], unix.SIGKILL)
		}
		return err
	})
	heard := []string{"begin", "begin", "begin", "end"}
	s.wait("its end", says(s.gw1, "", heard...))
	s.wait("the end to be known", func(context.Context) error {
		if n := s.status(s.gw1).Groups[0].Notify; n[0].Runs != 1 || n[0].State != "active" {
			return fmt.Errorf("status: %+v", n)
		}
		return nil
	})
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.settled(s.gw1)
	s.stays("it not to be told again", time.Second, says(s.gw1, "", heard...))
	if lines := s.journal.of(s.gw1, "predecessor's program"); len(lines) != 2 {
		t.Errorf("ended what was left %d times, want 2", len(lines))
	}
	if n := s.status(s.gw2); n.Groups[0].State != "backup" || time.Since(began) < 0 {
		t.Errorf("gw2 is %s", n.Groups[0].State)
	}
}

// What activation waits for runs while the address is not there, and what is told
// afterwards when it is.
func TestActivationWaits(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried, Extra: `
[[group.notify]]
command = ["/run/lab/told"]
[[group.notify]]
command = ["/run/lab/before"]
when = "before"
timeout = "1s"`})
	for _, g := range s.Gateways {
		s.program(g, toldPath, told)
		s.program(g, "/run/lab/before", told+"sleep 0.3\n")
	}
	s.settle()
	want := []string{"group gateway initialize>backup address no", "group gateway initialize>active address no", "group gateway backup>active address yes"}
	s.wait("gw1 to be told", says(s.gw1, "", want...))
	s.load(s.gw1, 10)
	// One that does not end holds up for its time, and no longer.
	s.program(s.gw2, "/run/lab/before", told+"sleep 1000\n")
	cut := s.crash(s.gw1)
	s.wait("gw2 to be told", says(s.gw2, "", want...))
	s.intact(cut)
	s.wait("the failure in the status", func(context.Context) error {
		if n := s.status(s.gw2).Groups[0].Notify[1]; n.Failures != 1 || n.Error != "ended by its timeout" {
			return fmt.Errorf("status: %+v", n)
		}
		return nil
	})
	s.whole()
}

// A program that anybody could exchange is not run as root.
func TestUntrustedProgramIsNotRun(t *testing.T) {
	s := newScene(t, pair.Options{NoSessions: true, Extra: `
[[group.notify]]
command = ["/run/lab/told"]`})
	s.must(s.gw1.WriteFile(toldPath, []byte(told), 0o755))
	path, err := s.gw1.Path(toldPath)
	s.must(err)
	s.must(os.Chmod(path, 0o777))
	s.must(s.gw1.Start())
	s.wait("gw1 active", s.gw1.Is("active"))
	s.wait("the alarm", alarmed(s.gw1, "notify-failed"))
	if n := s.status(s.gw1).Groups[0].Notify[0]; !strings.Contains(n.Error, "everybody may write /run/lab/told") {
		t.Errorf("status: %+v", n)
	}
	s.must(os.Chmod(path, 0o755))
	s.ok(s.gw1, "failover")
	s.wait("it to be told", func(context.Context) error {
		if len(said(s.gw1, "group")) == 0 {
			return fmt.Errorf("it was not")
		}
		return nil
	})
	s.wait("no alarm", calm(s.gw1))
}
