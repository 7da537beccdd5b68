//go:build guest

package dog

import (
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/guest"
)

// longest leaves a machine that is emulated all the time it needs: nothing here is
// to reset it.
const longest = 10 * time.Minute

// state is what the kernel says of the watchdog: active, or inactive.
func state(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("/sys/class/watchdog/watchdog0/state")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(3 * time.Minute); !ok(); time.Sleep(50 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited for %s; the watchdog is %s", what, state(t))
		}
	}
}

// The kernel's own device: it takes the timeout, runs on when whoever had it open is
// gone, and is stopped by the magic close alone.
func TestGuestDeviceIsStoppedByAReleaseAlone(t *testing.T) {
	guest.Load(t, guest.Softdog)
	d, err := OpenDevice("/dev/watchdog", longest)
	if err != nil {
		t.Fatal(err)
	}
	if d.Timeout() != longest || state(t) != "active" {
		t.Errorf("timeout %v, %s", d.Timeout(), state(t))
	}
	if _, err := OpenDevice("/dev/watchdog", longest); err == nil {
		t.Error("open twice")
	}
	if err := d.Feed(); err != nil {
		t.Error(err)
	}
	if err := unix.Close(d.fd); err != nil { // as the end of a process would
		t.Fatal(err)
	}
	if state(t) != "active" {
		t.Error("stopped by a close without the magic")
	}
	if d, err = OpenDevice("/dev/watchdog", longest); err != nil {
		t.Fatal(err)
	}
	if err := d.Release(); err != nil {
		t.Error(err)
	}
	if state(t) != "inactive" {
		t.Error("not stopped by the magic close")
	}
	if _, err := OpenDevice("/dev/watchdog", 100*time.Hour); err == nil {
		t.Error("a timeout that softdog does not have")
	}
	if state(t) != "inactive" {
		t.Error("left running by a device that was refused")
	}
}

// The program arms the watchdog when it takes part, leaves it running when both its
// processes are killed, takes it over when it is started again, and stops it when it
// is stopped.
func TestGuestNodeFeedsTheWatchdog(t *testing.T) {
	guest.Load(t, guest.Softdog, guest.Modules{"af_packet", "veth", "bridge", "nf_conntrack", "nf_conntrack_netlink"})
	if state(t) != "inactive" {
		t.Fatal("it runs before anything was started")
	}
	l := lab.NewT(t)
	n := l.Node("gw1")
	l.Join(n, l.Segment("lan"), "lan0", "10.0.0.2/24")
	const conf = "/run/lab/understudy.toml"
	if err := n.WriteFile(conf, []byte(`node = "gw1"
watchdog = "/dev/watchdog"
watchdog_timeout = "600s"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
`), 0o644); err != nil {
		t.Fatal(err)
	}
	start := func() *lab.Process {
		p, err := n.Start(guest.Program, "run", "--config", conf)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if t.Failed() {
				t.Log(p.Output())
			}
		})
		return p
	}
	fed := func(p *lab.Process) func() bool {
		return func() bool { return strings.Contains(p.Output(), "the watchdog is fed") }
	}
	p := start()
	eventually(t, "it to be armed", func() bool { return state(t) == "active" })
	eventually(t, "it to be fed", fed(p))
	if err := n.Kill(); err != nil {
		t.Fatal(err)
	}
	if state(t) != "active" {
		t.Error("a node that was killed has stopped it")
	}
	p = start()
	eventually(t, "it to be fed again", fed(p))
	if err := p.Stop(3 * time.Minute); err != nil {
		t.Fatal(err)
	}
	if state(t) != "inactive" {
		t.Error("a node that was stopped has left it running")
	}
}
