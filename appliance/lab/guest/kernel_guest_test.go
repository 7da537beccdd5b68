//go:build guest

package guest

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// softdog gives the machine a watchdog, which says what it can do.
func TestGuestSoftdog(t *testing.T) {
	Load(t, Softdog)
	f, err := os.OpenFile("/dev/watchdog", os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	timeout, err := unix.IoctlGetInt(int(f.Fd()), unix.WDIOC_GETTIMEOUT)
	if err != nil || timeout <= 0 {
		t.Errorf("timeout %d s: %v", timeout, err)
	}
	if _, err := f.WriteString("V"); err != nil { // the magic close: no reboot
		t.Error(err)
	}
}

// inNamespace runs fn in a network namespace of its own.
func inNamespace(t *testing.T, fn func()) {
	t.Helper()
	l := lab.NewT(t)
	if err := l.Node("n").Do(func() error { fn(); return nil }); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, l netlink.Link) netlink.Link {
	t.Helper()
	if err := netlink.LinkAdd(l); err != nil {
		t.Fatalf("add %s %s: %v", l.Type(), l.Attrs().Name, err)
	}
	made, err := netlink.LinkByName(l.Attrs().Name)
	if err != nil {
		t.Fatal(err)
	}
	return made
}

// IPVS is there, and has its schedulers.
func TestGuestIPVS(t *testing.T) {
	Load(t, IPVS)
	b, err := os.ReadFile("/proc/net/ip_vs")
	if err != nil || !strings.HasPrefix(string(b), "IP Virtual Server version") {
		t.Fatalf("%q: %v", b, err)
	}
	if _, err := netlink.GenlFamilyGet("IPVS"); err != nil {
		t.Errorf("generic netlink: %v", err)
	}
	for _, scheduler := range []string{"rr", "wlc", "sh"} {
		if _, err := os.Stat("/sys/module/ip_vs_" + scheduler); err != nil {
			t.Error(err)
		}
	}
}

// A VLAN passes between two ends of a cable.
func TestGuestVLAN(t *testing.T) {
	Load(t, VLAN)
	inNamespace(t, func() {
		a := link(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"})
		v := link(t, &netlink.Vlan{LinkAttrs: netlink.LinkAttrs{Name: "a.7", ParentIndex: a.Attrs().Index}, VlanId: 7})
		if v.Type() != "vlan" || v.(*netlink.Vlan).VlanId != 7 {
			t.Errorf("%+v", v)
		}
	})
}

// A flowtable can be made, which the machine that builds this may not be able to.
func TestGuestFlowtable(t *testing.T) {
	Load(t, Flowtable, VLAN)
	inNamespace(t, func() {
		link(t, &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "a"}, PeerName: "b"})
		c, err := nftables.New()
		if err != nil {
			t.Error(err)
			return
		}
		table := c.AddTable(&nftables.Table{Family: nftables.TableFamilyINet, Name: "fast"})
		c.AddFlowtable(&nftables.Flowtable{Table: table, Name: "ft", Hooknum: nftables.FlowtableHookIngress,
			Priority: nftables.FlowtablePriorityFilter, Devices: []string{"a", "b"}})
		if err := c.Flush(); err != nil {
			t.Error(err)
			return
		}
		if list, err := c.ListFlowtables(table); err != nil || len(list) != 1 || len(list[0].Devices) != 2 {
			t.Errorf("%+v: %v", list, err)
		}
	})
}

// netem, VRF and dummy, which the sets promise.
func TestGuestOtherModules(t *testing.T) {
	Load(t, Netem, VRF, Dummy)
	if _, err := netlink.LinkByName("dummy0"); err == nil {
		t.Error("a device that nobody asked for")
	}
	inNamespace(t, func() {
		d := link(t, &netlink.Dummy{LinkAttrs: netlink.LinkAttrs{Name: "d"}})
		link(t, &netlink.Vrf{LinkAttrs: netlink.LinkAttrs{Name: "red"}, Table: 10})
		slow := netlink.NewNetem(netlink.QdiscAttrs{LinkIndex: d.Attrs().Index, Handle: netlink.MakeHandle(1, 0), Parent: netlink.HANDLE_ROOT},
			netlink.NetemQdiscAttrs{Latency: 1000})
		if err := netlink.QdiscAdd(slow); err != nil {
			t.Error(err)
		}
	})
}

// The program runs here, and so do teamd and keepalived.
func TestGuestPrograms(t *testing.T) {
	Require(t)
	for _, p := range [][]string{{Program, "version"}, {"teamd", "--version"}, {"keepalived", "--version"}} {
		if out, err := exec.Command(p[0], p[1:]...).CombinedOutput(); err != nil {
			t.Errorf("%q: %v: %s", p, err, out)
		}
	}
}
