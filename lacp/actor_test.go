package lacp

import (
	"encoding/binary"
	"slices"
	"testing"
	"time"
)

// rig is an actor of so many ports: every transition of its machines
// can be reached from here.
type rig struct {
	t    *testing.T
	a    *Actor
	now  time.Time
	sent []PDU
}

func newRig(t *testing.T, ports int, change func(*ActorConfig)) *rig {
	cfg := ActorConfig{System: switch1, SystemPriority: 100, Fast: true}
	for i := range ports {
		cfg.Ports = append(cfg.Ports, PortConfig{MAC: MAC{0, 0, 0, 0, 0, byte(i + 1)}, Number: uint16(i + 1), Priority: 10, Key: 7})
	}
	if change != nil {
		change(&cfg)
	}
	return &rig{t: t, a: NewActor(cfg), now: epoch}
}

func (b *rig) step(in ActorInput) {
	b.t.Helper()
	b.took(b.a.Step(b.now, in))
	if at := b.a.Deadline(); in.Kind == ActTick && !at.IsZero() && !at.After(b.now) {
		b.t.Fatalf("a tick at %v left the deadline at %v", b.now.Sub(epoch), at.Sub(epoch))
	}
}

func (b *rig) took(out []Sending) {
	b.t.Helper()
	for _, s := range out {
		var p PDU
		if r := Parse(s.Frame[14:], &p); r != ReasonNone && s.Frame[14] == byte(SubtypeLACP) {
			b.t.Fatalf("sent what is refused for %v", r)
		}
		if MAC(s.Frame) != Group || MAC(s.Frame[6:]) != b.a.cfg.Ports[s.Port].MAC || binary.BigEndian.Uint16(s.Frame[12:]) != EtherType {
			b.t.Errorf("header %x", s.Frame[:14])
		}
		b.sent = append(b.sent, p)
	}
}

// pass lets time pass, deadline by deadline.
func (b *rig) pass(d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); ; {
		at := b.a.Deadline()
		if at.IsZero() || at.After(end) {
			b.now = end
			return
		}
		b.now = latest(b.now, at)
		b.step(ActorInput{Kind: ActTick})
	}
}

func (b *rig) up(ports ...int) {
	for _, p := range ports {
		b.step(ActorInput{Kind: ActLink, Port: p, Up: true})
	}
}

// peer is what a well partner says to a port, that has the given state.
func (b *rig) peer(port int, s State) PDU {
	return PDU{Version: 1, Actor: Info{200, gateway, 15, 255, uint16(port + 1), s}, Partner: b.a.Port(port).Actor}
}

func (b *rig) hear(port int, p PDU) {
	b.t.Helper()
	b.step(ActorInput{Kind: ActFrame, Port: port, Frame: Append(AppendHeader(nil, MAC{9}), &p)})
}

// keep has the peer say it for so long, each second.
func (b *rig) keep(port int, s State, d time.Duration) {
	b.t.Helper()
	for end := b.now.Add(d); b.now.Before(end); b.pass(time.Second) {
		b.hear(port, b.peer(port, s))
	}
}

func (b *rig) want(what string, port int, r Receive, m Mux, s State) {
	b.t.Helper()
	if p := b.a.Port(port); p.Receive != r || p.Mux != m || p.Actor.State != s {
		b.t.Errorf("%s: %v %v %v, want %v %v %v", what, p.Receive, p.Mux, p.Actor.State, r, m, s)
	}
}

const asked = Activity | Timeout | Aggregation // of the rig's actor

// Receive machine (802.1AX-2008, 5.4.12).
func TestS5_4_12_Receive(t *testing.T) {
	t.Run("PORT_DISABLED to EXPIRED when the port comes up, DEFAULTED 3 s later", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.want("down", 0, PortDisabled, Detached, asked|Defaulted)
		b.up(0)
		b.want("up", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
		b.pass(ShortTimeout - 1)
		b.want("before 3 s", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
		b.pass(1)
		b.want("after 3 s", 0, PartnerDefaulted, Detached, asked|Defaulted)
	})
	t.Run("EXPIRED and DEFAULTED to CURRENT by a PDU", func(t *testing.T) {
		for _, wait := range []time.Duration{0, ShortTimeout} {
			b := newRig(t, 1, nil)
			b.up(0)
			b.pass(wait)
			b.hear(0, b.peer(0, asked))
			b.want("heard", 0, PartnerCurrent, Waiting, asked)
			if p := b.a.Port(0).Partner; p != (Info{200, gateway, 15, 255, 1, asked}) {
				t.Errorf("partner %+v", p)
			}
		}
	})
	t.Run("CURRENT to EXPIRED 3 s after the last PDU, by our short timeout, and DEFAULTED 3 s later", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.hear(0, b.peer(0, asked))
		b.pass(time.Second)
		b.hear(0, b.peer(0, good))
		b.pass(ShortTimeout - 1)
		b.want("before 3 s", 0, PartnerCurrent, CollectingDistributing, good)
		b.pass(1)
		b.want("after 3 s", 0, PartnerExpired, Attached, asked|Synchronization|Expired)
		if p := b.a.Port(0).Partner; p.System != gateway || p.State.Has(Synchronization) {
			t.Errorf("partner %+v: known, not in sync", p)
		}
		b.pass(ShortTimeout)
		b.want("after 6 s", 0, PartnerDefaulted, Detached, asked|Defaulted)
		if p := b.a.Port(0).Partner; p != (Info{}) {
			t.Errorf("partner %+v, want what is configured", p)
		}
	})
	t.Run("an expired partner is spoken to each second, whatever it had asked for", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, goodSlow, 4*time.Second)
		if p := b.a.Port(0); p.Pace != SlowPace {
			t.Fatalf("%v", p.Pace)
		}
		b.pass(2 * time.Second)
		if p := b.a.Port(0); p.Receive != PartnerExpired || p.Pace != FastPace || !p.Partner.State.Has(Timeout) {
			t.Errorf("%v, %v, partner %v", p.Receive, p.Pace, p.Partner.State)
		}
	})
	t.Run("our long timeout is 90 s", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Fast = false })
		b.up(0)
		b.hear(0, b.peer(0, asked))
		b.pass(LongTimeout - 1)
		if r := b.a.Port(0).Receive; r != PartnerCurrent {
			t.Errorf("%v before 90 s", r)
		}
		b.pass(1)
		if r := b.a.Port(0).Receive; r != PartnerExpired {
			t.Errorf("%v after 90 s", r)
		}
	})
	t.Run("to PORT_DISABLED from every state", func(t *testing.T) {
		for _, wait := range []time.Duration{0, ShortTimeout, 2 * ShortTimeout, 3 * ShortTimeout} {
			b := newRig(t, 1, nil)
			b.up(0)
			b.keep(0, good, wait/2)
			b.pass(wait - wait/2)
			b.step(ActorInput{Kind: ActLink, Port: 0})
			if p := b.a.Port(0); p.Receive != PortDisabled || p.Mux != Detached || p.Selected != Unselected || p.Partner.State.Has(Synchronization) {
				t.Errorf("after %v: %+v", wait, p)
			}
			b.hear(0, b.peer(0, good))
			if p := b.a.Port(0); p.Receive != PortDisabled || p.Counters.Received != 0 && wait == 0 {
				t.Errorf("a port that is down has heard something: %+v", p)
			}
		}
	})
	t.Run("LACP_DISABLED where the port does not speak LACP", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Ports[0].Disabled = true })
		b.up(0)
		b.hear(0, b.peer(0, good))
		b.pass(time.Minute)
		b.want("disabled", 0, LACPDisabled, Detached, asked|Defaulted)
		if len(b.sent) > 0 {
			t.Errorf("it has sent %d PDUs", len(b.sent))
		}
		b.a.cfg.Ports[0].Disabled = false
		cfg := b.a.cfg
		cfg.Ports = []PortConfig{cfg.Ports[0]}
		b.took(b.a.Reconfigure(b.now, cfg))
		b.want("enabled", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
	})
	t.Run("port_moved: a partner that is at another port now is forgotten at the old one", func(t *testing.T) {
		b := newRig(t, 2, nil)
		b.up(0, 1)
		b.hear(0, b.peer(0, good))
		b.step(ActorInput{Kind: ActLink, Port: 0})
		if p := b.a.Port(0).Partner; p.System != gateway {
			t.Fatalf("partner %+v: it may come back", p)
		}
		moved := b.peer(1, good)
		moved.Actor.Port = 1
		b.hear(1, moved)
		if p := b.a.Port(0).Partner; p != (Info{}) {
			t.Errorf("partner %+v, want none", p)
		}
	})
}

// recordPDU (5.4.9): the partner is in sync only with the very port that it knows.
func TestS5_4_9_RecordPDU(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*PDU)
		sync   bool
	}{
		{"well", func(*PDU) {}, true},
		{"it knows another port", func(p *PDU) { p.Partner.Port = 9 }, false},
		{"it knows another system", func(p *PDU) { p.Partner.System = switch2 }, false},
		{"it knows another key", func(p *PDU) { p.Partner.Key = 1 }, false},
		{"it knows another port priority", func(p *PDU) { p.Partner.PortPriority = 1 }, false},
		{"it knows another system priority", func(p *PDU) { p.Partner.SystemPriority = 1 }, false},
		{"it takes us for individual", func(p *PDU) { p.Partner.State &^= Aggregation }, false},
		{"it is individual: whom it knows does not matter", func(p *PDU) { p.Actor.State &^= Aggregation; p.Partner.Port = 9 }, true},
		{"it is passive, and knows that we are active", func(p *PDU) { p.Actor.State &^= Activity }, true},
		{"it is passive, and takes us for passive: nobody would keep the link", func(p *PDU) {
			p.Actor.State &^= Activity
			p.Partner.State &^= Activity
		}, false},
		{"it is not in sync", func(p *PDU) { p.Actor.State &^= Synchronization }, false},
	} {
		b := newRig(t, 1, nil)
		b.up(0)
		p := b.peer(0, good)
		tt.change(&p)
		b.hear(0, p)
		if got := b.a.Port(0).Partner.State.Has(Synchronization); got != tt.sync {
			t.Errorf("%s: in sync %v, want %v", tt.name, got, tt.sync)
		}
	}
}

// update_Selected (5.4.9): another partner is another group; another state is not.
func TestS5_4_9_UpdateSelected(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*PDU)
		leaves bool
	}{
		{"the same", func(*PDU) {}, false},
		{"another state", func(p *PDU) { p.Actor.State = goodSlow }, false},
		{"another system", func(p *PDU) { p.Actor.System = switch2 }, true},
		{"another system priority", func(p *PDU) { p.Actor.SystemPriority = 1 }, true},
		{"another key", func(p *PDU) { p.Actor.Key = 1 }, true},
		{"another port", func(p *PDU) { p.Actor.Port = 9 }, true},
		{"another port priority", func(p *PDU) { p.Actor.PortPriority = 9 }, true},
		{"individual", func(p *PDU) { p.Actor.State &^= Aggregation }, true},
	} {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 3*time.Second)
		p := b.peer(0, good)
		tt.change(&p)
		b.hear(0, p)
		if got := b.a.Port(0).Mux != CollectingDistributing; got != tt.leaves {
			t.Errorf("%s: it is %v, has left %v, want %v", tt.name, b.a.Port(0).Mux, got, tt.leaves)
		}
	}
}

// Periodic Transmission machine (5.4.13).
func TestS5_4_13_Periodic(t *testing.T) {
	t.Run("FAST_PERIODIC while the partner's timeout is short", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 5*time.Second)
		b.sent = nil
		b.keep(0, good, 10*time.Second)
		if n := len(b.sent); n != 10 || b.a.Port(0).Pace != FastPace {
			t.Errorf("%d PDUs in 10 s, %v", n, b.a.Port(0).Pace)
		}
	})
	t.Run("SLOW_PERIODIC while it is long", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Fast = false })
		b.up(0)
		b.keep(0, goodSlow, 5*time.Second)
		b.sent = nil
		b.keep(0, goodSlow, 60*time.Second)
		if n := len(b.sent); n != 2 || b.a.Port(0).Pace != SlowPace {
			t.Errorf("%d PDUs in 60 s, %v", n, b.a.Port(0).Pace)
		}
	})
	t.Run("SLOW_PERIODIC to PERIODIC_TX at once when it becomes short", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Fast = false })
		b.up(0)
		b.keep(0, goodSlow, 5*time.Second)
		b.sent = nil
		b.hear(0, b.peer(0, good))
		if len(b.sent) != 1 || b.a.Port(0).Pace != FastPace {
			t.Errorf("%d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
	})
	t.Run("FAST_PERIODIC to SLOW_PERIODIC when it becomes long", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 5*time.Second)
		b.hear(0, b.peer(0, goodSlow))
		if b.a.Port(0).Pace != SlowPace {
			t.Error(b.a.Port(0).Pace)
		}
	})
	t.Run("NO_PERIODIC while both ends are passive, and while the port is down", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Passive = true })
		b.up(0)
		b.hear(0, b.peer(0, good&^Activity))
		b.pass(time.Minute)
		if len(b.sent) > 0 || b.a.Port(0).Pace != NoPeriodic {
			t.Errorf("passive: %d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
		p := b.peer(0, good)
		p.Partner = Info{}
		b.hear(0, p)
		if len(b.sent) != 1 || b.a.Port(0).Pace != FastPace {
			t.Errorf("spoken to: %d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
		b.step(ActorInput{Kind: ActLink, Port: 0})
		b.sent = nil
		b.pass(time.Minute)
		if len(b.sent) > 0 || b.a.Port(0).Pace != NoPeriodic {
			t.Errorf("down: %d PDUs, %v", len(b.sent), b.a.Port(0).Pace)
		}
	})
}

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

// Mux machine (5.4.15), with coupled control and with independent control.
func TestS5_4_15_Mux(t *testing.T) {
	const sync = asked | Synchronization
	t.Run("DETACHED, WAITING for 2 s, ATTACHED, COLLECTING_DISTRIBUTING", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.want("up", 0, PartnerExpired, Detached, asked|Defaulted|Expired)
		b.hear(0, b.peer(0, asked))
		b.want("heard", 0, PartnerCurrent, Waiting, asked)
		b.pass(AggregateWait - 1)
		b.want("before 2 s", 0, PartnerCurrent, Waiting, asked)
		b.pass(1)
		b.want("after 2 s", 0, PartnerCurrent, Attached, sync)
		b.hear(0, b.peer(0, sync))
		b.want("partner in sync", 0, PartnerCurrent, CollectingDistributing, good)
		b.hear(0, b.peer(0, asked))
		b.want("partner not in sync", 0, PartnerCurrent, Attached, sync)
	})
	t.Run("COLLECTING, and DISTRIBUTING when the partner collects", func(t *testing.T) {
		b := newRig(t, 1, func(c *ActorConfig) { c.Independent = true })
		b.up(0)
		b.hear(0, b.peer(0, asked))
		b.pass(AggregateWait)
		b.hear(0, b.peer(0, sync))
		b.want("partner in sync", 0, PartnerCurrent, MuxCollecting, sync|Collecting)
		b.hear(0, b.peer(0, sync|Collecting))
		b.want("partner collects", 0, PartnerCurrent, MuxDistributing, good)
		b.hear(0, b.peer(0, sync))
		b.want("partner does not collect", 0, PartnerCurrent, MuxCollecting, sync|Collecting)
		b.hear(0, b.peer(0, sync|Collecting))
		b.hear(0, b.peer(0, asked))
		b.want("partner not in sync", 0, PartnerCurrent, Attached, sync)
	})
	t.Run("to DETACHED and WAITING from every state when the group changes", func(t *testing.T) {
		for _, independent := range []bool{false, true} {
			for _, s := range []State{asked, sync, sync | Collecting} {
				b := newRig(t, 1, func(c *ActorConfig) { c.Independent = independent })
				b.up(0)
				b.keep(0, s, 4*time.Second)
				p := b.peer(0, s)
				p.Actor.Key = 99
				b.sent = nil
				b.hear(0, p)
				b.want("another key", 0, PartnerCurrent, Waiting, asked)
			}
		}
	})
	t.Run("ATTACHED to DETACHED when it is to stand by", func(t *testing.T) {
		b := newRig(t, 2, func(c *ActorConfig) { c.MaxLinks, c.Ports[0].Priority = 1, 1 })
		b.up(1)
		b.keep(1, good, 4*time.Second)
		b.up(0)
		b.hear(0, b.peer(0, good))
		if p := b.a.Port(1); p.Mux != Waiting || p.Selected != StandbyPort || p.Actor.State.Has(Synchronization) {
			t.Errorf("%+v", p)
		}
	})
	t.Run("Ready: links that come within the wait join together", func(t *testing.T) {
		b := newRig(t, 2, nil)
		b.up(0, 1)
		b.hear(0, b.peer(0, good))
		b.pass(time.Second)
		b.hear(0, b.peer(0, good))
		b.hear(1, b.peer(1, good))
		b.pass(2*time.Second - 1)
		if x, y := b.a.Port(0).Mux, b.a.Port(1).Mux; x != Waiting || y != Waiting {
			t.Errorf("%v %v before the second has waited", x, y)
		}
		b.hear(0, b.peer(0, good))
		b.pass(1)
		if x, y := b.a.Port(0).Mux, b.a.Port(1).Mux; x != CollectingDistributing || y != x {
			t.Errorf("%v %v after it has", x, y)
		}
	})
}

// Transmit machine (5.4.16).
func TestS5_4_16_Transmit(t *testing.T) {
	t.Run("not more than 3 in any second, and the last word is said", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.pass(5 * time.Second)
		b.sent = nil
		for i := range 20 {
			p := b.peer(0, asked&^Timeout)
			p.Partner.Key = uint16(100 + i) // it knows something else: NTT
			b.hear(0, p)
			b.pass(10 * time.Millisecond)
		}
		if len(b.sent) > 3 {
			t.Errorf("%d PDUs in 200 ms", len(b.sent))
		}
		said := len(b.sent)
		b.pass(time.Second)
		if len(b.sent) == said {
			t.Error("what was to be said was forgotten")
		}
	})
	t.Run("a change is told at once", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 4*time.Second)
		b.sent = nil
		cfg := b.a.cfg
		cfg.Ports = []PortConfig{cfg.Ports[0]}
		cfg.Ports[0].Key = 99
		b.took(b.a.Reconfigure(b.now, cfg))
		if len(b.sent) != 1 || b.sent[0].Actor.Key != 99 || b.sent[0].Actor.State.Has(Synchronization) {
			t.Errorf("%+v", b.sent)
		}
	})
	t.Run("update_NTT: what the partner knows wrongly is said again", func(t *testing.T) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.keep(0, good, 4*time.Second)
		for _, change := range []func(*Info){
			func(i *Info) { i.Port++ }, func(i *Info) { i.PortPriority++ }, func(i *Info) { i.System[5]++ }, func(i *Info) { i.SystemPriority++ },
			func(i *Info) { i.Key++ }, func(i *Info) { i.State ^= Activity }, func(i *Info) { i.State ^= Timeout }, func(i *Info) { i.State ^= Synchronization },
			func(i *Info) { i.State ^= Aggregation },
		} {
			p := b.peer(0, good)
			change(&p.Partner)
			b.pass(time.Second / 2)
			b.sent = nil
			b.hear(0, p)
			if len(b.sent) == 0 {
				t.Errorf("%+v is not corrected", p.Partner)
			}
			b.pass(time.Second / 2)
			b.hear(0, b.peer(0, good))
		}
	})
	t.Run("a PDU of the version that is configured", func(t *testing.T) {
		tlv := AppendTLV(nil, TLVPortAlgorithm, []byte{0, 0x80, 0xc2, 1})
		b := newRig(t, 1, func(c *ActorConfig) { c.Version, c.Extensions = 2, tlv })
		b.up(0)
		if a, ok := b.sent[0].Algorithm(); b.sent[0].Version != 2 || !ok || a != 0x80c201 {
			t.Errorf("%+v", b.sent[0])
		}
	})
}

// Churn Detection machines (5.4.17).
func TestS5_4_17_Churn(t *testing.T) {
	b := newRig(t, 1, nil)
	b.up(0)
	want := func(what string, actor, partner Churn) {
		t.Helper()
		if p := b.a.Port(0); p.ActorChurn != actor || p.PartnerChurn != partner {
			t.Errorf("%s: actor %v, partner %v; want %v, %v", what, p.ActorChurn, p.PartnerChurn, actor, partner)
		}
	}
	b.pass(ChurnDetection - 1)
	want("before 60 s", ChurnMonitor, ChurnMonitor)
	b.pass(1)
	want("after 60 s", Churning, Churning)
	b.keep(0, asked, 3*time.Second)
	want("our end in sync", NoChurn, Churning)
	b.keep(0, good, time.Second)
	want("both in sync", NoChurn, NoChurn)
	b.keep(0, asked, 59*time.Second)
	want("partner out of sync", NoChurn, ChurnMonitor)
	b.keep(0, asked, time.Second)
	want("for 60 s", NoChurn, Churning)
	b.step(ActorInput{Kind: ActLink, Port: 0})
	want("down", ChurnMonitor, ChurnMonitor)
	b.pass(2 * ChurnDetection)
	want("down, and that is no churn", ChurnMonitor, ChurnMonitor)
}

// Marker Responder (5.5.4).
func TestS5_5_MarkerResponder(t *testing.T) {
	b := newRig(t, 2, nil)
	ask := Marker{Version: 1, Kind: MarkerInformation, Port: 5, System: gateway, Transaction: 77}
	mark := func(m Marker) []Sending {
		return b.a.Step(b.now, ActorInput{Kind: ActFrame, Port: 1, Frame: AppendMarker(AppendHeader(nil, MAC{9}), m)})
	}
	if out := mark(ask); len(out) > 0 {
		t.Errorf("a port that is down has answered: %v", out)
	}
	b.up(1)
	b.pass(5 * time.Second)
	out := mark(ask)
	if len(out) != 1 || out[0].Port != 1 {
		t.Fatalf("%v", out)
	}
	if got, r := ParseMarker(out[0].Frame[14:]); r != ReasonNone || got != ask.Answer() {
		t.Errorf("%+v, %v", got, r)
	}
	answer := ask
	answer.Kind = MarkerResponse
	if out := mark(answer); len(out) > 0 {
		t.Errorf("an answer was answered: %v", out)
	}
	for range 100 {
		mark(ask)
	}
	if c := b.a.Port(1).Counters; c.MarkersAsked != 101 || c.MarkersSent != markersPerSecond || c.MarkersUnsaid != 101-markersPerSecond {
		t.Errorf("%+v", c)
	}
}

// What an actor has no use for is counted.
func TestActorRefuses(t *testing.T) {
	for _, v := range vectors(t) {
		b := newRig(t, 1, nil)
		b.up(0)
		b.step(ActorInput{Kind: ActFrame, Frame: v.Frame})
		c := b.a.Port(0).Counters
		for _, r := range Reasons() {
			if got := c.Refused[r]; (got == 1) != (r.String() == v.Reason) {
				t.Errorf("%s: %d refused for %v", v.Name, got, r)
			}
		}
		// The vectors' switch is this one.
		if own := v.pdu != nil && v.Reason == "" && v.pdu.Actor.System == switch1; own != (c.Looped == 1) {
			t.Errorf("%s: looped %d", v.Name, c.Looped)
		}
	}
	b := newRig(t, 1, nil)
	b.step(ActorInput{Kind: ActFrame, Frame: []byte{1}})
	b.step(ActorInput{Kind: ActFrame, Port: 7})
	b.step(ActorInput{Kind: ActLink, Port: -1, Up: true})
	if c := b.a.Port(0).Counters; c.Refused[ReasonTruncated] != 1 {
		t.Errorf("%+v", c)
	}
}

func TestActorAllocatesNothing(t *testing.T) {
	b := newRig(t, 2, nil)
	b.up(0, 1)
	b.keep(0, good, 4*time.Second)
	p := b.peer(0, good)
	frame := Append(AppendHeader(nil, MAC{9}), &p)
	sent := 0
	if n := testing.AllocsPerRun(100, func() {
		b.now = b.now.Add(time.Second)
		sent += len(b.a.Step(b.now, ActorInput{Kind: ActFrame, Frame: frame}))
		sent += len(b.a.Step(b.now, ActorInput{Kind: ActTick}))
	}); n != 0 || sent < 100 {
		t.Errorf("%v allocations, %d frames", n, sent)
	}
}

func TestWords(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{PartnerCurrent.String(), "current"}, {Receive(99).String(), "unknown"},
		{FastPace.String(), "fast"}, {Pace(99).String(), "unknown"},
		{StandbyPort.String(), "standby"}, {Selected(99).String(), "unknown"},
		{CollectingDistributing.String(), "collecting_distributing"}, {Mux(99).String(), "unknown"},
		{Churning.String(), "churned"}, {Churn(99).String(), "unknown"},
		{BondDegraded.String(), "degraded"}, {BondState(99).String(), "unknown"},
		{ModeActiveBackup.String(), "active-backup"}, {Mode(99).String(), "unknown"},
		{Severity(99).String(), "unknown"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}
