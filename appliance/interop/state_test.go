package interop

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// state is what a kernel has, a line for each thing. The interfaces with a virtual MAC
// are in it by that MAC (vmac4-51), since their names are a thing of their own.
type state map[string]bool

// readState reads the kernel of a node. The settings are the slow part: they are asked
// for when the rest is as it should be. A list that has changed while it was read is read anew.
func readState(n *lab.Node, settings bool) (s state, err error) {
	for end := time.Now().Add(patience); ; {
		if s, err = readOnce(n, settings); !errors.Is(err, netlink.ErrDumpInterrupted) || time.Now().After(end) {
			return s, err
		}
	}
}

func readOnce(n *lab.Node, settings bool) (state, error) {
	s := state{}
	nl := n.Netlink()
	links, err := nl.LinkList()
	if err != nil {
		return nil, err
	}
	names := map[int]string{0: "-"}
	for _, l := range links {
		names[l.Attrs().Index] = called(l)
	}
	for _, l := range links {
		s.link(l, names)
	}
	list, err := nl.AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return nil, err
	}
	for _, a := range list {
		s.address(a, names)
	}
	for _, family := range []int{unix.AF_INET, unix.AF_INET6} {
		routes, err := nl.RouteListFiltered(family, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
		if err != nil {
			return nil, err
		}
		for _, r := range routes {
			if r.Protocol != unix.RTPROT_KERNEL { // those follow from the addresses
				s.route(r, names)
			}
		}
		rules, err := nl.RuleList(family)
		if err != nil {
			return nil, err
		}
		for _, r := range rules {
			s.rule(family, r)
		}
	}
	return s, n.Do(func() error {
		if err := s.rareRoutes(); err != nil {
			return err
		}
		if err := s.tables(); err != nil || !settings {
			return err
		}
		return s.sysctls(links)
	})
}

// called is the name of an interface, or what it is by its virtual MAC.
func called(l netlink.Link) string {
	mac := l.Attrs().HardwareAddr
	if _, ok := l.(*netlink.Macvlan); ok && len(mac) == 6 && slices.Equal(mac[:4], []byte{0, 0, 0x5e, 0}) {
		return fmt.Sprintf("vmac%d-%d", 2*int(mac[4])+2, mac[5])
	}
	return l.Attrs().Name
}

func (s state) say(format string, args ...any) { s[fmt.Sprintf(format, args...)] = true }

func (s state) link(l netlink.Link, names map[int]string) {
	a, name := l.Attrs(), called(l)
	up := "down"
	if a.Flags&net.FlagUp != 0 {
		up = "up"
	}
	s.say("link %s is %s", name, up)
	if m, ok := l.(*netlink.Macvlan); ok {
		modes := map[netlink.MacvlanMode]string{netlink.MACVLAN_MODE_PRIVATE: "private", netlink.MACVLAN_MODE_BRIDGE: "bridge"}
		s.say("link %s: macvlan on %s, %s", name, names[a.ParentIndex], a.HardwareAddr)
		s.say("link %s: name %s", name, a.Name)
		s.say("link %s: mode %s", name, modes[m.Mode])
	}
}

// addressFlags have names if they may differ by what was asked for.
var addressFlags = map[int]string{unix.IFA_F_SECONDARY: "secondary", unix.IFA_F_NODAD: "nodad", unix.IFA_F_DEPRECATED: "deprecated",
	unix.IFA_F_MANAGETEMPADDR: "mngtmpaddr", unix.IFA_F_NOPREFIXROUTE: "noprefixroute", unix.IFA_F_MCAUTOJOIN: "autojoin"}

func (s state) address(a netlink.Addr, names map[int]string) {
	var b strings.Builder
	fmt.Fprintf(&b, "address %s dev %s scope %s", a.IPNet, names[a.LinkIndex], netlink.Scope(a.Scope))
	for _, f := range slices.Sorted(maps.Keys(addressFlags)) {
		// Of IPv6 the first bit means temporary, and nobody makes those.
		if a.Flags&f != 0 && !(f == unix.IFA_F_SECONDARY && a.IP.To4() == nil) {
			b.WriteString(" " + addressFlags[f])
		}
	}
	if a.Broadcast != nil {
		fmt.Fprintf(&b, " brd %s", a.Broadcast)
	}
	if a.Peer != nil && a.Peer.String() != a.IPNet.String() {
		fmt.Fprintf(&b, " peer %s", a.Peer)
	}
	if a.PreferedLft == 0 {
		b.WriteString(" preferred 0")
	}
	s[b.String()] = true
	if a.Label != "" && a.Label != names[a.LinkIndex] && !strings.HasPrefix(names[a.LinkIndex], "vmac") {
		s.say("label of %s dev %s: %s", a.IPNet, names[a.LinkIndex], a.Label)
	}
}

func (s state) route(r netlink.Route, names map[int]string) {
	to := "default"
	if r.Dst != nil {
		to = r.Dst.String()
	}
	var b strings.Builder
	fmt.Fprintf(&b, "route %s table %d type %d scope %s", to, r.Table, r.Type, r.Scope)
	hop := func(index int, gw net.IP, flags int) {
		fmt.Fprintf(&b, " dev %s", names[index])
		if gw != nil {
			fmt.Fprintf(&b, " via %s", gw)
		}
		if flags&int(netlink.FLAG_ONLINK) != 0 {
			b.WriteString(" onlink")
		}
	}
	if len(r.MultiPath) == 0 {
		hop(r.LinkIndex, r.Gw, r.Flags)
	}
	for _, h := range r.MultiPath {
		b.WriteString(" nexthop")
		hop(h.LinkIndex, h.Gw, h.Flags)
		fmt.Fprintf(&b, " weight %d", h.Hops+1)
	}
	if r.Src != nil {
		fmt.Fprintf(&b, " src %s", r.Src)
	}
	for _, v := range []struct {
		name  string
		value int
	}{{"metric", r.Priority}, {"mtu", r.MTU}, {"advmss", r.AdvMSS}, {"tos", r.Tos}, {"initcwnd", r.InitCwnd}, {"window", r.Window},
		{"hoplimit", r.Hoplimit}, {"initrwnd", r.InitRwnd}, {"quickack", r.QuickACK}, {"rto_min", r.RtoMin}, {"features", r.Features}, {"cwnd", r.Cwnd},
		{"ssthresh", r.Ssthresh}, {"reordering", r.Reordering}, {"rtt", r.Rtt}, {"rttvar", r.RttVar}, {"realm", r.Realm}} {
		if v.value != 0 {
			fmt.Fprintf(&b, " %s %d", v.name, v.value)
		}
	}
	if r.MTULock {
		b.WriteString(" locked")
	}
	if r.Congctl != "" {
		b.WriteString(" congctl " + r.Congctl)
	}
	fmt.Fprintf(&b, " proto %d", r.Protocol)
	s[b.String()] = true
}

func (s state) rule(family int, r netlink.Rule) {
	var b strings.Builder
	fmt.Fprintf(&b, "rule %d:", r.Priority)
	if family == unix.AF_INET6 {
		b.WriteString(" inet6")
	}
	if r.Invert {
		b.WriteString(" not")
	}
	if r.Src != nil {
		fmt.Fprintf(&b, " from %s", r.Src)
	}
	if r.Dst != nil {
		fmt.Fprintf(&b, " to %s", r.Dst)
	}
	if r.Mark != 0 {
		fmt.Fprintf(&b, " fwmark %#x", r.Mark)
	}
	if r.IifName != "" {
		fmt.Fprintf(&b, " iif %s", r.IifName)
	}
	if r.OifName != "" {
		fmt.Fprintf(&b, " oif %s", r.OifName)
	}
	fmt.Fprintf(&b, " table %d type %d", r.Table, r.Type)
	if r.SuppressPrefixlen >= 0 || r.SuppressIfgroup >= 0 {
		fmt.Fprintf(&b, " suppress %d %d", r.SuppressPrefixlen, r.SuppressIfgroup)
	}
	if r.Tos != 0 || r.IPProto != 0 || r.TunID != 0 || r.Goto > 0 || r.Flow > 0 {
		fmt.Fprintf(&b, " tos %d ipproto %d tunnel %d goto %d realms %d", r.Tos, r.IPProto, r.TunID, r.Goto, r.Flow)
	}
	if r.Sport != nil || r.Dport != nil {
		fmt.Fprintf(&b, " sport %v dport %v", r.Sport, r.Dport)
	}
	if r.UIDRange != nil {
		fmt.Fprintf(&b, " uidrange %d-%d", r.UIDRange.Start, r.UIDRange.End)
	}
	fmt.Fprintf(&b, " proto %d", r.Protocol)
	s[b.String()] = true
}

// tables lists what is in nftables, by name.
func (s state) tables() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	list, err := c.ListTables()
	if err != nil {
		return err
	}
	families := map[nftables.TableFamily]string{nftables.TableFamilyINet: "inet", nftables.TableFamilyIPv4: "ip",
		nftables.TableFamilyIPv6: "ip6", nftables.TableFamilyARP: "arp", nftables.TableFamilyNetdev: "netdev", nftables.TableFamilyBridge: "bridge"}
	for _, t := range list {
		s.say("nftables: table %s %s", families[t.Family], t.Name)
	}
	return nil
}

// sysctls reads the settings of both families. The thread is in the node's namespace.
func (s state) sysctls(links []netlink.Link) error {
	names := map[string]string{}
	for _, l := range links {
		names[l.Attrs().Name] = called(l)
	}
	const root = "/proc/sys/net/"
	for _, family := range []string{"ipv4", "ipv6"} {
		err := filepath.WalkDir(root+family, func(path string, d fs.DirEntry, err error) error {
			if errors.Is(err, os.ErrNotExist) {
				return nil // an interface that has just gone
			}
			if err != nil || d.IsDir() {
				return err
			}
			value, err := os.ReadFile(path)
			if err != nil {
				return nil // some can only be written, or have not been set
			}
			parts := strings.Split(strings.TrimPrefix(path, root), "/")
			for i, p := range parts {
				if name, ok := names[p]; ok {
					parts[i] = name
				}
			}
			s.say("sysctl %s = %s", strings.Join(parts, "/"), strings.Join(strings.Fields(string(value)), " "))
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// linksReady is a condition: the kernel has given every interface its link-local address,
// and does not look any more whether somebody else has it.
func linksReady(n *lab.Node) func() error {
	return func() error {
		for _, l := range n.Links() {
			link, err := n.Netlink().LinkByName(l.Name)
			if err != nil {
				return err
			}
			list, err := n.Netlink().AddrList(link, netlink.FAMILY_V6)
			if err != nil {
				return err
			}
			if !slices.ContainsFunc(list, func(a netlink.Addr) bool { return a.IP.IsLinkLocalUnicast() && a.Flags&unix.IFA_F_TENTATIVE == 0 }) {
				return fmt.Errorf("%s has no link-local address", l.Name)
			}
		}
		return nil
	}
}

// since lists what has changed from before to s: "+" what is new, "-" what is gone.
func (s state) since(before state) (lines []string) {
	for l := range s {
		if !before[l] {
			lines = append(lines, "+ "+l)
		}
	}
	for l := range before {
		if !s[l] {
			lines = append(lines, "- "+l)
		}
	}
	slices.Sort(lines)
	return lines
}
