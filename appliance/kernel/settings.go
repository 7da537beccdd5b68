package kernel

import "strings"

// Setting is a sysctl that the gateway needs to have a value.
type Setting struct {
	// Key is as sysctl(8) takes it: separated by dots, or by slashes where an
	// interface has a dot in its name.
	Key, Value string
	// Keep says that the value stays when we leave.
	Keep bool
	// Why is for the operator who asks.
	Why string
}

// Settings returns what a gateway with these router interfaces needs. What
// others set in its place, and why it is not here:
//
//   - arp_ignore, arp_filter: a Backup does not have the addresses at all, so it
//     cannot answer for them.
//   - arp_notify: adds the kernel's announcements to ours; they carry the right
//     MAC as long as the router uses the interface's own.
//   - rp_filter: both gateways have a leg in each subnet, so the way back is
//     always the way in. (An own MAC for the router will need these three.)
//   - ip_nonlocal_bind: a service that binds to the address before it is here
//     would also send from it before it is here.
//   - tcp_loose, tcp_be_liberal: strict values kill routed flows at start.
func Settings(interfaces []string) []Setting {
	all := []Setting{
		{
			Key: "net.ipv4.ip_forward", Value: "1",
			Why: "a gateway forwards; also while Backup, so that nothing is to be done at takeover",
		},
		{
			Key: "net.netfilter.nf_conntrack_events", Value: "1", Keep: true,
			Why: "a flow that began while this was 0 never reports anything, so it must be set before " +
				"traffic and outlive a restart of ours",
		},
	}
	for _, name := range interfaces {
		all = append(all,
			Setting{
				Key: interfaceKey("ipv4", name, "promote_secondaries"), Value: "1",
				Why: "without it, removing a primary address removes all secondaries of its subnet with it",
			},
			Setting{
				Key: interfaceKey("ipv4", name, "arp_announce"), Value: "2",
				Why: "the kernel asks for a neighbour in the name of the packet's source, for translated packets " +
					"a virtual address: during a hand-over each such request pulls the address back to the old gateway",
			})
	}
	return all
}

// interfaceKey returns the key of an interface's sysctl. A dot in the name is
// written as a slash, as sysctl(8) does.
func interfaceKey(family, name, leaf string) string {
	return strings.Join([]string{"net", family, "conf", strings.ReplaceAll(name, ".", "/"), leaf}, ".")
}
