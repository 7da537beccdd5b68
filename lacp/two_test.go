package lacp

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// link joins port i of one actor to port i of the other: frames take a while, and
// may be lost or come twice.
type link struct {
	t     reporter
	ends  [2]*Actor
	now   time.Time
	queue []flight
	lose  func(from, port int) int // how often a frame arrives
	sent  [2][8][]time.Time
}

type flight struct {
	at       time.Time
	to, port int
	frame    []byte
}

const delay = 2 * time.Millisecond

func (l *link) took(from int, out []Sending) {
	l.t.Helper()
	for _, s := range out {
		times := append(l.sent[from][s.Port], l.now)
		l.sent[from][s.Port] = times
		if n := len(times); n > maxPerSecond && l.now.Sub(times[n-1-maxPerSecond]) < time.Second {
			l.t.Errorf("%d PDUs in less than a second", maxPerSecond+1)
		}
		for range l.lose(from, s.Port) {
			l.queue = append(l.queue, flight{l.now.Add(delay), 1 - from, s.Port, append([]byte(nil), s.Frame...)})
		}
	}
}

func (l *link) step(end int, in ActorInput) {
	l.t.Helper()
	l.took(end, l.ends[end].Step(l.now, in))
	l.check(end)
}

// check is what always holds.
func (l *link) check(end int) {
	l.t.Helper()
	a := l.ends[end]
	groups := map[int]group{}
	for i := range a.ports {
		p := &a.ports[i]
		s := p.actor.State
		if s.Has(Distributing) && (!s.Has(Collecting|Synchronization) || p.selected != SelectedPort || !p.partner.State.Has(Synchronization) || !p.up) {
			l.t.Errorf("end %d port %d distributes: %v, %v, partner %v", end, i, s, p.selected, p.partner.State)
		}
		if p.selected == Unselected {
			continue
		}
		if g, ok := groups[p.agg]; ok && g != a.group(i) {
			l.t.Errorf("end %d: aggregator %d has two groups", end, p.agg)
		}
		groups[p.agg] = a.group(i)
	}
}

func (l *link) run(d time.Duration) {
	l.t.Helper()
	for end := l.now.Add(d); ; {
		at, who := end, -1
		for i, a := range l.ends {
			if x := a.Deadline(); !x.IsZero() && x.Before(at) {
				at, who = x, i
			}
		}
		if len(l.queue) > 0 && !l.queue[0].at.After(at) {
			f := l.queue[0]
			l.queue = l.queue[1:]
			l.now = latest(l.now, f.at)
			l.step(f.to, ActorInput{Kind: ActFrame, Port: f.port, Frame: f.frame})
			continue
		}
		l.now = latest(l.now, at)
		if who < 0 {
			return
		}
		l.step(who, ActorInput{Kind: ActTick})
		if x := l.ends[who].Deadline(); !x.IsZero() && !x.After(l.now) {
			l.t.Fatalf("end %d: a tick left its deadline", who)
		}
	}
}

// Two actors on a lossy wire whose links come and go always end as one aggregate,
// once frames get through, and then are quiet.
func TestPropertyTwoActorsConverge(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		ports := rapid.IntRange(1, 5).Draw(r, "ports")
		l := &link{t: r, now: epoch}
		passive := rapid.IntRange(0, 2).Draw(r, "passive end, 2 for none")
		for i, system := range []MAC{switch1, gateway} {
			cfg := ActorConfig{System: system, SystemPriority: uint16(rapid.IntRange(0, 9).Draw(r, "system priority")), Passive: passive == i,
				Fast: rapid.Bool().Draw(r, "fast"), Independent: rapid.Bool().Draw(r, "independent"), Single: rapid.Bool().Draw(r, "single"),
				Version: rapid.ByteRange(1, 2).Draw(r, "version")}
			for p := range ports {
				cfg.Ports = append(cfg.Ports, PortConfig{Number: uint16(p + 1), Priority: uint16(rapid.IntRange(0, 3).Draw(r, "port priority")), Key: 5})
			}
			l.ends[i] = NewActor(cfg)
		}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(r, "seed"), 7))
		loss := rapid.IntRange(0, 90).Draw(r, "loss in percent")
		l.lose = func(int, int) int {
			switch n := random.IntN(100); {
			case n < loss:
				return 0
			case n > 97:
				return 2
			}
			return 1
		}
		for range rapid.IntRange(0, 30).Draw(r, "events") {
			port := rapid.IntRange(0, ports-1).Draw(r, "port")
			up := rapid.Bool().Draw(r, "up")
			for end := range l.ends {
				if rapid.IntRange(0, 9).Draw(r, "who sees it") > 0 {
					l.step(end, ActorInput{Kind: ActLink, Port: port, Up: up})
				}
			}
			l.run(time.Duration(rapid.IntRange(0, 100).Draw(r, "wait")) * 100 * time.Millisecond)
		}
		// Now all is well. At the slow rate nobody may speak for 30 s.
		loss = 0
		for end := range l.ends {
			for p := range ports {
				l.step(end, ActorInput{Kind: ActLink, Port: p, Up: true})
			}
		}
		l.run(LongTimeout + ShortTimeout + SlowPeriodic)
		for end, a := range l.ends {
			for p := range ports {
				s := a.Port(p)
				if !s.Carries() || s.Aggregator != a.Port(0).Aggregator || s.Receive != PartnerCurrent {
					r.Errorf("end %d port %d: %v %v %v aggregator %d, partner %v", end, p, s.Receive, s.Mux, s.Selected, s.Aggregator, s.Partner.State)
				}
			}
		}
		before := [2]int{len(l.sent[0][0]), len(l.sent[1][0])}
		l.run(SlowPeriodic)
		for end := range l.ends {
			if n := len(l.sent[end][0]) - before[end]; n > 31 {
				r.Errorf("end %d sends %d PDUs in 30 s when all is well", end, n)
			}
		}
	})
}

// Whatever is on the wire, an actor neither panics nor grows nor exceeds its rate.
func FuzzActor(f *testing.F) {
	frames := templates(f)
	f.Add([]byte{1, 0, 1, 1, 2, 0, 0, 2, 1, 0, 0, 50, 3, 0, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 4096 {
			return
		}
		l := &link{t: t, now: epoch, lose: func(int, int) int { return 0 }}
		next := func() byte {
			if len(b) == 0 {
				return 0
			}
			v := b[0]
			b = b[1:]
			return v
		}
		flags := next()
		for i := range l.ends {
			cfg := ActorConfig{System: MAC{2}, Passive: flags&1 > 0, Fast: flags&2 > 0, Independent: flags&4 > 0, Single: flags&8 > 0, Fallback: flags&16 > 0,
				MaxLinks: int(flags >> 6)}
			for p := range 3 {
				cfg.Ports = append(cfg.Ports, PortConfig{Number: uint16(p), Key: 1, Individual: p == 2 && flags&32 > 0})
			}
			l.ends[i] = NewActor(cfg)
		}
		for len(b) > 0 {
			switch op := next(); op % 4 {
			case 0:
				l.run(time.Duration(next()) * 50 * time.Millisecond)
			case 1:
				l.step(0, ActorInput{Kind: ActLink, Port: int(op/4) % 4, Up: next()%3 > 0})
			default:
				frame := append([]byte(nil), frames[int(next())%len(frames)]...)
				for range next() % 4 {
					frame[int(next())%len(frame)] = next()
				}
				out := l.ends[0].Step(l.now, ActorInput{Kind: ActFrame, Port: int(op/4) % 4, Frame: frame})
				if len(out) > 4 {
					t.Errorf("%d frames for one", len(out))
				}
				l.check(0)
			}
		}
	})
}

// An actor's own monitor finds nothing wrong with a healthy aggregate, and says what
// is wrong with another.
func TestActorsBond(t *testing.T) {
	names := []string{"eth0", "eth1"}
	for _, tt := range []struct {
		name    string
		systems [2]MAC // whom the ports lead to
		state   BondState
		want    []string
	}{
		{"well", [2]MAC{gateway, gateway}, BondOK, nil},
		{"two systems", [2]MAC{gateway, switch2}, BondDegraded, []string{"eth1 aggregator_split", "eth1 different_partner_system"}},
		{"looped", [2]MAC{gateway, switch1}, BondDegraded, []string{"eth1 loopback"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := newRig(t, 2, func(c *ActorConfig) { c.Single = true })
			self := NewSelf(MonitorConfig{}, names...)
			step := func(in ActorInput) {
				self.Saw(b.now, b.a, in, b.a.Step(b.now, in))
			}
			for i := range names {
				step(ActorInput{Kind: ActLink, Port: i, Up: true})
			}
			for range 80 { // an eighth of a second each
				if b.now.Nanosecond() == 0 {
					for i := range names {
						p := b.peer(i, good)
						p.Actor.System = tt.systems[i]
						step(ActorInput{Kind: ActFrame, Port: i, Frame: Append(AppendHeader(nil, MAC{9}), &p)})
					}
				}
				step(ActorInput{Kind: ActTick})
				b.now = b.now.Add(time.Second / 8)
			}
			var got []string
			for _, f := range self.Status().Findings {
				if f.Member != "" {
					got = append(got, f.Member+" "+f.Name())
				}
			}
			slices.Sort(got)
			if !slices.Equal(got, tt.want) || self.State() != tt.state {
				t.Errorf("%v, %v; want %v, %v", self.State(), got, tt.state, tt.want)
			}
		})
	}
}
