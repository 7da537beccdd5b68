package doctor

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/config"
	"understudy/appliance/kernel"
)

// links: the interfaces of the routers, and the addresses that adverts come from.
func (x *exam) links(context.Context) (out []Finding) {
	names, routers := x.interfaces()
	ours := ourAddresses()
	for _, name := range names {
		link, err := netlink.LinkByName(name)
		if err != nil {
			out = append(out, Finding{Severity: Error, Subject: name, Text: "there is no such interface", Evidence: []string{err.Error()},
				Fix: "name one that there is (ip link) in router.interface, or make it at boot: a router waits for its interface"})
			continue
		}
		a := link.Attrs()
		switch {
		case a.Flags&net.FlagUp == 0:
			out = append(out, Finding{Severity: Error, Subject: name, Text: "the interface is down", Fix: "ip link set " + name + " up, and in the configuration of the network"})
			continue
		case a.OperState != netlink.OperUp && a.OperState != netlink.OperUnknown:
			out = append(out, Finding{Severity: Error, Subject: name, Text: "the interface has no carrier: its routers are in fault", Evidence: []string{"operational state: " + a.OperState.String()},
				Fix: "cable, switch port, or the other end of the link"})
			continue
		}
		out = append(out, x.addresses(link, routers[name], ours)...)
	}
	return out
}

// ourAddresses are those that a node has put into the kernel, by our mark.
func ourAddresses() map[netip.Addr]bool {
	ours := map[netip.Addr]bool{}
	a, err := kernel.Open()
	if err != nil {
		return ours
	}
	defer a.Close()
	held, err := a.Held()
	if err != nil {
		return ours
	}
	for _, x := range held.Addresses {
		ours[x.Prefix.Addr()] = true
	}
	return ours
}

func (x *exam) addresses(link netlink.Link, routers []config.Router, ours map[netip.Addr]bool) (out []Finding) {
	name := link.Attrs().Name
	have, err := netlink.AddrList(link, netlink.FAMILY_ALL)
	if err != nil {
		return []Finding{{Severity: Unknown, Subject: name, Text: "its addresses cannot be read: " + err.Error()}}
	}
	for _, r := range routers {
		well := true
		for _, p := range r.Held() {
			i := slices.IndexFunc(have, func(a netlink.Addr) bool { h, _ := netip.AddrFromSlice(a.IP); return h.Unmap() == p.Addr() })
			if i >= 0 && !ours[p.Addr()] {
				well = false
				out = append(out, Finding{Severity: Error, Subject: r.Name, Text: fmt.Sprintf("the virtual address %s is on %s already, put there by something else: both nodes would have it", p.Addr(), name),
					Evidence: []string{have[i].String()}, Fix: "take it out of the configuration of the network (and: ip address del " + p.String() + " dev " + name + ")"})
			}
		}
		source := slices.ContainsFunc(have, func(a netlink.Addr) bool {
			h, _ := netip.AddrFromSlice(a.IP)
			h = h.Unmap()
			switch {
			case ours[h]:
				return false
			case r.Source.IsValid():
				return h == r.Source
			case r.Family == 6:
				return h.IsLinkLocalUnicast()
			}
			return h.Is4()
		})
		if !source {
			well = false
			want := "an IPv4 address of its own"
			switch {
			case r.Source.IsValid():
				want = "the address of router.source, " + r.Source.String()
			case r.Family == 6:
				want = "a link-local address"
			}
			out = append(out, Finding{Severity: Error, Subject: r.Name, Text: fmt.Sprintf("%s has not got %s: adverts have nothing to come from, and the router stays in fault", name, want),
				Fix: "give " + name + " an address, another one on each node"})
		}
		if well {
			out = append(out, Finding{Severity: OK, Subject: r.Name, Text: name + " is up and has an address to speak from"})
		}
	}
	return out
}

// sysctls: what would keep a gateway from its work. What it needs otherwise it sets
// itself, and takes back.
func (x *exam) sysctls(context.Context) (out []Finding) {
	read := func(path string) string {
		b, err := os.ReadFile("/proc/sys/" + path)
		if err != nil {
			return ""
		}
		return strings.TrimSpace(string(b))
	}
	// Containers have it read-only, and some of them /proc/sys/net above that writable.
	var st unix.Statfs_t
	if err := unix.Statfs("/proc/sys/net", &st); err == nil && st.Flags&unix.ST_RDONLY != 0 {
		out = append(out, Finding{Severity: Error, Text: "/proc/sys/net cannot be written to: forwarding and the rest of it cannot be set", Fix: "in a container: --privileged, or a network of its own with /proc/sys/net writable"})
	}
	names, routers := x.interfaces()
	for _, name := range names {
		six := slices.ContainsFunc(routers[name], func(r config.Router) bool { return r.Family == 6 })
		if v := read("net/ipv6/conf/" + name + "/disable_ipv6"); six && v != "0" {
			out = append(out, Finding{Severity: Error, Subject: name, Text: "IPv6 is off on this interface, and it has an IPv6 router", Evidence: []string{"net.ipv6.conf." + name + ".disable_ipv6 = " + dash(v)},
				Fix: "sysctl -w net.ipv6.conf." + name + ".disable_ipv6=0"})
		}
		if v := read("net/ipv4/conf/" + name + "/arp_ignore"); v == "8" || v == "3" {
			out = append(out, Finding{Severity: Error, Subject: name, Text: "this interface does not answer ARP for addresses like the virtual ones", Evidence: []string{"net.ipv4.conf." + name + ".arp_ignore = " + v},
				Fix: "sysctl -w net.ipv4.conf." + name + ".arp_ignore=0"})
		}
		if all, own := read("net/ipv4/conf/all/rp_filter"), read("net/ipv4/conf/"+name+"/rp_filter"); max(all, own) == "1" && len(names) > 1 {
			out = append(out, Finding{Severity: Info, Subject: name, Text: "strict reverse path filtering is on: what comes in by another interface than the way back goes by is dropped. That is right where each network is reached by one interface only",
				Evidence: []string{"rp_filter: all " + all + ", " + name + " " + own}, Fix: "with several ways to one network: sysctl -w net.ipv4.conf." + name + ".rp_filter=2 and the same for all"})
		}
	}
	set := 0
	settings, also := kernel.Settings(names, nil), ""
	if x.cfg.Forwarding {
		settings = append(settings, kernel.Forwarding(slices.ContainsFunc(x.cfg.Routers, func(r config.Router) bool { return r.Family == 6 }))...)
		also = ", forwarding among them,"
	}
	for _, s := range settings {
		if v := read(strings.ReplaceAll(s.Key, ".", "/")); v != s.Value && v != "" {
			set++
		}
	}
	switch {
	case set > 0 && x.Status == nil:
		out = append(out, Finding{Severity: Info, Text: fmt.Sprintf("%d parameters will be set when the node starts%s and taken back when it stops (docs/operations.md)", set, also)})
	case set > 0:
		out = append(out, Finding{Severity: Warning, Text: fmt.Sprintf("%d parameters are not as the node has set them: something else has written them since", set), Fix: "find what does (sysctl.d, a tuning daemon), and restart understudy"})
	}
	if len(out) == 0 {
		out = append(out, Finding{Severity: OK, Text: "kernel parameters are as they have to be"})
	}
	return out
}

func dash(s string) string {
	if s == "" {
		return "(not there)"
	}
	return s
}

// firewall: what rules of others do with what nodes say to each other.
func (x *exam) firewall(context.Context) (out []Finding) {
	rs, err := readRules()
	if err != nil {
		return []Finding{{Severity: Unknown, Text: "the rules of nftables cannot be read: " + err.Error(), Fix: "run it as root"}}
	}
	for _, w := range x.packets() {
		a := rs.judge(&w.traffic, w.hook, w.netdev)
		f := Finding{Severity: OK, Subject: w.subject, Text: w.what + ": no rule of others drops it"}
		switch {
		case a.drop:
			f = Finding{Severity: w.worst, Subject: w.subject, Text: w.what + " is dropped by a packet filter" + w.note, Evidence: []string{a.by}, Fix: w.fix}
		case !a.sure:
			f = Finding{Severity: Unknown, Subject: w.subject, Text: w.what + ": there are rules that cannot be judged from here", Fix: w.fix}
			if w.worst == Info {
				f.Severity = Info
			}
		}
		if !a.sure {
			f.Evidence = append(f.Evidence, a.doubts[:min(len(a.doubts), 8)]...)
		}
		out = append(out, f)
	}
	for _, file := range []string{"/proc/net/ip_tables_names", "/proc/net/ip6_tables_names"} {
		if b, err := os.ReadFile(file); err == nil && strings.Contains(string(b), "filter") {
			out = append(out, Finding{Severity: Unknown, Text: "there are rules of iptables-legacy, which are not judged here", Evidence: []string{file + ": " + strings.Join(strings.Fields(string(b)), " ")},
				Fix: "iptables-legacy-save shows them; move them to nftables, or see that they let pass what is listed under firewall"})
		}
	}
	return out
}

// wanted is a packet that has to pass.
type wanted struct {
	traffic
	subject string
	hook    *nftables.ChainHook
	netdev  bool
	worst   Severity
	note    string
	fix     string
}

// packets are what nodes say to each other.
func (x *exam) packets() (out []wanted) {
	group := map[uint8]netip.Addr{4: netip.MustParseAddr("224.0.0.18"), 6: netip.MustParseAddr("ff02::12")}
	seen := map[string]bool{}
	add := func(w wanted) {
		key := fmt.Sprint(w.traffic, w.hook)
		if !seen[key] {
			seen[key] = true
			out = append(out, w)
		}
	}
	for _, r := range x.cfg.Routers {
		family := "ip"
		if r.Family == 6 {
			family = "ip6"
		}
		protocol, word := uint8(protocolVRRP), "vrrp"
		if r.AuthType == config.AuthAH && r.AuthPass != "" {
			protocol, word = protocolAH, "ah"
		}
		if len(r.Unicast) == 0 {
			in := traffic{what: "an advert that comes in", in: r.Interface, dst: group[r.Family], protocol: protocol}
			add(wanted{traffic: in, subject: r.Name, hook: nftables.ChainHookIngress, netdev: true, worst: Error, fix: "in that netdev table: " + family + " protocol " + word + " accept, first"})
			leaving := traffic{what: "an advert that goes out", out: r.Interface, dst: group[r.Family], protocol: protocol}
			add(wanted{traffic: leaving, subject: r.Name, hook: hookEgress, netdev: true, worst: Error, fix: "in that netdev table: " + family + " protocol " + word + " accept, first"})
			in.what = "an advert to the host's input chains"
			add(wanted{traffic: in, subject: r.Name, hook: nftables.ChainHookInput, worst: Info,
				note: ". Understudy hears it all the same, before them; keepalived, on the other node, would not", fix: "for a keepalived: nft insert rule inet filter input iifname " + r.Interface + " meta l4proto " + word + " accept"})
		}
		for _, to := range r.Unicast {
			add(wanted{traffic: traffic{what: "a unicast advert to " + to.String(), out: r.Interface, src: r.Source, dst: to, protocol: protocol}, subject: r.Name, hook: nftables.ChainHookOutput, worst: Error,
				fix: "nft insert rule inet filter output " + family + " daddr " + to.String() + " meta l4proto " + word + " accept"})
		}
	}
	if x.cfg.Sessions == nil {
		return out
	}
	for _, p := range x.cfg.Sessions.Peers {
		for _, to := range p.Addresses {
			for _, listen := range x.cfg.Sessions.Listen {
				if listen.Addr().Is4() != to.Addr().Is4() {
					continue
				}
				in := traffic{in: interfaceOf(listen.Addr()), src: to.Addr(), dst: listen.Addr(), dport: listen.Port()}
				fix := fmt.Sprintf("nft insert rule inet filter input ip saddr %s %%s dport %d accept", to.Addr(), listen.Port())
				if to.Addr().Is6() {
					fix = strings.Replace(fix, "ip saddr", "ip6 saddr", 1)
				}
				in.protocol, in.what = unix.IPPROTO_TCP, "the session link from "+p.Name
				add(wanted{traffic: in, subject: p.Name, hook: nftables.ChainHookInput, worst: Error, fix: fmt.Sprintf(fix, "tcp")})
				in.protocol, in.what = unix.IPPROTO_UDP, "the heartbeat of "+p.Name
				add(wanted{traffic: in, subject: p.Name, hook: nftables.ChainHookInput, worst: Error, note: ": who is active cannot be told when adverts do not pass", fix: fmt.Sprintf(fix, "udp")})
			}
		}
	}
	return out
}

// hookEgress is NF_NETDEV_EGRESS.
var hookEgress = nftables.ChainHookRef(1)

// interfaceOf is where an address of ours is.
func interfaceOf(a netip.Addr) string {
	all, err := net.Interfaces()
	if err != nil {
		return ""
	}
	for _, ifi := range all {
		addrs, _ := ifi.Addrs()
		for _, x := range addrs {
			if p, err := netip.ParsePrefix(x.String()); err == nil && p.Addr().Unmap() == a.Unmap() {
				return ifi.Name
			}
		}
	}
	return ""
}

// dialBound is how long a peer may take to answer.
const dialBound = 2 * time.Second

// peers: whether the session link of each can be reached.
func (x *exam) peers(ctx context.Context) (out []Finding) {
	if x.cfg.Sessions == nil {
		return nil
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	for _, p := range x.cfg.Sessions.Peers {
		for _, to := range p.Addresses {
			wg.Go(func() {
				f := x.call(ctx, p.Name, to)
				mu.Lock()
				defer mu.Unlock()
				out = append(out, f)
			})
		}
	}
	wg.Wait()
	slices.SortFunc(out, func(a, b Finding) int { return strings.Compare(a.Subject+a.Text, b.Subject+b.Text) })
	return out
}

func (x *exam) call(ctx context.Context, name string, to netip.AddrPort) Finding {
	c, err := (&net.Dialer{Timeout: dialBound}).DialContext(ctx, "tcp", to.String())
	f := Finding{Severity: Error, Subject: name}
	if err != nil {
		f.Evidence = []string{err.Error()}
	}
	switch {
	case err == nil:
		c.Close()
		return Finding{Severity: OK, Subject: name, Text: "answers at " + to.String()}
	case errors.Is(err, syscall.ECONNREFUSED):
		f.Severity, f.Text = Warning, fmt.Sprintf("%s is there, but no understudy listens at %s", name, to)
		f.Fix = "start it there; else compare sessions.listen there with sessions.peers here, and its packet filter (reject)"
	case errors.Is(err, syscall.ENETUNREACH), errors.Is(err, syscall.EHOSTUNREACH):
		f.Text, f.Fix = "there is no way to "+to.String(), "address and network of the session link on both nodes; ip route get "+to.Addr().String()
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		f.Text, f.Fix = to.String()+" does not answer", "is the node up? Else a packet filter there drops it: nft list ruleset; the port is that of sessions.listen, TCP and UDP"
	case errors.Is(err, fs.ErrPermission):
		f.Text, f.Fix = "a packet filter here forbids to call "+to.String(), "nft insert rule inet filter output ip daddr "+to.Addr().String()+" accept"
	default:
		f.Text = to.String() + " cannot be called"
	}
	return f
}

func isTimeout(err error) bool {
	var t net.Error
	return errors.As(err, &t) && t.Timeout()
}
