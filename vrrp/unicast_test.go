package vrrp_test

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"understudy/vrrp"
)

func addr(s string) netip.Addr { return netip.MustParseAddr(s) }

// unicastConfig is gatewayConfig with peers on the LAN: one next door, one behind a router, and the node itself.
func unicastConfig() vrrp.SetConfig {
	cfg := gatewayConfig()
	cfg.Routers[lan].Peers = []vrrp.Peer{{Address: addr("10.0.0.3")}, {Address: addr("198.51.100.7"), Routed: true}, {Address: addr("10.0.0.2")}}
	return cfg
}

// TestUnicastLadder: what a router with peers hears, and what one without.
func TestUnicastLadder(t *testing.T) {
	// sum gives a packet the checksum that it would have on its way to dst.
	sum := func(p []byte, dst string) {
		was := [4]byte(p[16:20])
		to := addr(dst).As4()
		words := func(b [4]byte) uint32 { return uint32(b[0])<<8 + uint32(b[1]) + uint32(b[2])<<8 + uint32(b[3]) }
		s := uint32(^(uint16(p[26])<<8 | uint16(p[27]))) + 2*0xffff - words(was) + words(to)
		for s > 0xffff {
			s = s>>16 + s&0xffff
		}
		p[26], p[27] = byte(^s>>8), byte(^s)
	}
	old := func(p []byte) { sum(p, "224.0.0.18") }
	cfg := unicastConfig()
	cfg.Routers[lan].Peers = append(cfg.Routers[lan].Peers, vrrp.Peer{Address: addr("10.0.0.4"), Least: 60, Most: 64},
		vrrp.Peer{Address: addr("198.51.100.8"), Routed: true, Least: 250, Most: 255})
	g := newGateway(t, cfg).start()
	for _, tt := range []struct {
		name     string
		router   int
		src, dst string
		spoil    func(p []byte)
		want     vrrp.Reason
	}{
		{"OK a peer", lan, "10.0.0.3", "10.0.0.2", nil, vrrp.ReasonNone},
		{"OK a peer behind a router", lan, "198.51.100.7", "10.0.0.2", func(p []byte) { p[8] = 61 }, vrrp.ReasonNone},
		{"OK multicast without peers", wan, "203.0.113.3", "224.0.0.18", nil, vrrp.ReasonNone},
		{"bad TTL of a peer next door", lan, "10.0.0.3", "10.0.0.2", func(p []byte) { p[8] = 254 }, vrrp.ReasonTTL},
		{"bad TTL comes before destination", lan, "10.0.0.3", "10.0.0.4", func(p []byte) { p[8] = 254 }, vrrp.ReasonTTL},
		{"OK the checksum of keepalived 1.3", lan, "10.0.0.3", "10.0.0.2", old, vrrp.ReasonNone},
		{"bad that checksum by multicast", wan, "203.0.113.3", "224.0.0.18", func(p []byte) { sum(p, "10.0.0.2") }, vrrp.ReasonChecksum},
		{"OK the least of a range", lan, "10.0.0.4", "10.0.0.2", func(p []byte) { p[8] = 60 }, vrrp.ReasonNone},
		{"OK the most of a range", lan, "10.0.0.4", "10.0.0.2", func(p []byte) { p[8] = 64 }, vrrp.ReasonNone},
		{"bad less", lan, "10.0.0.4", "10.0.0.2", func(p []byte) { p[8] = 59 }, vrrp.ReasonTTL},
		{"bad more", lan, "10.0.0.4", "10.0.0.2", func(p []byte) { p[8] = 65 }, vrrp.ReasonTTL},
		{"bad less of one that may be far away", lan, "198.51.100.8", "10.0.0.2", func(p []byte) { p[8] = 249 }, vrrp.ReasonTTL},
		{"OK from far away", lan, "198.51.100.8", "10.0.0.2", func(p []byte) { p[8] = 250 }, vrrp.ReasonNone},
		{"bad on its way to another peer", lan, "10.0.0.3", "10.0.0.4", nil, vrrp.ReasonDestination},
		{"bad multicast to a router with peers", lan, "10.0.0.3", "224.0.0.18", nil, vrrp.ReasonDestination},
		{"bad unicast to a router without", wan, "203.0.113.3", "203.0.113.2", nil, vrrp.ReasonDestination},
		{"bad stranger", lan, "10.0.0.9", "10.0.0.2", nil, vrrp.ReasonSource},
		{"bad stranger from afar", lan, "192.0.2.1", "10.0.0.2", func(p []byte) { p[8] = 3 }, vrrp.ReasonSource},
		{"bad stranger with a bad checksum", lan, "10.0.0.9", "10.0.0.2", func(p []byte) { p[27] ^= 1 }, vrrp.ReasonChecksum},
		{"bad checksum of a peer", lan, "10.0.0.3", "10.0.0.2", func(p []byte) { p[27] ^= 1 }, vrrp.ReasonChecksum},
		{"bad form for another destination", lan, "10.0.0.3", "10.0.0.2", func(p []byte) { copy(p[16:20], []byte{10, 0, 0, 4}) }, vrrp.ReasonDestination},
		{"bad our own address", lan, "10.0.0.2", "10.0.0.2", nil, vrrp.ReasonOwn},
	} {
		t.Run(tt.name, func(t *testing.T) {
			cfg := g.Config().Routers[tt.router]
			a := vrrp.Advert{Version: 3, VRID: cfg.VRID, Priority: 200, Interval: cfg.Interval, Form: vrrp.FormPseudo}
			p := vrrp.AppendPacketTo(nil, &a, cfg.Addresses, addr(tt.src), addr(tt.dst))
			if tt.spoil != nil {
				tt.spoil(p)
			}
			d, got := vrrp.ParseDatagram(p)
			if got == vrrp.ReasonNone {
				got = g.Parse(tt.router, d, &a)
			}
			if got == vrrp.ReasonNone {
				before := g.Snapshot(g.now).Routers[tt.router].Received
				ops := g.Step(g.now, vrrp.SetInput{Kind: vrrp.InAdvert, Router: tt.router, Src: d.Src, Advert: &a}).Ops
				if len(ops) == 1 && ops[0].Kind == vrrp.OpDrop {
					got = ops[0].Reason
				} else if now := g.Snapshot(g.now).Routers[tt.router].Received; now != before+1 {
					t.Errorf("not counted as received")
				}
			}
			if got != tt.want {
				t.Errorf("want %v, got %v", tt.want, got)
			}
		})
	}
}

// TestUnicastPackets: each peer gets an advert with a checksum of its own, from the address it knows us by.
func TestUnicastPackets(t *testing.T) {
	for _, row := range []struct{ name, src, vip, peer string }{
		{"IPv4", "10.0.0.2", "10.0.0.100", "10.0.0.3"},
		{"IPv6", "2001:db8::2", "fe80::1", "2001:db8::3"},
	} {
		t.Run(row.name, func(t *testing.T) {
			cfg := vrrp.SetConfig{Routers: []vrrp.RouterConfig{{Name: "lan", Interface: "lan0", VRID: 51, Priority: 255,
				Addresses: []netip.Addr{addr(row.vip)}, Source: addr(row.src), Peers: []vrrp.Peer{{Address: addr(row.peer)}}}}}
			set, err := vrrp.NewSet(cfg)
			if err != nil {
				t.Fatal(err)
			}
			set.Step(epoch, vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Primary: addr("10.0.0.77"),
				LinkLocal: addr("fe80::77"), Sources: []netip.Addr{addr(row.src)}})
			ops := slices.Clone(set.Step(epoch, vrrp.SetInput{Kind: vrrp.InStart}).Ops)
			i := slices.IndexFunc(ops, func(o vrrp.Op) bool { return o.Kind == vrrp.OpSend })
			if i < 0 || len(set.Peers(ops[i])) != 1 {
				t.Fatalf("%+v", ops)
			}
			d, reason := vrrp.ParseDatagram(set.AppendPacketTo(nil, ops[i], set.Peers(ops[i])[0].Address))
			if reason != vrrp.ReasonNone || d.Src != addr(row.src) || d.Dst != addr(row.peer) || d.TTL != 255 || d.Protocol != 112 {
				t.Fatalf("%v %+v", reason, d)
			}
			// As the peer sees it, which has a configuration but no Set.
			var a vrrp.Advert
			want := vrrp.Expect{Version: 3, VRID: 51, Unicast: vrrp.Unicast{Own: addr(row.peer), Peers: []vrrp.Peer{{Address: addr(row.src)}}}}
			if r := vrrp.ParseExpected(d, &a, &want); r != vrrp.ReasonNone || a.Form != vrrp.FormPseudo || a.Priority != 255 {
				t.Errorf("the peer: %v, %+v", r, a)
			}
			want.Unicast.Peers[0].Address = addr("10.0.0.66")
			if r := vrrp.ParseExpected(d, &a, &want); r != vrrp.ReasonSource {
				t.Errorf("a stranger: %v", r)
			}
		})
	}
}

// TestChosenSource: adverts come from the chosen address or none; of equal priorities it decides.
func TestChosenSource(t *testing.T) {
	cfg := gatewayConfig()
	cfg.Routers[lan].Source = addr("10.0.0.20")
	g := newGateway(t, cfg)
	told := func(sources ...string) []string {
		in := vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Primary: addr("10.0.0.2")}
		for _, s := range sources {
			in.Sources = append(in.Sources, addr(s))
		}
		return g.do(in)
	}
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InStart}), "gw initialize>fault source 10.0.0.20 is not on lan0 0")
	g.want(told("10.0.0.2"))
	g.want(told("10.0.0.2", "10.0.0.20"), "gw fault>backup repaired 0")
	g.now = g.Deadline()
	g.want(g.do(vrrp.SetInput{Kind: vrrp.InTick}), "send 1 100", "send 0 100", "gw backup>active active-down 1")
	if got := g.Source(lan); got != addr("10.0.0.20") {
		t.Errorf("adverts come from %v", got)
	}
	// Between the primary address and the chosen one.
	g.want(g.advert(lan, 100, "10.0.0.10"), "send 1 100")
	// The goodbye still comes from where the peers know us.
	g.want(told("10.0.0.2"), "gate gw", "send 1 0", "send 0 0", "gw active>fault source 10.0.0.20 is not on lan0 1")
	if got := g.Source(lan); got != addr("10.0.0.20") {
		t.Errorf("the goodbye came from %v", got)
	}
	g.want(told("10.0.0.20"), "gw fault>backup repaired 1")

	// Without it the primary address is as good as before.
	cfg.Routers[lan].Source = netip.Addr{}
	out, err := g.Reconfigure(g.now, cfg)
	if err != nil || len(out.Ops) > 0 || g.Source(lan) != addr("10.0.0.2") {
		t.Errorf("%v, %v, from %v", err, describe(out.Ops), g.Source(lan))
	}
}

// TestPeersChangeInPlace: a list of peers that a reload changes is no reason to move.
func TestPeersChangeInPlace(t *testing.T) {
	g := newGateway(t, gatewayConfig()).active()
	out, err := g.Reconfigure(g.now, unicastConfig())
	if err != nil || len(out.Ops) > 0 {
		t.Fatalf("%v, %v", err, describe(out.Ops))
	}
	for i, want := range map[int]int{wan: 0, lan: 3} {
		if n := len(g.Peers(vrrp.Op{Kind: vrrp.OpSend, Router: i})); n != want {
			t.Errorf("router %d has %d peers, want %d", i, n, want)
		}
	}
	if _, err := g.Reconfigure(g.now, gatewayConfig()); err != nil {
		t.Fatal(err)
	}
	if n := len(g.Peers(vrrp.Op{Kind: vrrp.OpSend, Router: lan})); n != 0 {
		t.Errorf("%d peers are left", n)
	}
	if n := len(g.Peers(vrrp.Op{Kind: vrrp.OpSend, Router: lan, Old: true})); n != 3 {
		t.Errorf("the old router has %d peers", n)
	}
}

func TestPeerErrors(t *testing.T) {
	many := make([]vrrp.Peer, 33)
	for i := range many {
		many[i].Address = netip.AddrFrom4([4]byte{10, 0, 1, byte(i)})
	}
	six := func(r *vrrp.RouterConfig) { r.Addresses = []netip.Addr{addr("fe80::1")}; r.Family = 6 }
	for _, tt := range []struct {
		change func(*vrrp.RouterConfig)
		want   string
	}{
		{func(r *vrrp.RouterConfig) { r.Peers = many }, "at most 32"},
		{func(r *vrrp.RouterConfig) { r.Peers = []vrrp.Peer{{Address: addr("fe80::3")}} }, "not of family 4"},
		{func(r *vrrp.RouterConfig) { r.Peers = []vrrp.Peer{{}} }, "not of family 4"},
		{func(r *vrrp.RouterConfig) { r.Peers = []vrrp.Peer{{Address: vrrp.Group4()}} }, "not the address of another router"},
		{func(r *vrrp.RouterConfig) {
			r.Peers = []vrrp.Peer{{Address: addr("10.0.0.3")}, {Address: addr("10.0.0.3")}}
		}, "there twice"},
		{func(r *vrrp.RouterConfig) {
			r.Source, r.Peers = addr("10.0.0.3"), []vrrp.Peer{{Address: addr("10.0.0.3")}}
		}, "the router itself"},
		{func(r *vrrp.RouterConfig) { r.Source = addr("fe80::3") }, "not of family 4"},
		{func(r *vrrp.RouterConfig) { six(r); r.Source = addr("2001:db8::3") }, "link-local"},
	} {
		cfg := gatewayConfig()
		tt.change(&cfg.Routers[lan])
		if _, err := vrrp.NewSet(cfg); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("want an error with %q, got %v", tt.want, err)
		}
	}
}

func TestUnicastAllocatesNothing(t *testing.T) {
	g := newGateway(t, unicastConfig()).active()
	g.now = g.Deadline()
	ops := slices.Clone(g.Step(g.now, vrrp.SetInput{Kind: vrrp.InTick}).Ops)
	a := vrrp.Advert{Version: 3, VRID: 51, Priority: 99, Interval: interval, Form: vrrp.FormPseudo}
	d, _ := vrrp.ParseDatagram(vrrp.AppendPacketTo(nil, &a, g.Config().Routers[lan].Addresses, addr("10.0.0.3"), addr("10.0.0.2")))
	buf := make([]byte, 0, 2048)
	accepted := 0
	if n := testing.AllocsPerRun(100, func() {
		for _, p := range g.Peers(ops[0]) {
			buf = g.AppendPacketTo(buf[:0], ops[0], p.Address)
		}
		if g.Parse(lan, d, &a) == vrrp.ReasonNone {
			accepted++
		}
		g.Step(g.now, vrrp.SetInput{Kind: vrrp.InAdvert, Router: lan, Src: d.Src, Advert: &a})
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if accepted == 0 {
		t.Error("nothing was accepted")
	}
}

// TestChecksumByGroup: keepalived up to 1.3.6 counts the group's address in adverts to a single router, and takes no others.
// It is answered in kind, once it is heard; or from the beginning, or never, if that is configured.
func TestChecksumByGroup(t *testing.T) {
	for _, row := range []struct {
		mode        vrrp.ChecksumMode
		first, then bool
	}{
		{vrrp.ChecksumAuto, false, true},
		{vrrp.ChecksumGroup, true, true},
		{vrrp.ChecksumRFC5798, false, false},
		{vrrp.ChecksumRFC9568, false, false},
	} {
		t.Run(string(row.mode), func(t *testing.T) {
			cfg := unicastConfig()
			cfg.Routers[lan].Checksum = row.mode
			g := newGateway(t, cfg).active()
			sends := func(to string) bool {
				t.Helper()
				op := vrrp.Op{Kind: vrrp.OpSend, Router: lan, Priority: 100}
				d, _ := vrrp.ParseDatagram(g.AppendPacketTo(nil, op, addr(to)))
				var a vrrp.Advert
				if r := vrrp.ParseAdvertTo(d, &a, &vrrp.Unicast{Peers: []vrrp.Peer{{Address: d.Src}}}); r != vrrp.ReasonNone {
					t.Fatalf("to %s: %v", to, r)
				}
				// What has the group's address is the same for whomever it is sent to.
				other, _ := vrrp.ParseDatagram(g.AppendPacketTo(nil, op, addr("10.0.0.9")))
				if same := string(d.Payload) == string(other.Payload); same != (a.ByGroup || a.Form == vrrp.FormMessage) {
					t.Errorf("to %s: the same to others: %t, %+v", to, same, a)
				}
				return a.ByGroup
			}
			if got := sends("10.0.0.3"); got != row.first {
				t.Errorf("at first: %t", got)
			}
			hear := func() {
				a := vrrp.Advert{Version: 3, VRID: cfg.Routers[lan].VRID, Priority: 50, Interval: interval, Form: vrrp.FormPseudo, ByGroup: true}
				d, _ := vrrp.ParseDatagram(vrrp.AppendPacketTo(nil, &a, cfg.Routers[lan].Addresses, addr("10.0.0.3"), addr("10.0.0.2")))
				if r := g.Parse(lan, d, &a); r != vrrp.ReasonNone || !a.ByGroup {
					t.Fatalf("%v %+v", r, a)
				}
				g.do(vrrp.SetInput{Kind: vrrp.InAdvert, Router: lan, Src: d.Src, Advert: &a})
			}
			hear()
			if got := sends("10.0.0.3"); got != row.then {
				t.Errorf("then: %t", got)
			}
			again := g.Config()
			again.Routers = slices.Clone(again.Routers)
			again.Routers[lan].Priority = 90
			if _, err := g.Reconfigure(g.now, again); err != nil {
				t.Fatal(err)
			}
			if got := sends("10.0.0.3"); got != row.then {
				t.Errorf("after a reload: %t", got)
			}
		})
	}
}
