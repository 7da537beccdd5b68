package lacp

import (
	"slices"
	"testing"
	"time"
)

// Selection Logic (5.4.14).
func TestS5_4_14_Selection(t *testing.T) {
	for _, tt := range []struct {
		name   string
		config func(*ActorConfig)
		peer   func(port int, p *PDU)
		aggs   [3]int
		sel    [3]Selected
	}{
		{"one partner, one key: one aggregate", nil, nil, [3]int{0, 0, 0}, [3]Selected{1, 1, 1}},
		{"another partner", nil, func(i int, p *PDU) {
			if i == 1 {
				p.Actor.System = switch2
			}
		}, [3]int{0, 1, 0}, [3]Selected{1, 1, 1}},
		{"another key of the partner", nil, func(i int, p *PDU) {
			if i == 2 {
				p.Actor.Key = 99
			}
		}, [3]int{0, 0, 2}, [3]Selected{1, 1, 1}},
		{"another key of ours", func(c *ActorConfig) { c.Ports[0].Key = 99 }, nil, [3]int{0, 1, 1}, [3]Selected{1, 1, 1}},
		{"the partner's end is individual", nil, func(i int, p *PDU) { p.Actor.State &^= Aggregation }, [3]int{0, 1, 2}, [3]Selected{1, 1, 1}},
		{"our end is individual", func(c *ActorConfig) { c.Ports[1].Individual = true }, nil, [3]int{0, 1, 0}, [3]Selected{1, 1, 1}},
		{"no more links than allowed: the first ones by priority and number", func(c *ActorConfig) {
			c.MaxLinks, c.Ports[2].Priority = 2, 1
		}, nil, [3]int{0, 0, 0}, [3]Selected{1, 2, 1}},
		{"one aggregate only: the first", func(c *ActorConfig) { c.Single = true }, func(i int, p *PDU) {
			if i > 0 {
				p.Actor.System = switch2
			}
		}, [3]int{0, 1, 1}, [3]Selected{1, 2, 2}},
		{"our own PDUs: nothing", nil, func(i int, p *PDU) { p.Actor.System = switch1 }, [3]int{0, 1, 2}, [3]Selected{0, 0, 0}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newRig(t, 3, tt.config)
			b.up(0, 1, 2)
			for range 4 {
				for i := range 3 {
					p := b.peer(i, good)
					if tt.peer != nil {
						tt.peer(i, &p)
					}
					b.hear(i, p)
				}
				b.pass(time.Second)
			}
			for i := range 3 {
				if p := b.a.Port(i); p.Aggregator != tt.aggs[i] || p.Selected != tt.sel[i] || p.Carries() != (tt.sel[i] == SelectedPort) {
					t.Errorf("port %d: aggregator %d, %v, carries %v; want %d, %v", i, p.Aggregator, p.Selected, p.Carries(), tt.aggs[i], tt.sel[i])
				}
			}
		})
	}
	t.Run("a standby steps in", func(t *testing.T) {
		b := newRig(t, 2, func(c *ActorConfig) { c.MaxLinks = 1 })
		b.up(0, 1)
		b.hear(0, b.peer(0, good))
		b.hear(1, b.peer(1, good))
		b.pass(2 * time.Second)
		if x, y := b.a.Port(0), b.a.Port(1); x.Mux != CollectingDistributing || y.Mux != Waiting {
			t.Fatalf("%v %v", x.Mux, y.Mux)
		}
		b.step(ActorInput{Kind: ActLink, Port: 0})
		if y := b.a.Port(1); y.Mux != CollectingDistributing {
			t.Errorf("%v, and it has waited already", y.Mux)
		}
	})
	t.Run("a single aggregate is kept while it has links, then the largest is taken", func(t *testing.T) {
		b := newRig(t, 3, func(c *ActorConfig) { c.Single = true })
		b.up(0, 1, 2)
		for range 4 {
			for i := range 3 {
				p := b.peer(i, good)
				if i > 0 {
					p.Actor.System = switch2
				}
				b.hear(i, p)
			}
			b.pass(time.Second)
		}
		if !b.a.Port(0).Carries() || b.a.Port(1).Carries() {
			t.Fatal("it is not the first one that carries")
		}
		b.step(ActorInput{Kind: ActLink, Port: 0})
		if !b.a.Port(1).Carries() || !b.a.Port(2).Carries() {
			t.Errorf("%v %v", b.a.Port(1).Mux, b.a.Port(2).Mux)
		}
	})
	t.Run("an aggregator is not free while a port is about to leave it", func(t *testing.T) {
		b := newRig(t, 2, nil)
		b.up(0, 1)
		for range 4 {
			b.hear(0, b.peer(0, good))
			b.hear(1, b.peer(1, good))
			b.pass(time.Second)
		}
		b.step(ActorInput{Kind: ActLink, Port: 0})
		b.up(0)
		b.hear(0, b.peer(0, good))
		if x, y := b.a.Port(0), b.a.Port(1); x.Mux != Waiting || x.Aggregator != 0 || y.Aggregator != 0 || !y.Carries() {
			t.Fatalf("%v in %d, %v in %d", x.Mux, x.Aggregator, y.Mux, y.Aggregator)
		}
		cfg := b.a.cfg
		cfg.Ports = slices.Clone(cfg.Ports)
		cfg.Ports[0].Key, cfg.Ports[1].Key = 99, 99
		b.took(b.a.Reconfigure(b.now, cfg))
		if x, y := b.a.Port(0).Aggregator, b.a.Port(1).Aggregator; x != 1 || y != 1 {
			t.Errorf("aggregators %d and %d: the first was taken when the other one was looked for", x, y)
		}
	})
	t.Run("a port whose partner does not speak LACP is used alone, if that is wanted", func(t *testing.T) {
		for _, fallback := range []bool{false, true} {
			b := newRig(t, 2, func(c *ActorConfig) { c.Fallback, c.Single = fallback, true })
			b.up(0, 1)
			b.pass(10 * time.Second)
			if x, y := b.a.Port(0).Carries(), b.a.Port(1).Carries(); x != fallback || y {
				t.Errorf("fallback %v: %v %v", fallback, x, y)
			}
			// update_Default_Selected: one that falls silent is in another group from then on.
			c := newRig(t, 1, func(c *ActorConfig) { c.Fallback = fallback })
			c.up(0)
			c.keep(0, good, 4*time.Second)
			c.pass(2*ShortTimeout - time.Second - 1)
			if p := c.a.Port(0); p.Mux != Attached || p.Receive != PartnerExpired {
				t.Errorf("fallback %v: %v %v", fallback, p.Receive, p.Mux)
			}
			c.pass(1)
			if p := c.a.Port(0); p.Carries() || p.Receive != PartnerDefaulted {
				t.Errorf("fallback %v: %v %v, and it has to leave its aggregate first", fallback, p.Receive, p.Mux)
			}
		}
	})
}
