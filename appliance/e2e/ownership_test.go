package e2e

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// The second group of a pair that has two: it prefers gw2, and serves one host.
const otherGroup = "other"

var (
	otherHost = netip.MustParseAddr("10.0.0.40")
	otherLAN  = netip.MustParsePrefix("10.0.0.5/24")
	otherWAN  = netip.MustParsePrefix("203.0.113.5/24")
)

// two is a pair with two groups, each Active on another gateway.
type two struct {
	*scene
	inside *lab.Node // the host of the second group
	conns  *probe.Conns
	udp    *probe.Echo
}

func twoGroupsConfig(g *pair.Gateway, priority int) string {
	c := strings.Replace(g.Config(), `source = [{ from = "10.0.0.0/24", out = "wan0", to = "203.0.113.1" }]`,
		fmt.Sprintf(`source = [
  { from = "10.0.0.0/27", out = "wan0", to = "203.0.113.1" },
  { from = "%s/32", out = "wan0", to = %q },
]`, otherHost, otherWAN.Addr()), 1)
	for _, r := range []struct {
		name, iface string
		address     netip.Prefix
		vrid        int
	}{{"lan2", "lan0", otherLAN, 53}, {"wan2", "wan0", otherWAN, 54}} {
		c += fmt.Sprintf("\n[[router]]\nname = %q\ninterface = %q\nvrid = %d\npriority = %d\nadvertise = \"100ms\"\naddresses = [%q]\n",
			r.name, r.iface, r.vrid, priority, r.address)
	}
	return c + fmt.Sprintf("\n[[group]]\nname = %q\nrouters = [\"lan2\", \"wan2\"]\n", otherGroup)
}

func newTwo(t *testing.T) *two {
	t.Helper()
	s := &two{scene: newScene(t, pair.Options{})}
	var err error
	s.inside, err = s.Net.Node("inside2")
	s.must(err)
	_, err = s.inside.Join(s.LAN, "eth0", otherHost.String()+"/24")
	s.must(err)
	s.must(s.inside.Route("default", otherLAN.Addr().String()))
	for i, g := range s.Gateways {
		s.startWith(g, func(*scene) (config, secret string) { return twoGroupsConfig(g, []int{100, 200}[i]), "" })
	}
	s.apart()
	s.load(s.gw1, 10)
	at := netip.AddrPortFrom(pair.Outside, 9400)
	s.conns, err = probe.StartConns(s.within(patience), probe.ConnsOptions{Client: s.inside, Server: s.Outside, Listen: at, Target: at, Count: 10})
	s.must(err)
	t.Cleanup(s.conns.Stop)
	at = netip.AddrPortFrom(pair.Outside, 9401)
	s.udp, err = probe.StartUDP(probe.UDPOptions{Client: s.inside, Server: s.Outside, Listen: at, Target: at})
	s.must(err)
	t.Cleanup(s.udp.Stop)
	s.wait("the flows of both", s.everywhere(26))
	for _, src := range s.udp.Sources() {
		if !strings.HasPrefix(src.Addr, otherWAN.Addr().String()+":") {
			t.Fatalf("the second host is seen as %s", src.Addr)
		}
	}
	return s
}

// are is a condition: both groups are in these states on gw1; on gw2 they are in the
// opposite ones.
func (s *two) are(gateway, other string) func(context.Context) error {
	opposite := map[string]string{"active": "backup", "backup": "active"}
	return func(ctx context.Context) error {
		for i, g := range s.Gateways {
			st, err := g.Status(ctx)
			if err != nil {
				return err
			}
			if !st.Sessions.InSync {
				return fmt.Errorf("%s is not in sync", g.Name)
			}
			for _, x := range st.Groups {
				want := map[string]string{pair.Group: gateway, otherGroup: other}[x.Name]
				if i == 1 {
					want = opposite[want]
				}
				if x.State != want {
					return fmt.Errorf("group %s is %s on %s", x.Name, x.State, g.Name)
				}
			}
		}
		return nil
	}
}

func (s *two) apart() {
	s.t.Helper()
	s.wait("a group on each", s.are("active", "backup"))
}

// everywhere is a condition: both kernels have at least n flows, and the same.
func (s *two) everywhere(n int) func(context.Context) error {
	equal := s.Equal(s.gw1)
	return func(ctx context.Context) error {
		e, err := s.gw1.Entries()
		if err == nil && len(e) < n {
			err = fmt.Errorf("%d flows", len(e))
		}
		if err != nil {
			return err
		}
		return equal(ctx)
	}
}

// alive asks every flow of both groups.
func (s *two) alive(since time.Time) {
	s.t.Helper()
	s.intact(since)
	if dead := s.conns.Check(s.within(patience)); len(dead) > 0 {
		s.t.Errorf("connections of the second group are dead: %v", dead)
	}
	s.wait("datagrams of the second group", func(context.Context) error {
		if s.udp.Since(since) < 10 {
			return fmt.Errorf("none")
		}
		return nil
	})
	if src := s.udp.Sources(); len(src) != 1 {
		s.t.Errorf("the second host is seen as %v", src)
	}
	if _, err := s.conns.Fresh(s.within(8 * time.Second)); err != nil {
		s.t.Errorf("no new connection of the second group: %v", err)
	}
}

// Each gateway is active for a group. One of the two is handed over and back, with
// all its flows, and the other one does not notice; one gateway dies, and the
// survivor has both; it returns with the kernel of before, and takes its own back
// without what lives being touched.
func TestTwoGroupsWithTraffic(t *testing.T) {
	s := newTwo(t)
	quiet := func(g *pair.Gateway) (n uint64) {
		for _, r := range s.status(g).Routers {
			if r.Name == "lan" || r.Name == "wan" {
				n += r.Transitions
			}
		}
		return n
	}
	before := [2]uint64{quiet(s.gw1), quiet(s.gw2)}
	asked := time.Now()
	s.ok(s.gw2, "failover", otherGroup)
	s.wait("both on gw1", s.are("active", "active"))
	s.alive(asked)
	s.wait("equal tables", s.Equal(s.gw1))
	asked = time.Now()
	s.ok(s.gw1, "failover", otherGroup)
	s.apart()
	s.alive(asked)
	if now := [2]uint64{quiet(s.gw1), quiet(s.gw2)}; now != before {
		t.Errorf("the routers of the other group had %d transitions, have %d", before, now)
	}
	s.wait("equal tables", s.Equal(s.gw1))

	_, err := s.gw2.Crash()
	s.must(err)
	cut := time.Now()
	s.wait("both groups on gw1", func(ctx context.Context) error {
		st, err := s.gw1.Status(ctx)
		for _, x := range st.Groups {
			if err == nil && x.State != "active" {
				err = fmt.Errorf("%s is %s", x.Name, x.State)
			}
		}
		return err
	})
	s.alive(cut)
	// While gw2 is away a flow ends and another one gets its port.
	stale, err := s.gw2.Entries()
	s.must(err)
	leavers := 0
	s.conns.Stop()
	for k := range stale {
		if k.DstPort == 9400 {
			leavers++
		}
	}
	if leavers < 10 {
		t.Fatalf("%d stale flows on gw2", leavers)
	}
	at := netip.AddrPortFrom(pair.Outside, 9402)
	s.conns, err = probe.StartConns(s.within(patience), probe.ConnsOptions{Client: s.inside, Server: s.Outside, Listen: at, Target: at, Count: 10})
	s.must(err)
	t.Cleanup(s.conns.Stop)

	back := time.Now()
	s.startWith(s.gw2, func(*scene) (config, secret string) { return twoGroupsConfig(s.gw2, 200), "" })
	s.wait("gw2 without the addresses of before", func(context.Context) error {
		addrs, err := s.gw2.Link("wan0").Addrs()
		if err == nil && slices.ContainsFunc(addrs, func(a netip.Prefix) bool { return a.Addr() == otherWAN.Addr() }) {
			err = fmt.Errorf("%v", addrs)
		}
		return err
	})
	s.must(s.gw2.PlugAll())
	s.apart()
	s.alive(back)
	s.wait("equal tables", s.Equal(s.gw1))
	if n := s.status(s.gw2).Sessions.Counters["stale"]; n < uint64(leavers) {
		t.Errorf("gw2 removed %d stale flows, %d had ended", n, leavers)
	}
	now, err := s.gw2.Entries()
	s.must(err)
	kept := 0
	for k, r := range now {
		was, ok := stale[k]
		if ok {
			kept++
		}
		if ok && was.ID != r.ID {
			t.Errorf("gw2 took a flow away that lived, and made it again: %s", r.String())
		}
	}
	if kept < 10 {
		t.Errorf("%d flows of before are on gw2", kept)
	}
	s.whole()
}

// Case 47: the role moves, and moves again before anybody has settled: the gateway
// that it was handed to dies at once.
func TestCase47DoubleFailover(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	began := time.Now()
	s.ok(s.gw1, "failover")
	s.wait("gw2 active", s.gw2.Is("active"))
	cut := s.crash(s.gw2)
	if took := cut.Sub(began); took > 2*time.Second {
		t.Logf("the machine is slow: the second failover began after %v", took)
	}
	s.intact(began)
	s.wait("the addresses", holds(s.gw1, true))
	s.whole()
}

// seed gives the gateway's kernel flows of many hosts, as traffic would.
func (s *scene) seed(g *pair.Gateway, n int) {
	s.t.Helper()
	recs := make([]session.Record, 0, n)
	for i := range n {
		src := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(100 + i%100)}), uint16(1024+i/100))
		server := netip.AddrPortFrom(netip.AddrFrom4([4]byte{198, 51, byte(i / 40000), 7}), 443)
		recs = append(recs, outward(src, server, uint16(20000+i%40000)))
	}
	s.plant(g, recs...)
}

// outward is a TCP flow from the inside to a server, translated to a port of the gateway's.
func outward(src, server netip.AddrPort, port uint16) session.Record {
	return session.Record{
		Key: session.Key{Src: session.AddrFrom(src.Addr()), Dst: session.AddrFrom(server.Addr()), SrcPort: src.Port(), DstPort: server.Port(),
			Proto: unix.IPPROTO_TCP, Family: 4},
		ReplySrc: session.AddrFrom(server.Addr()), ReplyDst: session.AddrFrom(pair.WANAddress.Addr()), ReplySrcPort: server.Port(), ReplyDstPort: port,
		Status: session.StatusSeenReply | session.StatusAssured | session.StatusConfirmed, Timeout: 3000,
		TCP: session.TCP{State: session.TCPEstablished, WScaleOrig: 7, WScaleReply: 7, FlagsOrig: 3, FlagsReply: 3},
	}
}

// plant gives the gateway's kernel flows, as traffic would.
func (s *scene) plant(g *pair.Gateway, recs ...session.Record) {
	s.t.Helper()
	var k *conntrack.Kernel
	s.must(g.Do(func() (err error) { k, err = conntrack.OpenKernel(); return err }))
	defer k.Close()
	results := make([]error, len(recs))
	s.must(k.Install(recs, conntrack.InstallOptions{NoVerify: true}, results))
	for i, err := range results {
		if err != nil {
			s.t.Fatalf("%s: %v", recs[i].String(), err)
		}
	}
}

// Case 51: a better gateway comes back while a long transfer of sessions to it runs.
// It takes its role when it has them all, and has nothing to install then.
func TestCase51PreemptWhileABulkRuns(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	cut := s.crash(s.gw1)
	s.intact(cut)
	const many = 40000
	s.seed(s.gw2, many)
	s.wait("gw2 to know them", func(ctx context.Context) error {
		st, err := s.gw2.Status(ctx)
		if err == nil && st.Sessions.Local < many {
			err = fmt.Errorf("%d", st.Sessions.Local)
		}
		return err
	})
	back := time.Now()
	s.must(s.gw1.Reboot())
	s.must(s.gw1.Start())
	s.settled(s.gw1)
	s.order(s.gw1, `"sessions in sync"`, `"state":"active"`)
	if took := s.status(s.gw1).Sessions.LastTakeover; took == nil || took.Installed > 0 {
		t.Errorf("the takeover: %+v", took)
	}
	e, err := s.gw1.Entries()
	s.must(err)
	if len(e) < many {
		t.Errorf("gw1 has %d flows", len(e))
	}
	s.intact(back)
	s.wait("equal tables", s.Equal(s.gw1))
	s.whole()
}

// gw2 is active for a moment, while gw1 is cut off; gw1's daemon dies in that moment,
// and the one that follows goes on in the role, which its election never gave up.
func TestDaemonRestartedDuringAnothersTurn(t *testing.T) {
	s := newScene(t, pair.Options{})
	s.settle()
	s.load(s.gw1, 20)
	at := netip.AddrPortFrom(pair.Outside, 9500)
	fast, err := probe.StartStream(s.within(patience), probe.StreamOptions{Client: s.Inside, Server: s.Outside, Listen: at, Target: at, Down: true, Piece: 64 << 10})
	s.must(err)
	t.Cleanup(fast.Stop)
	s.wait("equal tables", s.Equal(s.gw1))
	links := []string{"sync0", "lan0", "wan0"}
	for _, l := range links {
		s.must(s.gw1.Link(l).Silence())
	}
	s.wait("gw2 active", s.gw2.Is("active"))
	turn := time.Now()
	s.must(s.traffic.Resumed(s.within(patience), turn))
	newcomers := s.conns(9100, 5)
	time.Sleep(500 * time.Millisecond) // the windows go on
	pid := s.kill(s.gw1, "daemon")
	s.wait("another daemon", replaced(s.gw1, pid, "daemon"))
	s.wait("gw1 active still", s.gw1.Is("active"))
	healed := time.Now()
	slices.Reverse(links) // the adverts first
	for _, l := range links {
		s.must(s.gw1.Link(l).Unsilence())
	}
	s.settled(s.gw1)
	s.intact(healed)
	s.wait("the fast transfer", func(context.Context) error {
		if n := fast.Since(healed); n < 100 || fast.Err() != nil {
			return fmt.Errorf("%d pieces (%v)", n, fast.Err())
		}
		return nil
	})
	if dead := newcomers.Check(s.within(patience)); len(dead) > 0 {
		t.Errorf("connections that began on gw2 are dead: %v", dead)
	}
	s.wait("equal tables", s.Equal(s.gw1))
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}
