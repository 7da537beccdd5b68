package replica_test

import (
	"errors"
	"net"
	"net/netip"
	"testing"
	"time"

	"understudy/nat"
	"understudy/nat/nft"
)

// translates has the box translate by our own rules, with the gate open.
func (b *box) translates(s nat.Source) {
	b.t.Helper()
	b.maps(nat.Config{Sources: []nat.Source{s}, Groups: []nat.Group{{Name: "gw", Addresses: []netip.Addr{s.To, netip.MustParseAddr(lanVIP)}}},
		Sessions: true, Events: &nat.Events{}})
}

// maps does that with a whole configuration, whose group is gw.
func (b *box) maps(c nat.Config) {
	b.t.Helper()
	plan, err := nat.New(c)
	must(b.t, err)
	must(b.t, b.node.Do(func() error {
		a, err := nft.Open(nft.Config{})
		if err != nil {
			return err
		}
		defer a.Close()
		if _, err := a.Apply(plan); err != nil {
			return err
		}
		return a.OpenGate(plan.Group("gw"), plan.GroupDevices("gw")...)
	}))
}

// Case 29, with ports = "split": flows that the node which takes over has never heard
// of share no port with those that begin there, so nobody gets another's packets; and
// what it has heard of goes on, though its port is the other node's.
func TestCase29SplitPorts(t *testing.T) {
	g := newGateways(t, natChain)
	whole := nat.Ports{First: 20000, Last: 20079} // so few that shared ones would meet
	for i, b := range []*box{g.a, g.b} {
		b.translates(nat.Source{From: netip.MustParsePrefix("10.0.0.0/24"), Out: "wan0", To: vip, Ports: whole.Part(i, 2), Pool: whole})
	}
	g.runs()
	serve(t, g.server, "udp", serverIP+":53")
	known := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(known, "heard of"))
	g.b.hot(1, called(17, 53))
	must(t, g.a.cable.Unplug())
	eventually(t, "the link is down", func() bool { return !g.a.engine.Status().Connected })
	old := map[uint16]bool{}
	var unknown []net.Conn
	for range 30 {
		c := dialFrom(t, g.client, "udp", serverIP+":53")
		must(t, talk(c, "not heard of"))
		unknown = append(unknown, c)
	}
	eventually(t, "a knows them", func() bool { return len(g.a.sessionsOf(called(17, 53))) == 31 })
	for _, s := range g.a.sessionsOf(called(17, 53)) {
		if old[s.ReplyDstPort] = true; !whole.Part(0, 2).Contains(s.ReplyDstPort) {
			t.Errorf("a gave port %d", s.ReplyDstPort)
		}
	}
	g.a.stop()
	for _, l := range g.a.node.Links() {
		must(t, l.Unplug())
	}
	g.b.activate(2)
	g.use(1)
	if err := talk(known, "still"); err != nil {
		t.Errorf("the flow that was known: %v", err)
	}
	for range 30 {
		must(t, talk(dialFrom(t, g.client, "udp", serverIP+":53"), "new"))
	}
	eventually(t, "b knows them", func() bool { return len(g.b.sessionsOf(called(17, 53))) == 31 })
	for _, s := range g.b.sessionsOf(called(17, 53)) {
		if old[s.ReplyDstPort] != whole.Part(0, 2).Contains(s.ReplyDstPort) || old[s.ReplyDstPort] && !sameFlow(g.b.sessionsOf(isInstalled), s.Key) {
			t.Errorf("port %d, which an old flow has, serves %s", s.ReplyDstPort, s.String())
		}
	}
	// What the server still says to an old flow reaches nobody.
	for _, c := range unknown {
		c.SetReadDeadline(time.Now().Add(time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); !isTimeout(err) {
			t.Errorf("a lost flow hears %v", err)
		}
	}
}

func isInstalled(s *sessionView) bool { return s.Installed }

func isTimeout(err error) bool {
	var n net.Error
	return errors.As(err, &n) && n.Timeout()
}
