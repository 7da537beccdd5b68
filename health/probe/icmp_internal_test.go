package probe

import (
	"net/netip"
	"testing"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

func message(t testing.TB, typ icmp.Type, seq int, data string) []byte {
	t.Helper()
	b, err := (&icmp.Message{Type: typ, Body: &icmp.Echo{ID: 1, Seq: seq, Data: []byte(data)}}).Marshal(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestOnlyTheReplyToOurRequestCounts(t *testing.T) {
	p4 := &ICMP{cfg: ICMPConfig{Target: netip.MustParseAddr("10.0.0.1")}, seq: 7}
	p6 := &ICMP{cfg: ICMPConfig{Target: netip.MustParseAddr("2001:db8::1")}, seq: 7}
	for _, tt := range []struct {
		name string
		p    *ICMP
		b    []byte
		want bool
	}{
		{"the reply", p4, message(t, ipv4.ICMPTypeEchoReply, 7, "token"), true},
		{"the reply, IPv6", p6, message(t, ipv6.ICMPTypeEchoReply, 7, "token"), true},
		{"that of the probe before", p4, message(t, ipv4.ICMPTypeEchoReply, 6, "token"), false},
		{"another's", p4, message(t, ipv4.ICMPTypeEchoReply, 7, "other"), false},
		{"one with more in it", p4, message(t, ipv4.ICMPTypeEchoReply, 7, "token2"), false},
		{"the request itself", p4, message(t, ipv4.ICMPTypeEcho, 7, "token"), false},
		{"the request itself, IPv6", p6, message(t, ipv6.ICMPTypeEchoRequest, 7, "token"), false},
		{"cut short", p4, message(t, ipv4.ICMPTypeEchoReply, 7, "token")[:7], false},
		{"nothing", p4, nil, false},
	} {
		if got := tt.p.answers(tt.b, []byte("token")); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	f.Add(append([]byte{0x45, 19: 0}, message(f, ipv4.ICMPTypeEchoReply, 7, "token")...))
	f.Add(message(f, ipv6.ICMPTypeEchoReply, 7, "token"))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, target := range []string{"10.0.0.1", "2001:db8::1"} {
			p := &ICMP{cfg: ICMPConfig{Target: netip.MustParseAddr(target)}, seq: 7}
			s := &echoSocket{raw: true, v4: p.cfg.Target.Is4()}
			p.answers(s.payload(b), []byte("token"))
		}
	})
}

func TestPingSocketWhereAllowedElseRaw(t *testing.T) {
	a := lab.NewT(t).Node("a")
	for _, tt := range []struct {
		groups string
		raw    bool
	}{{"0 2147483647", false}, {"1 0", true}} {
		if err := a.Sysctl("ipv4/ping_group_range", tt.groups); err != nil {
			t.Fatal(err)
		}
		for _, target := range []string{"127.0.0.1", "::1"} {
			if err := a.Do(func() error {
				s, err := openEcho(ICMPConfig{Target: netip.MustParseAddr(target)})
				if err != nil {
					return err
				}
				if s.raw != tt.raw {
					t.Errorf("%s, groups %s: raw socket %v, want %v", target, tt.groups, s.raw, tt.raw)
				}
				return s.file.Close()
			}); err != nil {
				t.Errorf("%s: %v", target, err)
			}
		}
	}
}

// With thousands of probers some would have chosen the same identifier, and one
// that waits for a dead target would then have the replies to the other.
func TestPingSocketsHaveIdentifiersOfTheirOwn(t *testing.T) {
	a := lab.NewT(t).Node("a")
	if err := a.Sysctl("ipv4/ping_group_range", "0 2147483647"); err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	if err := a.Do(func() error {
		for range 500 {
			s, err := openEcho(ICMPConfig{Target: netip.MustParseAddr("127.0.0.1")})
			if err != nil {
				return err
			}
			defer s.file.Close()
			sa, err := unix.Getsockname(int(s.file.Fd()))
			if err != nil {
				return err
			}
			id := sa.(*unix.SockaddrInet4).Port
			if seen[id] {
				t.Errorf("identifier %d is there twice", id)
			}
			seen[id] = true
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

func TestSequenceNumbersGoOn(t *testing.T) {
	a := lab.NewT(t).Node("a")
	p, err := NewICMP(ICMPConfig{Target: netip.MustParseAddr("127.0.0.1")})
	if err != nil {
		t.Fatal(err)
	}
	for i := range uint16(3) {
		if err := a.Do(func() error { return p.Probe(t.Context()) }); err != nil || p.seq != i+1 {
			t.Errorf("probe %d: sequence number %d (%v), want %d", i, p.seq, err, i+1)
		}
	}
}
