package doctor

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/mdlayher/packet"
	"github.com/vishvananda/netlink"

	"understudy/appliance/config"
)

// probeMAC is of nobody: locally administered. The virtual MAC itself must not be used, for switches would
// send to us what is for the active node.
var probeMAC = net.HardwareAddr{0x02, 0x75, 0x73, 0x00, 0x00, 0x01}

// macs: whether frames with another MAC than the interface's get out, and answers back, which
// hypervisors and switches with port security forbid. A neighbour is asked, by ARP or by neighbour
// discovery, once in our own name to see that it answers at all, and once in that of another MAC.
func (x *exam) macs(ctx context.Context) (out []Finding) {
	names, routers := x.interfaces()
	for _, name := range names {
		if !slices.ContainsFunc(routers[name], func(r config.Router) bool { return r.MAC == config.MACVirtual }) {
			continue
		}
		f := Finding{Severity: Unknown, Subject: name, Fix: "try a failover while somebody pings; or use mac = \"interface\""}
		switch who, own, foreign, err := askNeighbours(ctx, name, x.candidates(name, routers[name])); {
		case err != nil:
			f.Text = "whether other MACs are let through cannot be tried: " + err.Error()
		case !own:
			f.Text = "whether other MACs are let through cannot be tried: no neighbour answers"
		case foreign:
			f = Finding{Severity: OK, Subject: name, Text: "frames with another MAC than the interface's get through", Evidence: []string{who.String() + " has answered to both"}}
		default:
			f = Finding{Severity: Error, Subject: name, Text: "frames with another MAC than the interface's do not get through: mac = \"virtual\" cannot work here", Evidence: []string{who.String() + " has answered to the interface's own MAC, and not to " + probeMAC.String()},
				Fix: "mac = \"interface\"; or allow it: VMware: promiscuous mode, MAC address changes and forged transmits; Hyper-V: MAC address spoofing; libvirt: no clean-traffic filter; switches: port security"}
		}
		out = append(out, f)
	}
	return out
}

// candidates are addresses that somebody could have on an interface.
func (x *exam) candidates(name string, routers []config.Router) (out []netip.Addr) {
	add := func(a netip.Addr) {
		if a = a.Unmap().WithZone(""); !a.IsMulticast() && !slices.Contains(out, a) && interfaceOf(a) == "" {
			out = append(out, a)
		}
	}
	index := indexOf(name)
	if all, err := netlink.NeighList(index, netlink.FAMILY_ALL); err == nil {
		for _, n := range all {
			if a, ok := netip.AddrFromSlice(n.IP); ok && n.State&(netlink.NUD_REACHABLE|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PERMANENT) != 0 {
				add(a)
			}
		}
	}
	if all, err := netlink.RouteList(nil, netlink.FAMILY_ALL); err == nil {
		for _, r := range all {
			if a, ok := netip.AddrFromSlice(r.Gw); ok && r.LinkIndex == index {
				add(a)
			}
		}
	}
	for _, r := range routers {
		for _, a := range r.Unicast {
			add(a)
		}
		for _, p := range r.Held() {
			add(p.Addr())
		}
	}
	return out
}

const (
	// askMost bounds how many of each family are asked.
	askMost = 16
	// Patience with a neighbour.
	askTries = 3
	askWait  = 300 * time.Millisecond
)

// askNeighbours asks candidates, those of IPv4 first. What one family shows holds for the frames of the
// other.
func askNeighbours(ctx context.Context, name string, candidates []netip.Addr) (who netip.Addr, own, foreign bool, err error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return who, false, false, err
	}
	for _, q := range []question{byARP, byND} {
		var of []netip.Addr
		for _, a := range candidates {
			if a.Is4() == q.ipv4 && len(of) < askMost {
				of = append(of, a)
			}
		}
		if who, own, foreign, err = q.put(ctx, ifi, of); own || err != nil {
			break
		}
	}
	return who, own, foreign, err
}

// put finds one of the candidates that answers, and asks it again as somebody else.
func (q question) put(ctx context.Context, ifi *net.Interface, candidates []netip.Addr) (who netip.Addr, own, foreign bool, err error) {
	if len(candidates) == 0 {
		return who, false, false, nil
	}
	c, err := packet.Listen(ifi, packet.Raw, q.protocol, nil)
	if err != nil {
		return who, false, false, err
	}
	defer c.Close()
	if err := c.SetPromiscuous(true); err != nil { // or the answer to the other MAC is not for us
		return who, false, false, err
	}
	for range askTries {
		for _, a := range candidates {
			if err := q.send(c, ifi.HardwareAddr, a); err != nil {
				return who, false, false, err
			}
		}
		if who, own = q.answers(ctx, c, ifi.HardwareAddr, candidates); own {
			break
		}
	}
	if !own {
		return who, false, false, nil
	}
	for range askTries {
		if err := q.send(c, probeMAC, who); err != nil {
			return who, true, false, err
		}
		if _, foreign = q.answers(ctx, c, probeMAC, []netip.Addr{who}); foreign {
			break
		}
	}
	return who, true, foreign, nil
}

func (q question) send(c *packet.Conn, from net.HardwareAddr, a netip.Addr) error {
	to, frame := q.frame(from, a)
	_, err := c.WriteTo(frame, &packet.Addr{HardwareAddr: to})
	return err
}

// answers waits for the answer of one of those to a MAC.
func (q question) answers(ctx context.Context, c *packet.Conn, to net.HardwareAddr, of []netip.Addr) (netip.Addr, bool) {
	c.SetReadDeadline(time.Now().Add(askWait))
	b := make([]byte, 256)
	for ctx.Err() == nil {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return netip.Addr{}, false
		}
		if n < 14 || !slices.Equal(b[:6], []byte(to)) {
			continue
		}
		if a, ok := q.answer(b[:n]); ok && slices.Contains(of, a) {
			return a, true
		}
	}
	return netip.Addr{}, false
}
