package e2e

import (
	"context"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// table reads a gateway's connections from its kernel.
func (s *scene) table(g *pair.Gateway) []*netlink.ConntrackFlow {
	s.t.Helper()
	flows, err := g.Conntrack()
	s.must(err)
	return flows
}

// natted is the translated flows that a standby must have, each as one line with
// both tuples.
func natted(flows []*netlink.ConntrackFlow) map[string]bool {
	out := make(map[string]bool)
	for _, f := range flows {
		o, r := f.Forward, f.Reverse
		if o.SrcIP.Equal(r.DstIP) && o.DstIP.Equal(r.SrcIP) && (o.Protocol == unix.IPPROTO_ICMP || o.SrcPort == r.DstPort && o.DstPort == r.SrcPort) {
			continue
		}
		// Established to last-ack: an end of a connection needs no standby.
		if tcp, ok := f.ProtoInfo.(*netlink.ProtoInfoTCP); ok && (tcp.State < 3 || tcp.State > 6) {
			continue
		}
		out[flowLine(f)] = true
	}
	return out
}

func flowLine(f *netlink.ConntrackFlow) string {
	o, r := f.Forward, f.Reverse
	return fmt.Sprintf("proto %d %s:%d > %s:%d, back %s:%d > %s:%d", o.Protocol,
		o.SrcIP, o.SrcPort, o.DstIP, o.DstPort, r.SrcIP, r.SrcPort, r.DstIP, r.DstPort)
}

// tablesEqual is a condition: the kernels of both gateways have the same
// translated flows, entry by entry.
func (s *scene) tablesEqual(active *pair.Gateway) func(context.Context) error {
	return func(context.Context) error {
		var have [2]map[string]bool
		for i, g := range []*pair.Gateway{active, s.Other(active)} {
			flows, err := g.Conntrack()
			if err != nil {
				return err
			}
			have[i] = natted(flows)
		}
		var missing, extra []string
		for f := range have[0] {
			if !have[1][f] {
				missing = append(missing, f)
			}
		}
		for f := range have[1] {
			if !have[0][f] {
				extra = append(extra, f)
			}
		}
		if len(missing)+len(extra) == 0 {
			return nil
		}
		slices.Sort(missing)
		slices.Sort(extra)
		return fmt.Errorf("of %d flows %s lacks %d %q and has %d more %q", len(have[0]), s.Other(active).Name,
			len(missing), missing[:min(5, len(missing))], len(extra), extra[:min(5, len(extra))])
	}
}

// holds is a condition: the gateway has the addresses, all of them or none, on
// whatever interfaces.
func holds(g *pair.Gateway, want bool) func(context.Context) error {
	return func(context.Context) error {
		addrs, err := g.Netlink().AddrList(nil, netlink.FAMILY_V4)
		if err != nil {
			return err
		}
		for _, p := range []netip.Prefix{pair.LANAddress, pair.WANAddress} {
			if slices.ContainsFunc(addrs, func(a netlink.Addr) bool { return a.IP.Equal(p.Addr().AsSlice()) }) != want {
				return fmt.Errorf("%s has %v", g.Name, addrs)
			}
		}
		return nil
	}
}

// ourTables lists the nftables tables of the gateway that are the program's.
func (s *scene) ourTables(g *pair.Gateway) (names []string) {
	s.t.Helper()
	s.must(g.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		tables, err := c.ListTables()
		for _, t := range tables {
			if strings.Contains(t.Name, "understudy") {
				names = append(names, t.Name)
			}
		}
		return err
	}))
	return names
}

// pristine fails the test for everything of the program that is in the gateway's
// kernel.
func (s *scene) pristine(g *pair.Gateway, before map[string]string) {
	s.t.Helper()
	links, err := g.Netlink().LinkList()
	s.must(err)
	if want := len(g.Links()) + 1; len(links) != want { // and lo
		s.t.Errorf("%s has %d interfaces, want %d: %v", g.Name, len(links), want, links)
	}
	for _, l := range g.Links() {
		addrs, err := l.Addrs()
		s.must(err)
		for _, a := range addrs {
			if !slices.Contains(l.Static(), a) && !a.Addr().IsLinkLocalUnicast() {
				s.t.Errorf("%s still has %s on %s", g.Name, a, l.Name)
			}
		}
	}
	if routes, rules, err := our(g); err != nil || routes+rules > 0 {
		s.t.Errorf("%s still has %d routes and %d rules (%v)", g.Name, routes, rules, err)
	}
	if tables := s.ourTables(g); len(tables) > 0 {
		s.t.Errorf("%s still has the tables %v", g.Name, tables)
	}
	after := s.sysctls(g.Node)
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if before[key] != after[key] && key != eventsSysctl {
			s.t.Errorf("%s: sysctl %s was %q, is %q", g.Name, key, before[key], after[key])
		}
	}
	if after[eventsSysctl] != "1" {
		// A flow that begins while this is off is never heard of again.
		s.t.Errorf("%s: %s is %q, want it to stay 1", g.Name, eventsSysctl, after[eventsSysctl])
	}
}

const eventsSysctl = "netfilter/nf_conntrack_events"

// sysctls reads every setting of a node that the program might change.
func (s *scene) sysctls(n *lab.Node) map[string]string {
	s.t.Helper()
	out := make(map[string]string)
	s.must(n.Do(func() error {
		const root = "/proc/sys/net/"
		for _, pattern := range []string{"ipv4/ip_*", "ipv4/conf/*/*", "ipv6/conf/*/*", "netfilter/nf_conntrack_*"} {
			files, err := filepath.Glob(root + pattern)
			if err != nil {
				return err
			}
			for _, file := range files {
				key := strings.TrimPrefix(file, root)
				b, err := os.ReadFile(file)
				switch {
				case strings.Contains(key, "conntrack_count"), strings.HasSuffix(key, "stable_secret"):
				case err == nil:
					out[key] = strings.TrimSpace(string(b))
				}
			}
		}
		return nil
	}))
	if len(out) < 50 {
		s.t.Fatalf("only %d sysctls were read", len(out))
	}
	return out
}
