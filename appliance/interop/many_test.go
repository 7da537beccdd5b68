package interop

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// TestEveryVRIDOnOneInterface: 255 virtual routers, each a group by itself. All of
// them are advertised, all are taken over after a crash, with their addresses, and
// a dead election process is followed by one that goes on with every one of them.
func TestEveryVRIDOnOneInterface(t *testing.T) {
	lab.Require(t)
	s := newScene(t)
	const routers = 255
	config := func(priority int) string {
		var b strings.Builder
		for vrid := 1; vrid <= routers; vrid++ {
			b.WriteString(routerTOML(fmt.Sprintf("r%d", vrid), "lan0", uint8(vrid), settings{priority: priority, interval: time.Second},
				fmt.Sprintf("\"10.0.2.%d/32\"", vrid), ""))
		}
		return b.String()
	}
	a, b := &box{scene: s, Node: s.Node("a")}, &box{scene: s, Node: s.Node("b")}
	s.Join(a.Node, s.lan, "lan0", "10.0.1.2/24")
	s.Join(b.Node, s.lan, "lan0", "10.0.1.3/24")
	w := s.record(s.lan)
	all := func(x *box, state string, addresses int) func() error {
		return func() error {
			st, err := x.client.Status(s.within(patience)) // whichever process answers
			if err != nil {
				return err
			}
			n := 0
			for _, r := range st.Routers {
				if r.State == state {
					n++
				}
			}
			link, err := x.Netlink().LinkByName("lan0")
			if err != nil {
				return err
			}
			list, err := x.Netlink().AddrList(link, netlink.FAMILY_V4)
			if err != nil {
				return err
			}
			if n != routers || len(list) != 1+addresses {
				return fmt.Errorf("%d of %d routers of %s are %s, with %d addresses", n, len(st.Routers), x.Name, state, len(list)-1)
			}
			return nil
		}
	}
	// spoken is how many VRIDs somebody has advertised since, and with priority 0.
	spoken := func(x *box, since time.Time) (vrids, zero int) {
		seen := map[uint8]bool{}
		for _, f := range w.adverts(x.Name) {
			if f.At.Before(since) {
				continue
			}
			if seen[f.VRID] = true; f.Priority == 0 {
				zero++
			}
		}
		return len(seen), zero
	}
	speaks := func(x *box, since time.Time) func() error {
		return func() error {
			if n, _ := spoken(x, since); n != routers {
				return fmt.Errorf("%s has advertised %d", x.Name, n)
			}
			return nil
		}
	}
	a.run(config(200))
	s.wait("a to have all", all(a, "active", routers))
	b.run(config(100))
	s.wait("b to stand by", all(b, "backup", 0))
	now := time.Now()
	s.wait("all adverts", speaks(a, now))
	s.must(all(b, "backup", 0)())

	_, err := a.Crash()
	s.must(err)
	cut := time.Now()
	s.wait("b to have all", all(b, "active", routers))
	s.wait("all adverts", speaks(b, cut))

	// The board has a slot for each of them.
	pids, err := b.Pids()
	s.must(err)
	died := time.Now()
	for _, pid := range pids {
		if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(line), "\x00run\x00") {
			s.must(unix.Kill(pid, unix.SIGKILL))
		}
	}
	s.wait("a new election process", func() error {
		now, err := b.Pids()
		if err != nil {
			return err
		}
		for _, pid := range now {
			if line, _ := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); strings.Contains(string(line), "\x00election\x00") {
				return nil
			}
		}
		return fmt.Errorf("processes %v", now)
	})
	again := time.Now()
	s.wait("all adverts", speaks(b, again))
	s.wait("all to be there", all(b, "active", routers))
	if _, zero := spoken(b, died); zero > 0 {
		t.Errorf("%d were given up", zero)
	}
	after, err := b.client.Status(s.within(patience))
	s.must(err)
	for _, r := range after.Routers {
		if r.Transitions != 1 { // one that had to begin anew was Backup in between
			t.Errorf("router %s was not resumed: %d transitions (%s)", r.Name, r.Transitions, r.Reason)
		}
	}
}
