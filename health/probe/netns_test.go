package probe_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/health/probe"
)

// network is
//
//	a  eth0 10.1.0.1/24, 10.1.0.11/24, 2001:db8:1::1/64, fe80::a/64 ── seg1 ── b eth0 10.1.0.2/24, 2001:db8:1::2/64, fe80::b/64
//	a  eth1 10.2.0.1/24 ── seg2 ── b eth1 10.2.0.2/24
type network struct{ a, b *lab.Node }

func newNetwork(t *testing.T) network {
	l := lab.NewT(t)
	seg1, seg2 := l.Segment("seg1"), l.Segment("seg2")
	n := network{a: l.Node("a"), b: l.Node("b")}
	l.Join(n.a, seg1, "eth0", "10.1.0.1/24", "10.1.0.11/24", "2001:db8:1::1/64", "fe80::a/64")
	l.Join(n.a, seg2, "eth1", "10.2.0.1/24")
	l.Join(n.b, seg1, "eth0", "10.1.0.2/24", "2001:db8:1::2/64", "fe80::b/64")
	l.Join(n.b, seg2, "eth1", "10.2.0.2/24")
	must(t, n.b.Sysctl("ipv4/conf/all/arp_ignore", "1")) // no word on one interface for the address of the other
	// A link that is new loses what is sent until the kernel calls it operational.
	for _, target := range []string{"10.1.0.2", "10.2.0.2", "2001:db8:1::2", "fe80::b%eth0"} {
		p, err := probe.NewICMP(probe.ICMPConfig{Target: addr(target)})
		must(t, err)
		for end := time.Now().Add(soon); ; {
			if err = n.try(p, little); err == nil {
				break
			}
			if time.Now().After(end) {
				t.Fatalf("the network is not up: %v", err)
			}
		}
	}
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// try probes once in node a.
func (n network) try(p probe.Prober, limit time.Duration) (err error) {
	ctx, cancel := context.WithTimeoutCause(context.Background(), limit, fmt.Errorf("no answer: %w", probe.ErrTimeout))
	defer cancel()
	_ = n.a.Do(func() error { err = p.Probe(ctx); return nil })
	return err
}

const (
	soon   = 20 * time.Second       // for what works: it ends when it has
	little = 100 * time.Millisecond // for what never comes
)

// tries tries with ever more time, as long as nothing is heard but that there is no answer: a
// reason that comes late on a machine that is busy is one, too.
func (n network) tries(p probe.Prober, want string) (err error) {
	for limit := little; ; limit *= 5 {
		if err = n.try(p, limit); err == nil || strings.Contains(err.Error(), want) || limit > soon || !strings.HasSuffix(err.Error(), "no answer: timeout") {
			return err
		}
	}
}

// outcome checks the error of a probe; want "" is success.
func outcome(t *testing.T, name, want string, err error) {
	t.Helper()
	switch {
	case want == "" && err != nil:
		t.Errorf("%s: %v, want success", name, err)
	case want != "" && (err == nil || !strings.Contains(err.Error(), want)):
		t.Errorf("%s: %v, want %q in it", name, err, want)
	}
}

func addr(s string) (a netip.Addr) {
	if s != "" {
		a = netip.MustParseAddr(s)
	}
	return a
}

// TestICMP runs over raw sockets, and over ping sockets where anyone may have them.
func TestICMP(t *testing.T) {
	n := newNetwork(t)
	for _, sockets := range []struct{ name, groups string }{{"raw", "1 0"}, {"ping", "0 2147483647"}} {
		must(t, n.a.Sysctl("ipv4/ping_group_range", sockets.groups))
		for _, tt := range []struct {
			name                  string
			target, source, iface string
			want                  string
		}{
			{"IPv4", "10.1.0.2", "", "", ""},
			{"IPv6", "2001:db8:1::2", "", "", ""},
			{"an address of our own", "10.1.0.1", "", "", ""},
			{"IPv4 written as IPv6", "::ffff:10.1.0.2", "", "", ""},
			{"from a source", "10.1.0.2", "10.1.0.11", "", ""},
			{"from a source, IPv6", "2001:db8:1::2", "2001:db8:1::1", "", ""},
			{"on an interface", "10.1.0.2", "", "eth0", ""},
			{"on an interface, IPv6", "2001:db8:1::2", "", "eth0", ""},
			{"link-local by interface", "fe80::b", "", "eth0", ""},
			{"link-local by zone", "fe80::b%eth0", "", "", ""},
			{"link-local from link-local", "fe80::b", "fe80::a", "eth0", ""},
			{"nobody there", "10.1.0.99", "", "", "icmp 10.1.0.99: no answer"},
			{"nobody there, IPv6", "2001:db8:1::99", "", "", "icmp 2001:db8:1::99: no answer"},
			{"on the wrong interface", "10.1.0.2", "", "eth1", "no answer"},
			{"on no interface", "10.1.0.2", "", "eth9", "bind to eth9: no such device"},
			{"in no zone", "fe80::b%eth9", "", "", "interface eth9"},
			{"not our source", "10.1.0.2", "10.1.0.200", "", "bind to 10.1.0.200: cannot assign requested address"},
			{"no route", "192.0.2.1", "", "", "network is unreachable"},
		} {
			p, err := probe.NewICMP(probe.ICMPConfig{Target: addr(tt.target), Source: addr(tt.source), Interface: tt.iface})
			must(t, err)
			limit := soon
			if tt.want == "no answer" || strings.HasSuffix(tt.want, ": no answer") {
				limit = little
			}
			for range 2 { // sequence numbers go on
				err := n.try(p, limit)
				outcome(t, sockets.name+": "+tt.name, tt.want, err)
				if limit == little && !errors.Is(err, probe.ErrTimeout) {
					t.Errorf("%s: %s: %v is no timeout", sockets.name, tt.name, err)
				}
			}
		}
	}
}

func TestICMPNeedsAProperTarget(t *testing.T) {
	for _, tt := range []struct{ name, target, source, want string }{
		{"none", "", "", "no target"},
		{"families", "10.0.0.1", "2001:db8::1", "different families"},
		{"link-local", "fe80::1", "", "it needs an interface"},
	} {
		_, err := probe.NewICMP(probe.ICMPConfig{Target: addr(tt.target), Source: addr(tt.source)})
		outcome(t, tt.name, tt.want, err)
		_, err = probe.NewTCP(probe.TCPConfig{Target: netip.AddrPortFrom(addr(tt.target), 80), Source: addr(tt.source)})
		outcome(t, tt.name, tt.want, err)
	}
	_, err := probe.NewTCP(probe.TCPConfig{Target: netip.MustParseAddrPort("10.0.0.1:0")})
	outcome(t, "no port", "has no port", err)
}

// What a router says about the target is not the verdict, but it is the reason.
func TestICMPTellsWhatTheNetworkSaid(t *testing.T) {
	n := newNetwork(t)
	must(t, n.b.Sysctl("ipv4/ip_forward", "1"))
	must(t, n.a.Route("198.51.100.0/24", "10.1.0.2"))
	p, err := probe.NewICMP(probe.ICMPConfig{Target: addr("198.51.100.7")})
	must(t, err)
	const want = "no answer: timeout (network is unreachable)"
	err = n.tries(p, want)
	outcome(t, "unreachable", want, err)
	if !errors.Is(err, probe.ErrTimeout) {
		t.Errorf("%v is no timeout", err)
	}
}

// Two probers of one target at once hear their own replies, on raw sockets too.
func TestICMPProbersDoNotMixUp(t *testing.T) {
	n := newNetwork(t)
	const k = 20
	errC := make(chan error, k)
	for range k {
		go func() {
			p, err := probe.NewICMP(probe.ICMPConfig{Target: addr("10.1.0.2")})
			for range 5 {
				err = errors.Join(err, n.try(p, soon))
			}
			errC <- err
		}()
	}
	for range k {
		if err := <-errC; err != nil {
			t.Error(err)
		}
	}
}

// serve accepts connections in b and tells who they are from.
func serve(t *testing.T, node *lab.Node, at string) <-chan netip.AddrPort {
	t.Helper()
	var l net.Listener
	must(t, node.Do(func() (err error) { l, err = net.Listen("tcp", at); return err }))
	fromC, ended := make(chan netip.AddrPort, 100), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			fromC <- c.RemoteAddr().(*net.TCPAddr).AddrPort()
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
	return fromC
}

func TestTCP(t *testing.T) {
	n := newNetwork(t)
	fromC := serve(t, n.b, ":80")
	for _, tt := range []struct {
		name, target, source, iface string
		from, want                  string
	}{
		{"IPv4", "10.1.0.2:80", "", "", "10.1.0.1", ""},
		{"IPv6", "[2001:db8:1::2]:80", "", "", "2001:db8:1::1", ""},
		{"from a source", "10.1.0.2:80", "10.1.0.11", "", "10.1.0.11", ""},
		{"on an interface", "10.2.0.2:80", "", "eth1", "10.2.0.1", ""},
		{"link-local", "[fe80::b]:80", "", "eth0", "fe80::a", ""},
		{"nobody listens", "10.1.0.2:81", "", "", "", "tcp 10.1.0.2:81: connection refused"},
		{"nobody there", "10.1.0.99:80", "", "", "", "tcp 10.1.0.99:80: no answer"},
		{"on the wrong interface", "10.1.0.2:80", "", "eth1", "", "no answer"},
		{"on no interface", "10.1.0.2:80", "", "eth9", "", "no such device"},
		{"not our source", "10.1.0.2:80", "10.1.0.200", "", "", "cannot assign requested address"},
		{"no route", "192.0.2.1:80", "", "", "", "network is unreachable"},
	} {
		p, err := probe.NewTCP(probe.TCPConfig{Target: netip.MustParseAddrPort(tt.target), Source: addr(tt.source), Interface: tt.iface})
		must(t, err)
		limit := soon
		if strings.HasSuffix(tt.want, "no answer") {
			limit = little
		}
		err = n.try(p, limit)
		outcome(t, tt.name, tt.want, err)
		if limit == little && !errors.Is(err, probe.ErrTimeout) {
			t.Errorf("%s: %v is no timeout", tt.name, err)
		}
		if err == nil {
			if from := (<-fromC).Addr().Unmap().WithZone(""); from != addr(tt.from) {
				t.Errorf("%s: came from %v, want %v", tt.name, from, tt.from)
			}
		}
	}
}

// A probe leaves no connection in TIME_WAIT behind.
func TestTCPLeavesNothingBehind(t *testing.T) {
	n := newNetwork(t)
	fromC := serve(t, n.b, ":80")
	p, err := probe.NewTCP(probe.TCPConfig{Target: netip.MustParseAddrPort("10.1.0.2:80")})
	must(t, err)
	for range 5 {
		must(t, n.try(p, soon))
		<-fromC
	}
	must(t, n.a.Do(func() error {
		socks, err := netlink.SocketDiagTCP(unix.AF_INET)
		if len(socks) > 0 {
			t.Errorf("%d sockets, the first %+v", len(socks), socks[0])
		}
		return err
	}))
}
