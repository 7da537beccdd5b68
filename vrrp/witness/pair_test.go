package witness

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
)

// pair is two nodes, a and b, each a Set and a Guard on one clock. What one sends the other gets, but for what a test
// takes away: adverts by segment, heartbeats by direction.
type pair struct {
	t    *testing.T
	now  time.Time
	node [2]*testNode
	deaf [2][2]bool // node does not hear adverts on segment
	mute [2]bool    // node's heartbeats get lost
}

type testNode struct {
	pair  *pair
	id    int
	set   *vrrp.Set
	guard *Guard
	again []string // groups to be announced again, in order
	sent  [][]byte // heartbeats
	took  []Reason
	moves []string
}

const (
	beatEvery = 100 * time.Millisecond
	testLimit = 2 * time.Second
)

var testSecret = [2][]byte{[]byte("0123456789abcdef0123456789abcdef"), []byte("fedcba9876543210fedcba9876543210")}

func testKey(t testing.TB, secret int, node string) Key {
	t.Helper()
	k, err := NewKey(testSecret[secret], node)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func testName(i int) string { return string(rune('a' + i)) }

// testSet is node i's configuration: routers lan and wan in one group, a with the higher priority.
func testSet(i int, edit func(i int, c *vrrp.SetConfig)) vrrp.SetConfig {
	cfg := vrrp.SetConfig{Node: testName(i), Groups: []vrrp.GroupConfig{{Name: "gw", Routers: []string{"lan", "wan"}}}}
	for s, name := range []string{"lan", "wan"} {
		cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: name, Interface: name + testName(i), VRID: uint8(51 + s),
			Priority: uint8(200 - 100*i), Interval: beatEvery, Preempt: true, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(s), 1})}})
	}
	if edit != nil {
		edit(i, &cfg)
	}
	return cfg
}

func testConfig(t testing.TB, i int, mode Mode) Config {
	return Config{Node: testName(i), Mode: mode, Listen: netip.MustParseAddrPort("10.255.0.1:7788"), Key: testKey(t, 0, testName(i)),
		Peers: []Peer{{Name: testName(1 - i), Address: netip.MustParseAddrPort("10.255.0.2:7788"), Keys: []Key{testKey(t, 0, testName(1-i))}}}}
}

func newPair(t *testing.T, mode Mode, edit func(i int, c *vrrp.SetConfig)) *pair {
	t.Helper()
	p := &pair{t: t, now: time.Unix(1_000_000, 0)}
	for i := range p.node {
		p.boot(i, mode, edit)
	}
	return p
}

// boot gives a node a new life.
func (p *pair) boot(i int, mode Mode, edit func(i int, c *vrrp.SetConfig)) {
	p.t.Helper()
	set, err := vrrp.NewSet(testSet(i, edit))
	if err != nil {
		p.t.Fatal(err)
	}
	life := uint64(1 + i)
	if n := p.node[i]; n != nil {
		life = n.guard.incarnation + 10
	}
	n := &testNode{pair: p, id: i, set: set, guard: NewGuard(testConfig(p.t, i, mode), life)}
	n.guard.Layout(set)
	n.guard.SetNeighbour(NeighbourUp)
	p.node[i] = n
	for s, name := range []string{"lan", "wan"} {
		n.step(vrrp.SetInput{Kind: vrrp.InLink, Interface: name + testName(i), Up: true, Primary: netip.AddrFrom4([4]byte{10, 0, byte(s), byte(2 + i)})})
	}
	n.step(vrrp.SetInput{Kind: vrrp.InStart})
}

func (n *testNode) step(in vrrp.SetInput) {
	out := n.set.Step(n.pair.now, in)
	type advert struct {
		router int
		packet []byte
	}
	var adverts []advert
	for _, op := range out.Ops {
		switch op.Kind {
		case vrrp.OpSend:
			adverts = append(adverts, advert{op.Router, n.set.AppendPacket(nil, op)})
		case vrrp.OpTransition:
			n.moves = append(n.moves, op.To.String()+" "+op.Cause)
			n.guard.Stir(n.pair.now)
		}
	}
	for _, a := range adverts {
		n.pair.advertise(n.id, a.router, a.packet)
	}
}

func (p *pair) advertise(from, router int, packet []byte) {
	if to := p.node[1-from]; to != nil && !p.deaf[1-from][router] {
		to.hear(router, packet)
	}
}

// hear is what the loop does with a packet.
func (n *testNode) hear(router int, packet []byte) {
	var a vrrp.Advert
	d, reason := vrrp.ParseDatagram(packet)
	if reason == vrrp.ReasonNone {
		reason = vrrp.ParseAdvert(d, &a)
	}
	if reason == vrrp.ReasonNone {
		n.accept(vrrp.SetInput{Kind: vrrp.InAdvert, Router: router, Src: d.Src, Advert: &a}, router, d.Src, &a)
		return
	}
	n.guard.Refused(n.pair.now, router, d.Src, reason)
}

func (n *testNode) accept(in vrrp.SetInput, router int, src netip.Addr, a *vrrp.Advert) {
	drops := n.set.Snapshot(n.pair.now).Routers[router].Drops
	n.step(in)
	for reason, count := range n.set.Snapshot(n.pair.now).Routers[router].Drops {
		if count != drops[reason] {
			for _, r := range vrrp.Reasons() {
				if r.String() == reason {
					n.guard.Refused(n.pair.now, router, src, r)
				}
			}
			return
		}
	}
	n.guard.Heard(n.pair.now, n.set, router, src, a)
}

// receive is a heartbeat that comes in.
func (n *testNode) receive(packet []byte) Reason {
	reason := n.guard.Receive(n.pair.now, n.pair.now, packet)
	n.took = append(n.took, reason)
	for i := range n.guard.Said() {
		if _, term, news := n.guard.Term(i, n.set); news {
			n.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: "gw", Term: term})
		}
		if in, ok := n.guard.Vouch(i); ok {
			n.step(in)
		}
	}
	return reason
}

func (n *testNode) beat() {
	p := n.pair
	for to, more := 0, true; more; {
		var b []byte
		b, more = n.guard.Append(p.now, to, n.set, nil)
		n.sent = append(n.sent, b)
		if p.node[1-n.id] != nil && !p.mute[n.id] {
			p.node[1-n.id].receive(b)
		}
	}
}

// run lets the time pass.
func (p *pair) run(d time.Duration) {
	for end := p.now.Add(d); ; {
		next, who := end, -1
		for i, n := range p.node {
			if n == nil {
				continue
			}
			for _, at := range []time.Time{n.set.Deadline(), n.guard.Deadline()} {
				if !at.IsZero() && at.Before(next) {
					next, who = at, i
				}
			}
		}
		if next.After(p.now) {
			p.now = next
		}
		if who < 0 {
			return
		}
		n := p.node[who]
		if at := n.set.Deadline(); !at.IsZero() && !p.now.Before(at) {
			n.step(vrrp.SetInput{Kind: vrrp.InTick})
		}
		if n.guard.Due(p.now) {
			n.beat()
		}
		_, again := n.guard.Judge(p.now, n.set)
		n.again = append(n.again, again...)
	}
}

func (n *testNode) is(want vrrp.State, what string) {
	n.pair.t.Helper()
	if got := n.set.Group(0).State; got != want {
		n.pair.t.Fatalf("%s: %s is %v, want %v; it was %v", what, testName(n.id), got, want, n.moves)
	}
}

// finds tells whether there is a finding of the kind.
func (n *testNode) finds(kind Kind) bool {
	for _, f := range n.guard.Findings() {
		if f.Kind == kind {
			return true
		}
	}
	return false
}

func (n *testNode) found(what string, want ...Kind) {
	n.pair.t.Helper()
	for _, kind := range []Kind{KindSplitBrain, KindIncompatible, KindUnheard, KindNoHeartbeat} {
		wanted := false
		for _, w := range want {
			wanted = wanted || w == kind
		}
		if n.finds(kind) != wanted {
			n.pair.t.Fatalf("%s: %s finds %v: %v, want %v; all: %+v", what, testName(n.id), kind, !wanted, wanted, n.guard.Findings())
		}
	}
}

// settled is a pair of which a is Active.
func settled(t *testing.T, mode Mode, edit func(i int, c *vrrp.SetConfig)) (*pair, *testNode, *testNode) {
	t.Helper()
	p := newPair(t, mode, edit)
	p.run(2 * time.Second)
	a, b := p.node[0], p.node[1]
	a.is(vrrp.Active, "settled")
	b.is(vrrp.Backup, "settled")
	a.found("settled")
	b.found("settled")
	a.again, b.again, a.moves, b.moves = nil, nil, nil, nil
	return p, a, b
}

var testRogue = netip.MustParseAddr("10.0.0.66")
