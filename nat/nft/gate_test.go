package nft

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"slices"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat"
)

// ping is an echo request from the server; below the pool, so only gates judge it.
func ping(to netip.Addr) packet {
	return packet{src: outside, dst: to, proto: unix.IPPROTO_ICMP, sport: echo, dport: 5}
}

// answers sends a ping to each address and returns who answered. The gateway's
// answer to the last one, which has no gate, ends the wait.
func (l *lab) answers(addrs ...netip.Addr) (out []netip.Addr) {
	l.t.Helper()
	ungated := netip.MustParseAddr("203.0.113.77")
	seen := l.server.capture()
	for _, a := range append(slices.Clone(addrs), ungated) {
		l.server.send(ping(a))
	}
	before, _ := seen.until("echo reply of the address without a gate", func(p packet) bool { return p.src == ungated })
	for _, p := range before {
		if p.proto == unix.IPPROTO_ICMP && p.sport == echoReply {
			out = append(out, p.src)
		}
	}
	return out
}

func gatedLab(t *testing.T) *lab {
	l := newLab(t)
	l.gateway.address("wan0", "203.0.113.77/24")
	c := config()
	c.Groups = []nat.Group{{Name: "a", Addresses: []netip.Addr{vip, lanVIP}}, {Name: "b", Addresses: []netip.Addr{vip2}}}
	l.apply(c)
	return l
}

func (l *lab) wantAnswers(when string, want ...netip.Addr) {
	l.t.Helper()
	if got := l.answers(vip, vip2); !slices.Equal(want, got) {
		l.t.Errorf("%s: want answers of %v, got %v", when, want, got)
	}
}

func TestGate(t *testing.T) {
	l := gatedLab(t)
	l.wantAnswers("loaded")
	if n := l.counters().Gate; n != 2 {
		t.Errorf("gate drops: want 2, got %d", n)
	}
	l.must(l.a.OpenGate([]netip.Addr{vip, lanVIP}))
	l.wantAnswers("a opened", vip)
	l.must(l.a.OpenGate([]netip.Addr{vip}))
	l.must(l.a.OpenGate([]netip.Addr{vip2}))
	l.wantAnswers("a opened twice, b opened", vip, vip2)
	l.must(l.a.CloseGate([]netip.Addr{vip, lanVIP}))
	l.must(l.a.CloseGate([]netip.Addr{vip, lanVIP}))
	l.wantAnswers("a closed twice", vip2)
	got, err := l.a.Gates()
	l.must(err)
	if want := []GateState{{"a", false}, {"b", true}}; !slices.Equal(want, got) {
		t.Errorf("Gates: want %v, got %v", want, got)
	}
}

// A closed gate comes before connection tracking: it leaves no entry behind that
// would be in the way of the flow when it is installed.
func TestClosedGateRemembersNothing(t *testing.T) {
	l := gatedLab(t)
	l.server.send(packet{src: outside, dst: vip, proto: unix.IPPROTO_TCP, sport: 999, dport: 443, flags: syn})
	l.wantAnswers("closed")
	if flows := l.flows(unix.IPPROTO_TCP); len(flows) > 0 {
		t.Errorf("want no flow, got %v", flows)
	}
}

// sendBatch does what the election does with a prepared batch: one sendto on a
// socket of its own. It returns the kernel's answers, sequence number to errno.
func (s space) sendBatch(b []byte) map[uint32]int32 {
	s.t.Helper()
	answers := map[uint32]int32{}
	s.do(func() error {
		fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_NETFILTER)
		if err != nil {
			return err
		}
		defer unix.Close(fd)
		if err := unix.Sendto(fd, b, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
			return err
		}
		buf := make([]byte, 64<<10)
		for { // the answers are queued when sendto returns
			n, _, err := unix.Recvfrom(fd, buf, unix.MSG_DONTWAIT)
			if err == unix.EAGAIN {
				return nil
			}
			if err != nil {
				return err
			}
			if n >= 20 && binary.NativeEndian.Uint16(buf[4:]) == unix.NLMSG_ERROR {
				answers[binary.NativeEndian.Uint32(buf[8:])] = int32(binary.NativeEndian.Uint32(buf[16:]))
			}
		}
	})
	return answers
}

func TestGateCloseMessage(t *testing.T) {
	l := gatedLab(t)
	b := GateCloseMessage([]netip.Addr{vip, lanVIP})
	l.must(l.a.OpenGate(allOfGroup))
	l.wantAnswers("opened", vip, vip2)
	for _, when := range []string{"closed by the batch", "closed by it a second time"} {
		if got := l.gateway.sendBatch(b); len(got) != 1 || got[1] != 0 {
			t.Fatalf("%s: want message 1 acknowledged and nothing else, got %v", when, got)
		}
		l.wantAnswers(when, vip2)
	}
	l.must(l.a.OpenGate([]netip.Addr{vip, lanVIP}))
	l.wantAnswers("opened again", vip, vip2)
}

func TestGateCloseMessageOfMany(t *testing.T) {
	l := gatedLab(t)
	c, many := config(), make([]netip.Addr, 5000)
	for i := range many {
		many[i] = netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
	}
	c.Groups = append(c.Groups, nat.Group{Name: "many", Addresses: many})
	l.apply(c)
	l.must(l.a.OpenGate(many))
	if got := len(l.state().elements[setClosed]); got != 3 {
		t.Fatalf("opened: want 3 closed addresses, got %d", got)
	}
	for seq, errno := range l.gateway.sendBatch(GateCloseMessage(many)) {
		if errno != 0 {
			t.Errorf("message %d: errno %d", seq, -errno)
		}
	}
	if got := len(l.state().elements[setClosed]); got != 5003 {
		t.Errorf("closed: want 5003 closed addresses, got %d", got)
	}
}

func TestGateCloseMessageWithoutTable(t *testing.T) {
	l := newLab(t)
	if got := l.gateway.sendBatch(GateCloseMessage([]netip.Addr{vip})); got[1] != -int32(unix.ENOENT) {
		t.Errorf("want ENOENT for message 1, got %v", got)
	}
	if GateCloseMessage(nil) != nil {
		t.Error("nothing to close: want no message")
	}
	if err := l.a.OpenGate([]netip.Addr{vip}); !errors.Is(err, unix.ENOENT) {
		t.Errorf("OpenGate: want ENOENT, got %v", err)
	}
}
