package replica_test

import (
	"context"
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

// TestRoutedFlowsGoOn: flows that are only forwarded, and flows that rules of
// somebody else's translate, to an address of no group, survive; of what the
// gateway is an end of, nothing is replicated.
func TestRoutedFlowsGoOn(t *testing.T) {
	for _, tt := range []struct {
		name, rules, from string
	}{
		{"routed", natChain, clientIP},
		{"translated by others", `table inet other { chain nat { type nat hook postrouting priority srcnat
			oifname "wan0" ip saddr 10.0.0.0/24 meta l4proto { tcp, udp } snat ip to ` + foreignIP + `:20000-20999 } }`, foreignIP},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateways(t, tt.rules)
			serve(t, g.server, "tcp", serverIP+":80")
			serve(t, g.server, "udp", serverIP+":53")
			g.runs()
			g.b.nothingNew()
			tcp, udp := dialFrom(t, g.client, "tcp", serverIP+":80"), dialFrom(t, g.client, "udp", serverIP+":53")
			must(t, talk(tcp, "one"))
			must(t, talk(udp, "one"))
			g.b.hot(1, called(6, 80))
			g.b.hot(1, called(17, 53))
			for _, s := range g.b.sessionsOf(called(6, 80)) {
				if s.ReplyDst.Netip(4).String() != tt.from || s.TCP.WScaleOrig == 0 {
					t.Errorf("replicated as %s", s.String())
				}
			}
			g.dies()
			if err := talk(tcp, "two"); err != nil {
				t.Errorf("TCP: %v", err)
			}
			if err := talk(udp, "two"); err != nil {
				t.Errorf("UDP: %v", err)
			}
			if s := g.b.engine.Status(); s.Local < 2 || s.LastTakeover.Installed != 0 {
				t.Errorf("%d local, %+v", s.Local, s.LastTakeover)
			}
		})
	}
}

// Connections to the gateway's own addresses, or to those of its groups, to the
// peer, and what routers say among themselves are nobody else's business.
func TestOwnTrafficIsNotReplicated(t *testing.T) {
	g := newGateways(t, natChain)
	serve(t, g.server, "tcp", serverIP+":80")
	serve(t, g.a.node, "tcp", "10.0.0.2:22")
	l := g.a.node.Link("lan0")
	must(t, g.a.node.Do(func() error { return addAddress(g.a.node, l.Name, lanVIP+"/24") }))
	serve(t, g.a.node, "tcp", lanVIP+":22")
	g.runs()
	through := dialFrom(t, g.client, "tcp", serverIP+":80")
	for _, to := range []string{"10.0.0.2:22", lanVIP + ":22"} {
		must(t, talk(dialFrom(t, g.client, "tcp", to), "hello"))
	}
	out := dialFrom(t, g.a.node, "tcp", serverIP+":80")
	must(t, talk(out, "hello"))
	must(t, talk(through, "hello"))
	bfd := flow(7, 17)
	bfd.DstPort, bfd.ReplySrcPort, bfd.ReplyDst, bfd.ReplyDstPort = 4784, 4784, bfd.Src, bfd.SrcPort
	plain := bfd
	plain.DstPort, plain.ReplySrcPort = 4785, 4785
	vrrp := bfd
	vrrp.Proto, vrrp.SrcPort, vrrp.DstPort, vrrp.ReplySrcPort, vrrp.ReplyDstPort = 112, 0, 0, 0, 0
	g.a.born(bfd, plain, vrrp)
	g.b.hot(1, called(6, 80))
	g.b.hot(1, called(17, 4785))
	if all := g.a.sessionsOf(func(*sessionView) bool { return true }); len(all) != 2 || !sameFlow(all, plain.Key) {
		t.Errorf("replicated: %v", all)
	}
	// The dump that follows an activation sees the same kernel, and thinks the same.
	eventually(t, "a dump", func() bool { return g.a.engine.Status().Counters.Dumps > 0 })
	if n := g.a.engine.Status().Local; n != 2 {
		t.Errorf("%d sessions after a dump", n)
	}
}

// Two groups with routers in one network, each Active on another node: a flow is
// of the group that is Active where it is seen, and goes over to the other's when
// its packets do.
func TestFlowOfTheGroupThatIsActiveHere(t *testing.T) {
	g := newGateways(t, natChain)
	serve(t, g.server, "udp", serverIP+":53")
	for _, b := range []*box{g.a, g.b} {
		one := b.cfg.Groups[0]
		two := replica.Group{Name: "two", Addresses: []netip.Addr{netip.MustParseAddr("10.0.0.4")}, Networks: one.Networks}
		b.cfg.Groups = []replica.Group{one, two}
	}
	g.a.start()
	g.b.start()
	g.a.activate(1)
	ctx, cancel := context.WithTimeout(context.Background(), settle)
	defer cancel()
	_, err := g.b.engine.Activate(ctx, "two", 1)
	must(t, err)
	eventually(t, "in sync", func() bool { return g.a.engine.Status().InSync && g.b.engine.Status().InSync })
	c := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(c, "via a"))
	of := func(group string) func(*sessionView) bool {
		return func(s *sessionView) bool { return s.DstPort == 53 && s.Group == group }
	}
	g.a.hot(1, of("gw"))
	g.b.hot(1, of("gw"))
	g.use(1)
	// The packets change the entry that was installed here; that takes a change of
	// status, which UDP makes once more, two seconds into a flow.
	eventually(t, "b has it", func() bool {
		return talk(c, "via b") == nil && len(g.b.sessionsOf(of("two"))) == 1 && len(g.a.sessionsOf(of("two"))) == 1
	})
	has := g.a.hot(1, of("two"))
	// On a, which is Active for the other group, it is a session of a peer's: kept
	// when the kernel loses it, and left alone by dumps.
	g.a.end(has[0].Record)
	eventually(t, "the loss is heard", func() bool { return g.a.engine.Status().Counters.Reinstalled > 0 })
	g.a.hot(1, of("two"))
	dumps := g.a.engine.Status().Counters.Dumps
	must(t, g.a.engine.Reconfigure(g.a.cfg))
	eventually(t, "a dump", func() bool { return g.a.engine.Status().Counters.Dumps > dumps })
	g.a.hot(1, of("two"))
	g.b.hot(1, of("two"))
}

// Most flows of a class are over before they are old enough, and cost nothing.
// Those that are not are told when their time has come, or when this node gives
// the group up.
func TestMinAge(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.Classes = session.Policy{
		{Proto: 17, Ports: []session.Ports{{First: 443, Last: 443}}, MinAge: time.Hour},
		{Proto: 6, MinAge: 300 * time.Millisecond},
		{Proto: 132, Never: true},
	}
	w.a.start()
	w.b.start()
	w.a.activate(1)
	eventually(t, "b is in sync", func() bool { return w.b.engine.Status().InSync })
	slow, late, short, never := flow(1, 17), flow(2, 6), flow(3, 17), flow(4, 132)
	never.SCTP = session.SCTP{State: session.SCTPEstablished, VTagOrig: 1, VTagReply: 2}
	w.a.born(slow, late, short, never)
	eventually(t, "they are known here", func() bool { return w.a.engine.Status().Young > 0 })
	sent := func() uint64 { return w.a.engine.Status().Peers[0].Sender.Deletes }
	w.a.end(short)
	w.b.has("what is old enough", late)
	if n := sent(); n != 0 {
		t.Errorf("%d deletions were told of flows that nobody was told of", n)
	}
	if s := w.a.engine.Status(); s.Counters.Excluded == 0 || s.Local != 1 {
		t.Errorf("%d excluded, %d local", s.Counters.Excluded, s.Local)
	}
	w.a.engine.Deactivate("gw")
	w.b.activate(2)
	eventually(t, "b has what a had not told yet", func() bool { _, ok := find(w.b, slow.Key); return ok })
	if st := w.b.engine.Status().Peers[0].Receiver; st.Mismatches != 0 {
		t.Errorf("%d mismatches", st.Mismatches)
	}
}
