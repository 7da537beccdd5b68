package kernel

import (
	"slices"
	"strings"

	"understudy/appliance/identity"
)

// Setting is a sysctl that the gateway needs to have a value.
type Setting struct {
	// Key is as sysctl(8) takes it: separated by dots, or by slashes where an
	// interface has a dot in its name.
	Key, Value string
	// Keep says that the value stays when we leave.
	Keep bool
	// Lazy says that it is there only once its interface is, or once something has
	// loaded the module that has it. Our own rules do, where they need it; and who
	// sees a new interface applies all again.
	Lazy bool
	// Why is for the operator who asks.
	Why string
}

// Forwarding returns what makes the kernel forward; six says that there are IPv6
// routers.
func Forwarding(six bool) []Setting {
	all := []Setting{{
		Key: "net.ipv4.ip_forward", Value: "1",
		Why: "a gateway forwards; also while Backup, so that nothing is to be done at takeover",
	}}
	if six {
		all = append(all, Setting{
			Key: "net.ipv6.conf.all.forwarding", Value: "1",
			Why: "as ip_forward; and only a device that forwards calls itself a router in its neighbour advertisements, " +
				"without which hosts forget their way out (V38). The kernel then takes no router advertisements " +
				"where accept_ra is 1",
		})
	}
	return all
}

// Settings returns what a node with these router interfaces needs beside
// [Forwarding]; parents are those of them that devices of ours sit on. What others set in its place, and why it is not here:
//
//   - arp_ignore without a virtual MAC, arp_filter: a Backup does not have the
//     addresses at all, so it cannot answer for them.
//   - arp_notify: adds the kernel's announcements to ours, with the same MAC.
//   - rp_filter: both gateways have a leg in each subnet, so the way back is
//     always the way in. (On a device it is not: see [DeviceSettings].)
//   - ip_nonlocal_bind: a service that binds to the address before it is here
//     would also send from it before it is here.
//   - tcp_loose, tcp_be_liberal: strict values kill routed flows at start.
func Settings(interfaces, parents []string) []Setting {
	all := []Setting{
		{
			Key: "net.netfilter.nf_conntrack_events", Value: "1", Keep: true, Lazy: true,
			Why: "a flow that began while this was 0 never reports anything, so it must be set before " +
				"traffic and outlive a restart of ours",
		},
	}
	for _, name := range interfaces {
		all = append(all,
			Setting{
				Key: interfaceKey("ipv4", name, "promote_secondaries"), Value: "1", Lazy: true,
				Why: "without it, removing a primary address removes all secondaries of its subnet with it",
			},
			Setting{
				Key: interfaceKey("ipv4", name, "arp_announce"), Value: "2", Lazy: true,
				Why: "the kernel asks for a neighbour in the name of the packet's source, for translated packets " +
					"a virtual address: during a hand-over each such request pulls the address back to the old gateway",
			})
		if slices.Contains(parents, name) {
			all = append(all, Setting{
				Key: interfaceKey("ipv4", name, "arp_ignore"), Value: "1", Lazy: true,
				Why: "an address with a virtual MAC is on a device of ours, but the kernel answers for it on any " +
					"interface: hosts would get two answers, one with the MAC of this box (RFC 9568 8.1.2 forbids it)",
			})
		}
	}
	return all
}

// DeviceSettings returns what a device needs before it is up; strict says that
// net.ipv4.conf.all.rp_filter is on, forwards that the node is a gateway or the
// device's parent forwards anyway. What others set, and why it is not here:
//
//   - accept_local: adverts, which a rival sends in the name of our addresses,
//     are read by packet sockets, which the kernel's check is behind.
//   - arp_filter: arp_ignore on the parent does what it is used for.
//   - send_redirects: a packet comes in by the device and goes out by its parent,
//     so the kernel never sends one (it would have the wrong source, RFC 9568 8.1.1).
func DeviceSettings(d identity.Device, strict, forwards bool) []Setting {
	set := func(family, leaf, value, why string) Setting {
		return Setting{Key: interfaceKey(family, d.Name, leaf), Value: value, Why: why}
	}
	forwarding := "0"
	if forwards {
		forwarding = "1"
	}
	if d.Family() == 6 {
		return []Setting{
			set("ipv6", "addr_gen_mode", "1", "no address is made of the virtual MAC: RFC 9568 7.4, and both boxes would have the same"),
			set("ipv6", "accept_dad", "0", "a takeover cannot wait a second, and the address may still be answered for by the other box"),
			set("ipv6", "accept_ra", "0", "a router does not learn its addresses and routes from others"),
			set("ipv6", "forwarding", forwarding, "the kernel calls itself a router in its neighbour advertisements only on a device that forwards (V38)"),
			set("ipv6", "disable_ipv6", "0", "a box may have no IPv6 but where it is asked for"),
			set("ipv4", "arp_ignore", "8", "no address of this box is to be answered for with the MAC of IPv6"),
		}
	}
	// The way back is by the parent, which strict reverse path filtering does not
	// take for the way in. A strict value for all cannot be lowered by 0 here, but
	// by 2 (loose): the higher one counts.
	filter := "0"
	if strict {
		filter = "2"
	}
	return []Setting{
		set("ipv6", "disable_ipv6", "1", "an IPv4 virtual router has nothing to say in IPv6: no link-local address made of its MAC (RFC 9568 7.4), no MLD"),
		set("ipv4", "arp_ignore", "1", "only for the addresses on it: the others of this box must not be answered with the virtual MAC"),
		set("ipv4", "arp_announce", "2", "as on the parent"),
		set("ipv4", "rp_filter", filter, "what comes in here goes back by the parent"),
		set("ipv4", "promote_secondaries", "1", "as on the parent"),
		set("ipv4", "forwarding", forwarding, "what hosts send to the virtual MAC of a gateway is for others; a server takes no part in that"),
	}
}

// interfaceKey returns the key of an interface's sysctl. A dot in the name is
// written as a slash, as sysctl(8) does.
func interfaceKey(family, name, leaf string) string {
	return strings.Join([]string{"net", family, "conf", strings.ReplaceAll(name, ".", "/"), leaf}, ".")
}

// MirrorSettings returns what an interface needs by which the packets of others come
// in as copies, those of IPv6 with six; strict says that net.ipv4.conf.all.rp_filter is on. A strict value for
// all can only be raised, to 2 (loose), and the kernel is not loose with an interface
// that has no address: then it takes one, whichever.
func MirrorSettings(name string, strict, six bool) []Setting {
	filter := "0"
	if strict {
		filter = "2"
	}
	out := []Setting{{Key: interfaceKey("ipv4", name, "rp_filter"), Value: filter, Why: "copies come in here whose senders are elsewhere"}}
	if six {
		out = append(out, Setting{Key: interfaceKey("ipv6", name, "disable_ipv6"), Value: "0", Why: "copies of IPv6 come in here"})
	}
	return out
}

// StrictReversePath tells whether net.ipv4.conf.all.rp_filter is on.
func StrictReversePath() (bool, error) {
	v, err := NewSysctls("").read("net.ipv4.conf.all.rp_filter")
	return err == nil && v != "0", err
}
