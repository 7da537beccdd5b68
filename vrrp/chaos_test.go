package vrrp_test

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/vrrp"
	"understudy/vrrp/vrrptest"
)

// chaos is a random network with its faults, and what must hold in it after every step.
type chaos struct {
	t       *rapid.T
	net     *vrrptest.Network
	every   time.Duration
	uniform bool // all members of a node have one priority, and all nodes preempt
	before  map[string]vrrp.State
	terms   map[string]uint64
	allowed map[string]uint64 // adverts a router may have sent, by activations and what it heard
	trace   string
	traced  bool
}

var segments = []string{"lan", "wan"}

// TestChaosSettles: whatever happens, no step breaks an invariant; and when the faults end, one node is Active,
// the right one, and stays.
func TestChaosSettles(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := newChaos(t)
		for range rapid.IntRange(1, 25).Draw(t, "acts") {
			c.act()
		}
		c.settle()
	})
}

// TestSameSeedSameTrace runs one storm twice.
func TestSameSeedSameTrace(t *testing.T) {
	run := func() (hash uint64) {
		h := fnv.New64a()
		gen := rapid.Custom(func(t *rapid.T) uint64 {
			c := newChaos(t)
			c.traced = true
			for range 25 {
				c.act()
			}
			fmt.Fprint(h, c.trace)
			return h.Sum64()
		})
		return gen.Example(7)
	}
	if a, b := run(), run(); a != b {
		t.Errorf("traces differ: %x %x", a, b)
	}
}

func newChaos(t *rapid.T) *chaos {
	c := &chaos{t: t, net: vrrptest.New(rapid.Uint64().Draw(t, "seed")), before: make(map[string]vrrp.State),
		terms: make(map[string]uint64), allowed: make(map[string]uint64)}
	c.every = vrrp.Centis(rapid.SampledFrom([]uint16{1, 10, 100}).Draw(t, "interval")).Duration()
	c.uniform = rapid.Bool().Draw(t, "uniform")
	for i := range rapid.IntRange(2, 3).Draw(t, "nodes") {
		c.addNode(i)
	}
	c.net.OnStep = c.check
	for _, n := range c.net.Nodes() {
		n.Start()
	}
	return c
}

func (c *chaos) addNode(i int) {
	t := c.t
	cfg := vrrp.SetConfig{Node: string(rune('a' + i)), Groups: []vrrp.GroupConfig{{Name: "gw", Routers: segments}}}
	p := rapid.Uint8Range(1, 254).Draw(t, "priority")
	preempt := c.uniform || rapid.Bool().Draw(t, "preempt")
	var links []vrrptest.Link
	for s, name := range segments {
		if !c.uniform && rapid.Bool().Draw(t, "own priority") {
			p = rapid.Uint8Range(1, 254).Draw(t, "priority")
		}
		host := byte(i + 1)
		if s == 1 {
			host = 10 - host // ties are broken the other way on the WAN
		}
		cfg.Routers = append(cfg.Routers, vrrp.RouterConfig{Name: name, Interface: name, VRID: byte(51 + s), Priority: p,
			Interval: c.every, Preempt: preempt, Addresses: []netip.Addr{netip.AddrFrom4([4]byte{10, 0, byte(s), 100})}})
		links = append(links, vrrptest.Link{Segment: name, Address: netip.AddrFrom4([4]byte{10, 0, byte(s), host})})
	}
	c.net.Add(cfg, links...)
}

func (c *chaos) act() {
	t := c.t
	nodes := c.net.Nodes()
	n := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "node")]
	other := nodes[rapid.IntRange(0, len(nodes)-1).Draw(t, "other")]
	segment := rapid.SampledFrom(segments).Draw(t, "segment")
	yes := rapid.Bool().Draw(t, "yes")
	group := vrrp.SetInput{Group: "gw", OK: yes, On: yes, Reason: "chaos"}
	switch rapid.IntRange(0, 14).Draw(t, "act") {
	case 0:
		c.net.Cut(n.Name, other.Name, segment, yes)
	case 1:
		p := c.net.Path(n.Name, other.Name, segment)
		p.Cut = yes
		c.net.SetPath(n.Name, other.Name, segment, p)
	case 2:
		c.net.SetPath(n.Name, other.Name, segment, vrrptest.Path{Loss: 0.4, Duplicate: 0.2, Corrupt: 0.1,
			Delay: c.every / 20, Jitter: c.every / 2})
	case 3:
		n.Crash()
		delete(c.before, n.Name)
	case 4:
		if n.Set() == nil {
			n.Start()
		}
	case 5:
		n.Freeze()
	case 6:
		n.Thaw(yes)
	case 7:
		n.SetLink(segment, yes)
	case 8:
		group.Kind = vrrp.InHandOver
		n.Step(group)
	case 9:
		group.Kind = vrrp.InEligible
		n.Step(group)
	case 10:
		group.Kind = vrrp.InFault
		n.Step(group)
	case 11:
		group.Kind = vrrp.InStop
		if yes {
			group.Kind = vrrp.InStart
		}
		n.Step(group)
	case 12:
		c.net.Inject(segment, rapid.SliceOfN(rapid.Byte(), 0, 64).Draw(t, "junk"))
	case 13:
		n.Late = time.Duration(rapid.Int64Range(0, int64(c.every/4)).Draw(t, "late"))
	case 14:
		group.Kind, group.Weight = vrrp.InWeight, rapid.SampledFrom([]int{-254, -60, 0, 30, 300}).Draw(t, "weight")
		n.Step(group)
	}
	c.net.Advance(time.Duration(rapid.Int64Range(0, int64(6*c.every)).Draw(t, "advance")))
}

// check holds after every step of every node.
func (c *chaos) check(n *vrrptest.Node, in vrrp.SetInput, ops []vrrp.Op) {
	t := c.t
	st := n.Set().Snapshot(c.net.Now())
	g := st.Groups[0]
	was, now := c.before[n.Name], g.State
	c.before[n.Name] = now
	if c.traced {
		c.trace += fmt.Sprintf("%d %s %+v\n", c.net.Elapsed(), n.Name, ops)
	}
	if n.Serving("gw") != (now == vrrp.Active) {
		t.Fatalf("%s: %v but serving %v", n.Name, now, n.Serving("gw"))
	}
	for _, r := range st.Routers {
		if r.State != now && !(now == vrrp.Initialize) {
			t.Fatalf("%s: group %v, router %s %v", n.Name, now, r.Name, r.State)
		}
		if r.Learned < 10*time.Millisecond || r.Learned > vrrp.MaxCentis.Duration() {
			t.Fatalf("%s: learned %v", n.Name, r.Learned)
		}
	}
	if in.Kind == vrrp.InAdvert {
		for _, segment := range segments { // an answer on one member may be one on all
			c.allowed[n.Name+segment]++
		}
	}
	closed := false
	for _, op := range ops {
		switch op.Kind {
		case vrrp.OpGateClose, vrrp.OpFence:
			closed = true
		case vrrp.OpSend:
			key := n.Name + segments[op.Router]
			switch {
			case op.Priority == 0 && (was != vrrp.Active || !closed && !g.Leaving):
				t.Fatalf("%s: priority 0 from %v, gate closed %v: %+v", n.Name, was, closed, ops)
			case op.Priority > 0 && now != vrrp.Active:
				t.Fatalf("%s: advertises as %v", n.Name, now)
			case op.Priority > 0 && in.Kind == vrrp.InAdvert && c.allowed[key] == 0:
				t.Fatalf("%s: sends more than it hears", key)
			case op.Priority > 0 && in.Kind == vrrp.InAdvert:
				c.allowed[key]--
			}
		case vrrp.OpTransition:
			if op.From == vrrp.Active && op.To != vrrp.Active && !closed {
				t.Fatalf("%s: %v -> %v with the gate open", n.Name, op.From, op.To)
			}
			if op.From != vrrp.Active && op.To == vrrp.Active {
				if in.Kind != vrrp.InTick && in.Kind != vrrp.InStart {
					t.Fatalf("%s: active by %+v", n.Name, in)
				}
				if op.Term <= c.terms[n.Name] && op.Term != 1 {
					t.Fatalf("%s: term %d after %d", n.Name, op.Term, c.terms[n.Name])
				}
				c.terms[n.Name] = op.Term
			}
		}
	}
}

// settle ends all faults, gives time, and wants one Active that stays.
func (c *chaos) settle() {
	t := c.t
	for _, n := range c.net.Nodes() {
		for _, m := range c.net.Nodes() {
			for _, segment := range segments {
				c.net.SetPath(n.Name, m.Name, segment, vrrptest.Path{Delay: c.every / 100})
			}
		}
	}
	for _, n := range c.net.Nodes() {
		n.Late = 0
		n.Thaw(true)
		if n.Set() == nil {
			n.Start()
		}
		for _, segment := range segments {
			n.SetLink(segment, true)
		}
		n.Step(vrrp.SetInput{Kind: vrrp.InStart})
		n.Step(vrrp.SetInput{Kind: vrrp.InFault})
		n.Step(vrrp.SetInput{Kind: vrrp.InEligible, OK: true})
		n.Step(vrrp.SetInput{Kind: vrrp.InReclaim})
		n.Step(vrrp.SetInput{Kind: vrrp.InWeight})
	}
	c.net.Advance(20 * c.every)
	moves, best := 0, uint8(0)
	for _, n := range c.net.Nodes() {
		moves -= n.Moves()
		best = max(best, n.Config().Routers[0].Priority)
	}
	c.net.Advance(50 * c.every)
	var active []*vrrptest.Node
	for _, n := range c.net.Nodes() {
		moves += n.Moves()
		if n.Serving("gw") {
			active = append(active, n)
		}
	}
	if moves != 0 {
		t.Fatalf("%d transitions after everything was well for 20 intervals", moves)
	}
	if len(active) != 1 {
		t.Fatalf("%d nodes are Active", len(active))
	}
	if got := active[0].Config().Routers[0].Priority; c.uniform && got != best {
		t.Fatalf("priority %d is Active, the best is %d", got, best)
	}
}
