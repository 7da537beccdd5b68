package nft

import (
	"net"
	"net/netip"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

// leaks sends packets from the client and returns what of them the server sees
// that still carries an inside address.
func (l *lab) leaks(ps ...packet) (out []packet) {
	l.t.Helper()
	seen := l.server.capture()
	l.client.send(append(ps, mark(inside, outside))...)
	before, _ := seen.until("mark", isMark)
	for _, p := range before {
		if p.src == inside {
			out = append(out, p)
		}
	}
	return out
}

// A SYN|ACK that answers nothing is invalid, and what is invalid is not translated.
func stray() packet {
	return packet{src: inside, dst: outside, proto: unix.IPPROTO_TCP, sport: 999, dport: 80, flags: syn | ack}
}

func TestUntranslatedSourceDoesNotLeave(t *testing.T) {
	l := active(t)
	if got := l.leaks(stray()); len(got) > 0 {
		t.Errorf("leaked: %v", got)
	}
	if n := l.counters().Untranslated; n != 1 {
		t.Errorf("untranslated drops: want 1, got %d", n)
	}
}

// The same without a mapping: nothing here is ours to judge. (And so it is seen
// that the packet of the test above would have left.)
func TestRoutedTrafficIsNotGuarded(t *testing.T) {
	l := newLab(t)
	c := config()
	c.Sources, c.Forwards, c.Sessions = nil, nil, true
	l.apply(c)
	if got := l.leaks(stray()); !slices.Equal(got, []packet{stray()}) {
		t.Errorf("want the packet routed as it is, got %v", got)
	}
}

// An inside network that has no mapping on this interface is routed.
func TestOtherNetworksAreNotGuarded(t *testing.T) {
	l := newLab(t)
	c := config()
	c.Sources[0].Out = "wan1"
	l.apply(c)
	if got := l.leaks(stray()); !slices.Equal(got, []packet{stray()}) {
		t.Errorf("want the packet routed as it is, got %v", got)
	}
}

// What comes to the pool and belongs to no known flow must not wake the
// gateway's own stack, nor leave an entry. The ping that follows must be answered.
func TestStrayToThePool(t *testing.T) {
	for _, row := range []struct {
		name string
		p    packet
		want bool // that the gateway answers
	}{
		{"tcp in the middle of a connection", packet{proto: unix.IPPROTO_TCP, sport: 80, dport: 30000, flags: ack}, false},
		{"tcp answer to a SYN", packet{proto: unix.IPPROTO_TCP, sport: 80, dport: 30000, flags: syn | ack}, false},
		{"tcp SYN", packet{proto: unix.IPPROTO_TCP, sport: 80, dport: 30000, flags: syn}, false},
		{"udp", packet{proto: unix.IPPROTO_UDP, sport: 53, dport: 30000}, false},
		{"tcp below the pool", packet{proto: unix.IPPROTO_TCP, sport: 80, dport: 3000, flags: ack}, true},
		{"udp below the pool", packet{proto: unix.IPPROTO_UDP, sport: 53, dport: 3000}, true},
		{"echo request with an identifier of the pool", packet{proto: unix.IPPROTO_ICMP, sport: echo, dport: 30000}, true},
		{"echo reply", packet{proto: unix.IPPROTO_ICMP, sport: echoReply, dport: 30000}, false},
	} {
		t.Run(row.name, func(t *testing.T) {
			l := active(t)
			row.p.src, row.p.dst = outside, vip
			seen := l.server.capture()
			l.server.send(row.p, ping(vip2))
			before, _ := seen.until("echo reply", func(p packet) bool { return p.src == vip2 })
			if got := len(before) > 0; got != row.want {
				t.Errorf("want an answer: %v, got %v", row.want, before)
			}
			flows := l.flows(row.p.proto)
			flows = slices.DeleteFunc(flows, func(f *netlink.ConntrackFlow) bool { return f.Forward.DstIP.Equal(vip2.AsSlice()) })
			if !row.want && len(flows) > 0 {
				t.Errorf("want no entry, got %v", flows)
			}
			want := uint64(1)
			if row.want {
				want = 0
			}
			if n := l.counters().Stray; n != want {
				t.Errorf("stray drops: want %d, got %d", want, n)
			}
		})
	}
}

// An invalid packet to a forwarded port is not translated; it would reach the
// gateway's own TCP.
func TestStrayToAForward(t *testing.T) {
	l := active(t)
	seen := l.server.capture()
	l.server.send(packet{src: outside, dst: vip, proto: unix.IPPROTO_TCP, sport: 80, dport: 443, flags: syn | ack}, ping(vip2))
	if before, _ := seen.until("echo reply", func(p packet) bool { return p.src == vip2 }); len(before) > 0 {
		t.Errorf("want silence, got %v", before)
	}
	if n := l.counters().Stray; n != 1 {
		t.Errorf("stray drops: want 1, got %d", n)
	}
}

// The gateway's own ping programs must not hear answers to others' queries.
func TestStrayEchoReplyIsNotHeard(t *testing.T) {
	l := active(t)
	heard := l.gateway.hearICMP()
	reply := packet{src: outside, dst: vip, proto: unix.IPPROTO_ICMP, sport: echoReply, dport: 30000}
	below := reply
	below.dport = 5
	l.server.send(reply, below)
	if got := heard(); got != below {
		t.Errorf("want %v first, heard %v", below, got)
	}
}

// A forward may be on an address of the pair inside an inside network: its
// answers then leave with a source that lies there, and are translated all the same.
func TestAddressOfThePairMayLieInside(t *testing.T) {
	l := newLab(t)
	c := config()
	c.Forwards = append(c.Forwards, nat.Forward{Address: lanVIP, Proto: nat.UDP, Port: 53, To: netip.AddrPortFrom(inside, 5353)})
	l.apply(c)
	l.must(l.a.OpenGate(allOfGroup))
	l.server.do(func() error {
		return netlink.RouteAdd(&netlink.Route{Dst: &net.IPNet{IP: net.IP{10, 0, 0, 0}, Mask: net.CIDRMask(24, 32)}, Gw: net.IP(vip.AsSlice())})
	})
	query, answer := l.client.capture(), l.server.capture()
	l.server.send(packet{src: outside, dst: lanVIP, proto: unix.IPPROTO_UDP, sport: 4000, dport: 53})
	query.until("query", func(p packet) bool { return p.dport == 5353 })
	l.client.send(packet{src: inside, dst: outside, proto: unix.IPPROTO_UDP, sport: 5353, dport: 4000})
	_, got := answer.until("answer", func(p packet) bool { return p.proto == unix.IPPROTO_UDP })
	if want := (packet{src: lanVIP, dst: outside, proto: unix.IPPROTO_UDP, sport: 53, dport: 4000}); got != want {
		t.Errorf("want %v, got %v", want, got)
	}
}

func isReset(p packet) bool { return p.proto == unix.IPPROTO_TCP && p.flags&rst != 0 }

func TestUnknownConnectionThroughSourceNAT(t *testing.T) {
	l := active(t)
	middle := packet{src: inside, dst: outside, proto: unix.IPPROTO_TCP, sport: 999, dport: 80, flags: ack}

	here, there := l.client.capture(), l.server.capture()
	l.client.send(middle, mark(inside, outside), packet{src: inside, dst: lanVIP, proto: unix.IPPROTO_ICMP, sport: echo, dport: 5})
	if before, _ := there.until("mark", isMark); len(before) > 0 {
		t.Errorf("drop: want nothing at the server, got %v", before)
	}
	if before, _ := here.until("echo reply", func(p packet) bool { return p.src == lanVIP }); slices.ContainsFunc(before, isReset) {
		t.Errorf("drop: want silence at the client, got %v", before)
	}
	if flows := l.flows(unix.IPPROTO_TCP); len(flows) > 0 {
		t.Errorf("drop: want no entry, got %v", flows)
	}

	l.must(l.a.SetUnknown(UnknownReset))
	l.client.send(middle)
	if _, got := here.until("reset", isReset); got.src != outside || got.dst != inside || got.sport != 80 || got.dport != 999 {
		t.Errorf("reset: want it from the server to the client, got %v", got)
	}
	l.client.send(mark(inside, outside))
	if before, _ := there.until("mark", isMark); len(before) > 0 {
		t.Errorf("reset: want nothing at the server, got %v", before)
	}
	if flows := l.flows(unix.IPPROTO_TCP); len(flows) > 0 {
		t.Errorf("reset: want no entry, got %v", flows)
	}

	l.must(l.a.SetUnknown(UnknownDrop))
	l.client.send(middle, packet{src: inside, dst: lanVIP, proto: unix.IPPROTO_ICMP, sport: echo, dport: 6})
	if before, _ := here.until("echo reply", func(p packet) bool { return p.src == lanVIP && p.dport == 6 }); slices.ContainsFunc(before, isReset) {
		t.Errorf("drop again: want silence at the client, got %v", before)
	}
	if n := l.counters().Unknown; n != 3 {
		t.Errorf("unknown packets: want 3, got %d", n)
	}
	want := []UnknownFlow{{netip.AddrPortFrom(inside, 999), netip.AddrPortFrom(outside, 80)}}
	if flows, err := l.a.UnknownFlows(); err != nil || !slices.Equal(flows, want) {
		t.Errorf("its name: %v, %v, want %v", flows, err, want)
	}
	l.apply(config()) // leaves it there
	if flows, err := l.a.UnknownFlows(); err != nil || !slices.Equal(flows, want) {
		t.Errorf("after a reload: %v, %v", flows, err)
	}
	// More than have room are dropped like the others, and not remembered.
	for n := range uint16(unknownFlows + 200) {
		more := middle
		more.sport = 2000 + n
		l.client.send(more)
	}
	l.client.send(mark(inside, outside))
	if before, _ := there.until("mark", isMark); len(before) > 0 {
		t.Errorf("many: %d got through", len(before))
	}
	if flows, err := l.a.UnknownFlows(); err != nil || len(flows) > unknownFlows || len(flows) < unknownFlows/2 {
		t.Errorf("many: %d names, %v", len(flows), err)
	}
}

func TestUnknownConnectionThroughAForward(t *testing.T) {
	l := active(t)
	middle := packet{src: outside, dst: vip, proto: unix.IPPROTO_TCP, sport: 999, dport: 443, flags: ack}

	here, there := l.server.capture(), l.client.capture()
	l.server.send(middle, ping(vip2))
	if before, _ := here.until("echo reply", func(p packet) bool { return p.src == vip2 }); len(before) > 0 {
		t.Errorf("drop: want silence, got %v", before)
	}
	l.must(l.a.SetUnknown(UnknownReset))
	l.server.send(middle)
	if _, got := here.until("reset", isReset); got.src != vip || got.sport != 443 || got.dport != 999 {
		t.Errorf("reset: want it from the forwarded port, got %v", got)
	}
	l.server.send(mark(outside, vip), packet{src: outside, dst: vip2, proto: unix.IPPROTO_UDP, sport: 9, dport: 53})
	if before, _ := there.until("query", func(p packet) bool { return p.proto == unix.IPPROTO_UDP }); len(before) > 0 {
		t.Errorf("want nothing at the server inside, got %v", before)
	}
	if flows := l.flows(unix.IPPROTO_TCP); len(flows) > 0 {
		t.Errorf("want no entry, got %v", flows)
	}
	want := []UnknownFlow{{netip.AddrPortFrom(outside, 999), netip.AddrPortFrom(vip, 443)}}
	if flows, err := l.a.UnknownFlows(); err != nil || !slices.Equal(flows, want) {
		t.Errorf("its name: %v, %v, want %v", flows, err, want)
	}
}

// The answers of a server inside, when their flow is lost, are the middle of a
// connection that would leave by source NAT.
func TestLostFlowOfAForward(t *testing.T) {
	l := active(t)
	got := l.leaks(
		packet{src: inside, dst: outside, proto: unix.IPPROTO_TCP, sport: 8443, dport: 999, flags: ack},
		packet{src: inside, dst: outside, proto: unix.IPPROTO_TCP, sport: 8443, dport: 998, flags: syn | ack})
	if len(got) > 0 {
		t.Errorf("leaked: %v", got)
	}
	if c := l.counters(); c.Unknown != 1 || c.Untranslated != 1 {
		t.Errorf("want one unknown and one untranslated, got %+v", c)
	}
}
