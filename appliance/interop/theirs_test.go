package interop

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// tool returns the path of a program that .ci/tools installs. Without it the
// test is skipped, or fails where a skipped proof is none.
func (s *scene) tool(paths ...string) string {
	s.t.Helper()
	for _, p := range paths {
		if found, err := exec.LookPath(p); err == nil {
			return found
		}
	}
	say := s.t.Skipf
	if os.Getenv("CI") == "true" || os.Getenv("UNDERSTUDY_REQUIRE_NETNS") == "1" {
		say = s.t.Fatalf
	}
	say("%s is not installed; .ci/tools does it", paths[0])
	return ""
}

// keepalived is a contender.
type keepalived struct {
	*scene
	*lab.Node
	v    variant
	proc *lab.Process
}

func (k *keepalived) machine() *lab.Node { return k.Node }

// instance is a vrrp_instance. It starts as Backup whatever its priority.
func (k *keepalived) instance(name, iface string, vrid uint8, set settings, address string) string {
	preempt := ""
	if set.noPreempt {
		preempt = "nopreempt"
	}
	return fmt.Sprintf(`vrrp_instance %s {
  state BACKUP
  interface %s
  virtual_router_id %d
  priority %d
  advert_int %g
  %s
  %s
  virtual_ipaddress {
    %s
  }
}
`, name, iface, vrid, set.priority, set.interval.Seconds(), preempt, k.v.keepalived, address)
}

func (k *keepalived) start(set settings) {
	k.t.Helper()
	var list []string
	for _, a := range k.v.addresses() {
		list = append(list, a.String())
	}
	k.runInstances(k.instance("LAN", "lan0", k.v.vrid, set, strings.Join(list, "\n    ")))
}

func (k *keepalived) runInstances(instances string) {
	k.t.Helper()
	k.must(k.WriteFile("/run/keepalived.conf", []byte("global_defs {\n  router_id rival\n}\n"+instances), 0o644))
	var err error
	k.proc, err = k.Start(k.tool("keepalived", "/usr/sbin/keepalived"), "--vrrp", "--dont-fork", "--log-console", "--log-detail",
		"--use-file=/run/keepalived.conf", "--pid=/run/ka.pid", "--vrrp_pid=/run/kv.pid", "--checkers_pid=/run/kc.pid")
	k.must(err)
	k.logs(k.proc, k.Name)
}

func (k *keepalived) stop() {
	k.t.Helper()
	k.must(k.proc.Stop(patience))
}

func (k *keepalived) holds() (bool, error) { return has(k.Node, k.v) }

// frr is a contender. It does not move its address: it has it all the time, on
// an interface with the virtual MAC that it lets go down while Backup.
type frr struct {
	*scene
	*lab.Node
	v           variant
	source      netip.Prefix // IPv6
	zebra, vrrp *lab.Process
}

func (f *frr) machine() *lab.Node { return f.Node }

func (f *frr) start(set settings) {
	f.t.Helper()
	f.must(f.macvlan())
	preempt := ""
	if set.noPreempt {
		preempt = fmt.Sprintf(" no vrrp %d preempt\n", f.v.vrid)
	}
	addresses, family := "", "ip"
	if f.v.six() {
		family = "ipv6"
	}
	for _, a := range f.v.addresses() {
		addresses += fmt.Sprintf(" vrrp VRID %s %s\n", family, a.Addr())
	}
	config := strings.ReplaceAll(fmt.Sprintf(`log stdout
interface lan0
 vrrp VRID version %d
 vrrp VRID priority %d
 vrrp VRID advertisement-interval %d
%s%s!
`, f.v.version, set.priority, set.interval.Milliseconds(), preempt, addresses), "VRID", strconv.Itoa(int(f.v.vrid)))
	f.must(f.WriteFile("/run/frr/vrrpd.conf", []byte(config), 0o644))
	f.must(f.WriteFile("/run/frr/zebra.conf", []byte("log stdout\n"), 0o644))
	f.must(f.own("/run/frr", "/run/frr/vrrpd.conf", "/run/frr/zebra.conf"))
	var err error
	// Its crash logs would go to this machine's disk.
	f.zebra, err = f.Start("/bin/sh", "-c", "mount -t tmpfs tmpfs /var/tmp && exec "+
		f.tool("/usr/lib/frr/zebra")+" -f /run/frr/zebra.conf -i /run/frr/zebra.pid")
	f.must(err)
	f.logs(f.zebra, f.Name)
	// A vrrpd that finds no zebra tries again ten seconds later.
	f.wait("zebra", func() error {
		path, err := f.Path("/run/frr/zserv.api")
		if err == nil {
			_, err = os.Stat(path)
		}
		return err
	})
	f.vrrp, err = f.Start(f.tool("/usr/lib/frr/vrrpd"), "-f", "/run/frr/vrrpd.conf", "-i", "/run/frr/vrrpd.pid")
	f.must(err)
	f.logs(f.vrrp, f.Name)
}

// macvlan makes the interface that FRR wants to find.
func (f *frr) macvlan() error {
	nl := f.Netlink()
	parent, err := nl.LinkByName("lan0")
	if err != nil {
		return err
	}
	family, name := byte(1), "vrrp4-lan0"
	addresses := f.v.addresses()
	if f.v.six() {
		family, name = 2, "vrrp6-lan0"
		// Its adverts come from a link-local address of that interface. It must be
		// neither one made of the virtual MAC nor the virtual one itself.
		addresses = append(addresses, f.source)
	}
	link := &netlink.Macvlan{Mode: netlink.MACVLAN_MODE_BRIDGE, LinkAttrs: netlink.LinkAttrs{
		Name: name, ParentIndex: parent.Attrs().Index, HardwareAddr: net.HardwareAddr{0, 0, 0x5e, 0, family, f.v.vrid}}}
	if err := nl.LinkAdd(link); err != nil {
		return fmt.Errorf("add %s: %w", name, err)
	}
	for _, a := range addresses {
		addr := &netlink.Addr{IPNet: &net.IPNet{IP: a.Addr().AsSlice(), Mask: net.CIDRMask(a.Bits(), a.Addr().BitLen())}}
		if a.Addr().Is6() {
			addr.Flags = unix.IFA_F_NODAD
		}
		if err := nl.AddrAdd(link, addr); err != nil {
			return fmt.Errorf("add %s: %w", a, err)
		}
	}
	return nl.LinkSetUp(link)
}

// own gives files of the node to the user that FRR goes over to.
func (f *frr) own(inside ...string) error {
	u, err := user.Lookup("frr")
	if err != nil {
		return err
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		return err
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		return err
	}
	for _, path := range inside {
		outside, err := f.Path(path)
		if err != nil {
			return err
		}
		if err := os.Chown(outside, uid, gid); err != nil {
			return err
		}
	}
	return nil
}

func (f *frr) stop() {
	f.t.Helper()
	f.must(f.vrrp.Stop(patience))
}

func (f *frr) holds() (bool, error) {
	links, err := f.Netlink().LinkList()
	if err != nil {
		return false, err
	}
	for _, l := range links {
		if a := l.Attrs(); strings.HasPrefix(a.Name, "vrrp") {
			// Its word for Backup is "protodown", which takes the carrier.
			return a.OperState == netlink.OperUp, nil
		}
	}
	return false, nil
}

// listens tells whether a node has joined the group of the adverts on lan0, or has
// a socket for them: from then on its router hears others.
func listens(n *lab.Node, v variant) func() error {
	file, group := "/proc/thread-self/net/igmp", "120000E0"
	switch {
	case v.group != "":
		a := netip.MustParseAddr(v.group).As4()
		group = fmt.Sprintf("%02X%02X%02X%02X", a[3], a[2], a[1], a[0])
	case v.unicast && v.six():
		file, group = "/proc/thread-self/net/raw6", ":0070 "
	case v.unicast && v.sealed:
		file, group = "/proc/thread-self/net/raw", ":0033 "
	case v.unicast:
		file, group = "/proc/thread-self/net/raw", ":0070 "
	case v.six():
		file, group = "/proc/thread-self/net/igmp6", "ff020000000000000000000000000012"
	}
	return func() error {
		var text []byte
		err := n.Do(func() (err error) { text, err = os.ReadFile(file); return err })
		if err == nil && !strings.Contains(string(text), group) {
			err = fmt.Errorf("%s is not in the group", n.Name)
		}
		return err
	}
}

// skew and activeDown are the formulas of RFC 9568, 6.1, written down anew.
func skew(priority int, interval time.Duration) time.Duration {
	return time.Duration(256-priority) * interval / 256
}

func activeDown(priority int, interval time.Duration) time.Duration {
	return 3*interval + skew(priority, interval)
}
