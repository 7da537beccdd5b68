package replica_test

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
	"understudy/appliance/lab/probe"
	"understudy/appliance/replica"
	"understudy/nat"
	"understudy/nat/session"
)

// gateways is a world whose two boxes are routers between a client and a server.
// Routes at both ends say which of the two carries the traffic.
//
//	client ── lan ──┬─ a ─┬── wan ── server
//	                └─ b ─┘
//	          (a and b: sync, as in world)
type gateways struct {
	*world
	client, server *lab.Node
}

const (
	clientIP, clientIP6 = "10.0.0.9", "fd00::9"
	serverIP, serverIP6 = "198.51.100.9", "2001:db8:9::9"
	lanVIP              = "10.0.0.1"
	vip6                = "2001:db8:1::1"
	foreignIP           = "203.0.113.77" // routed to the gateways, of no group
)

// natChain makes a kernel able to translate what is installed; that it tracks flows
// takes a rule that asks for them.
const natChain = `table inet other {
	chain nat { type nat hook postrouting priority srcnat; }
	chain look { type filter hook forward priority filter; ct state new counter; }
}`

// newGateways makes the network, with what both kernels are told by nft. The
// engines are configured, and not started.
func newGateways(t *testing.T, rules string) *gateways {
	t.Helper()
	return newGatewaysOn(t, rules, [2][2]string{{"lan0", "wan0"}, {"lan0", "wan0"}})
}

// newGatewaysOn does that with other interfaces, inside and outside, of each.
func newGatewaysOn(t *testing.T, rules string, names [2][2]string) *gateways {
	t.Helper()
	g := &gateways{world: newWorld(t)}
	l := lab.NewT(t)
	lan, wan := l.Segment("lan"), l.Segment("wan")
	g.client, g.server = l.Node("client"), l.Node("server")
	for _, n := range []*lab.Node{g.client, g.server, g.a.node, g.b.node} {
		must(t, n.Sysctl("ipv6/conf/default/accept_dad", "0"))
		must(t, n.Sysctl("ipv6/conf/default/accept_ra", "0"))
	}
	l.Join(g.client, lan, "lan0", clientIP+"/24", clientIP6+"/64")
	l.Join(g.server, wan, "wan0", serverIP+"/24", serverIP6+"/64")
	for i, b := range []*box{g.a, g.b} {
		l.Join(b.node, lan, names[i][0], fmt.Sprintf("10.0.0.%d/24", i+2), fmt.Sprintf("fd00::%d/64", i+2))
		l.Join(b.node, wan, names[i][1], fmt.Sprintf("198.51.100.%d/24", i+2), fmt.Sprintf("2001:db8:9::%d/64", i+2))
		must(t, b.node.Sysctl("ipv4/ip_forward", "1"))
		must(t, b.node.Sysctl("ipv6/conf/all/forwarding", "1"))
		b.nft(strings.ReplaceAll(rules, `"wan0"`, `"`+names[i][1]+`"`))
		b.filter(&nat.Events{}) // what the program would have the kernel tell
		b.cfg.Routed = true
		b.cfg.Groups = []replica.Group{{Name: "gw",
			Addresses: []netip.Addr{vip, netip.MustParseAddr(lanVIP), netip.MustParseAddr(vip6)},
			Networks:  []netip.Prefix{netip.MustParsePrefix("10.0.0.0/24"), netip.MustParsePrefix("fd00::/64")}}}
		b.cfg.Inside = append(b.cfg.Inside, netip.MustParsePrefix("fd00::/64"))
	}
	g.use(0)
	return g
}

// runs starts both engines, with a Active and b in sync.
func (g *gateways) runs() {
	g.t.Helper()
	g.a.start()
	g.b.start()
	g.a.activate(1)
	eventually(g.t, "b is in sync", func() bool { return g.b.engine.Status().InSync && g.b.holds("a") })
}

// dies ends a and lets b take over, with all the traffic.
func (g *gateways) dies() {
	g.t.Helper()
	eventually(g.t, "the standby lacks nothing", func() bool { s := g.a.engine.Status(); return s.Connected && s.Lag == 0 && s.Dirty == 0 })
	g.a.stop()
	for _, l := range g.a.node.Links() {
		must(g.t, l.Unplug())
	}
	g.b.activate(2)
	g.use(1)
}

// use sends the traffic of both directions through gateway i.
func (g *gateways) use(i int) {
	g.t.Helper()
	for _, r := range []struct {
		n        *lab.Node
		dst, via string
	}{
		{g.client, "198.51.100.0/24", fmt.Sprintf("10.0.0.%d", i+2)},
		{g.client, "203.0.113.0/24", fmt.Sprintf("10.0.0.%d", i+2)},
		{g.client, "2001:db8::/32", fmt.Sprintf("fd00::%d", i+2)},
		{g.server, "10.0.0.0/24", fmt.Sprintf("198.51.100.%d", i+2)},
		{g.server, "203.0.113.0/24", fmt.Sprintf("198.51.100.%d", i+2)},
		{g.server, "fd00::/64", fmt.Sprintf("2001:db8:9::%d", i+2)},
		{g.server, "2001:db8:1::/64", fmt.Sprintf("2001:db8:9::%d", i+2)},
	} {
		_, dst, err := net.ParseCIDR(r.dst)
		must(g.t, err)
		must(g.t, r.n.Netlink().RouteReplace(&netlink.Route{Dst: dst, Gw: net.ParseIP(r.via)}))
	}
}

// nft gives rules to the box's kernel.
func (b *box) nft(rules string) {
	b.t.Helper()
	must(b.t, b.node.Ruleset(strings.ReplaceAll(rules, "}", "\n}"))) // on one line, nft wants it so
}

// nothingNew makes the box forward packets of flows that it knows, and no others:
// what goes on here was installed.
func (b *box) nothingNew() {
	b.t.Helper()
	b.nft(`table inet closed { chain forward {
		type filter hook forward priority filter + 10; policy drop
		ct state established,related accept
	} }`)
}

// sessionsOf are the sessions of the box that fn selects.
func (b *box) sessionsOf(fn func(*sessionView) bool) (rs []sessionView) {
	b.engine.Sessions(func(s *sessionView) bool {
		if fn(s) {
			rs = append(rs, *s)
		}
		return true
	})
	return rs
}

// called selects the flows to a port.
func called(proto uint8, port uint16) func(*sessionView) bool {
	return func(s *sessionView) bool { return s.Proto == proto && s.DstPort == port }
}

// hot waits until the box holds n sessions of the kind, all in its kernel.
func (b *box) hot(n int, fn func(*sessionView) bool) []sessionView {
	b.t.Helper()
	var have []sessionView
	ok := within(settle, func() bool {
		have = b.sessionsOf(func(s *sessionView) bool { return fn(s) && s.Installed })
		return len(have) == n
	})
	if !ok {
		b.t.Fatalf("%s: %d sessions installed, want %d: %v\n%+v", b.name, len(have), n, have, b.engine.Status())
	}
	return have
}

// dialFrom connects from the node; patient is how long reads and writes may take.
func dialFrom(t testing.TB, n *lab.Node, network, addr string) (c net.Conn) {
	t.Helper()
	must(t, n.Do(func() (err error) { c, err = net.DialTimeout(network, addr, settle); return err }))
	t.Cleanup(func() { c.Close() })
	return c
}

// talk sends words over c and waits for their echo.
func talk(c net.Conn, words string) error {
	if err := c.SetDeadline(time.Now().Add(settle)); err != nil {
		return err
	}
	if _, err := c.Write([]byte(words)); err != nil {
		return err
	}
	buf := make([]byte, len(words))
	for n := 0; n < len(words); {
		k, err := c.Read(buf[n:])
		if err != nil {
			return err
		}
		n += k
	}
	if string(buf) != words {
		return fmt.Errorf("heard %q, said %q", buf, words)
	}
	return nil
}

// serve runs servers on the node that send back what they get.
func serve(t testing.TB, n *lab.Node, network, addr string) {
	t.Helper()
	var l net.Listener
	var u net.PacketConn
	must(t, n.Do(func() (err error) {
		if strings.HasPrefix(network, "udp") {
			u, err = net.ListenPacket(network, addr)
		} else {
			l, err = net.Listen(network, addr)
		}
		return err
	}))
	if u != nil {
		t.Cleanup(func() { u.Close() })
		go func() {
			buf := make([]byte, 1500)
			for {
				n, from, err := u.ReadFrom(buf)
				if errors.Is(err, net.ErrClosed) {
					return
				}
				u.WriteTo(buf[:n], from)
			}
		}()
		return
	}
	t.Cleanup(func() { l.Close() })
	probe.Accept(l, func(c net.Conn) {
		buf := make([]byte, 1500)
		for {
			n, err := c.Read(buf)
			if err != nil {
				return
			}
			c.Write(buf[:n])
		}
	})
}

// sameFlow finds the record among rs that has the key.
func sameFlow(rs []sessionView, k session.Key) bool {
	for i := range rs {
		if rs[i].Key == k {
			return true
		}
	}
	return false
}

func addAddress(n *lab.Node, link, prefix string) error {
	l, err := n.Netlink().LinkByName(link)
	if err != nil {
		return err
	}
	a, err := netlink.ParseAddr(prefix)
	if err != nil {
		return err
	}
	return n.Netlink().AddrAdd(l, a)
}
