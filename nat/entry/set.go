package entry

import (
	"net/netip"
	"slices"
	"time"

	"understudy/health"
)

// InputKind is the kind of an Input.
type InputKind uint8

// The kinds.
const (
	InTick   InputKind = iota // the time of Deadline has come
	InHealth                  // Check, State, Value: what a check says; the same may be said again
	InDrain                   // Server, On: the server gets no new flows, whatever its check says
	InCounts                  // Counts, New: how many connections each server has, by number
	InActive                  // On: the entry point's group is Active here
	InReach                   // Server, On: whether its MAC can be found out, where it is called by that
)

// Input is one event.
type Input struct {
	Kind   InputKind
	Check  string
	State  health.State
	Value  int // of State Up: what was measured
	Server netip.AddrPort
	On     bool
	Counts []int // in the order of the configuration
	New    int   // flows that began since the counts before
}

// Output is what an event led to.
type Output struct {
	// Changed: the table is another one.
	Changed bool
	// Cut are the numbers of the servers whose flows are to be cut.
	Cut []int
	// Restore: this node has become Active, and remembers no clients: where they are
	// is to be learnt from their flows.
	Restore bool
	// Quorum: there are enough servers again, or not any more.
	Quorum bool
	// Turned are the numbers of the servers that are there now, and were not, or the
	// other way round.
	Turned []int
}

// Set is the servers of one entry point. The zero value is useless, call [New]. It is
// not safe for concurrent use.
type Set struct {
	cfg     Config
	servers []server // in the order of the configuration
	quorum  bool
	active  bool
	fresh   int // flows that began between the last two counts
	table   Table
	at      time.Time // when it was last looked at
}

type server struct {
	state       health.State
	word        int // of the check that weighs it; 0: the configuration's weight counts
	drained     bool
	full        bool
	unreachable bool      // by its MAC
	connections int       // when they were last counted
	counted     bool      // they ever were
	back        time.Time // zero, or since when its share grows
}

// New returns the servers of cfg, which [Check] takes. What no check has said
// anything of is taken for being there, unless it is doubted: a gateway that has just been
// started must not turn clients away.
func New(now time.Time, cfg Config) *Set {
	s := &Set{cfg: cfg, servers: make([]server, len(cfg.Servers)), quorum: true}
	s.quorum, s.at = s.enough(), now
	s.table = s.build(now)
	return s
}

// Config is what the set was made of.
func (s *Set) Config() Config { return s.cfg }

// Clone returns a set that is like s, and goes its own way from now on.
func (s *Set) Clone() *Set {
	c := *s
	c.servers = slices.Clone(s.servers)
	return &c
}

// Reconfigure goes over to another configuration. Servers that stay, by their address,
// keep what is known of them.
func (s *Set) Reconfigure(now time.Time, cfg Config) (out Output) {
	before := s.cfg
	servers := make([]server, len(cfg.Servers))
	for i, c := range cfg.Servers {
		j := slices.IndexFunc(before.Servers, func(o Server) bool { return o.Address == c.Address })
		if j < 0 {
			continue
		}
		servers[i] = s.servers[j]
		if before.Servers[j].Check != c.Check {
			servers[i].state = health.Unknown
		}
		if o := before.Servers[j]; o.Max != c.Max || o.Resume != c.Resume {
			servers[i].full = c.full(servers[i].connections, false)
		}
		if o := before.Servers[j]; o.Weigh != c.Weigh || o.WeighBy != c.WeighBy {
			servers[i].word = 0
		}
		servers[i].unreachable = servers[i].unreachable && cfg.ByMAC()
	}
	s.cfg, s.servers = cfg, servers
	return s.settle(now, out)
}

// Deadline is when Step wants an InTick; zero if nothing is waited for.
func (s *Set) Deadline() (d time.Time) {
	if s.cfg.SlowStart <= 0 {
		return d
	}
	for _, v := range s.servers {
		if next := s.nextStep(v); !next.IsZero() && (d.IsZero() || next.Before(d)) {
			d = next
		}
	}
	return d
}

// Step applies one event at the time now. It is defined for every event in every
// state.
func (s *Set) Step(now time.Time, in Input) (out Output) {
	switch in.Kind {
	case InTick:
		for i := range s.servers {
			if v := &s.servers[i]; !v.back.IsZero() && now.Sub(v.back) >= s.cfg.SlowStart {
				v.back = time.Time{}
			}
		}
	case InHealth:
		s.onHealth(now, in, &out)
	case InDrain:
		for i := range s.servers {
			v := &s.servers[i]
			if s.cfg.Servers[i].Address != in.Server || v.drained == in.On {
				continue
			}
			v.drained = in.On
			s.comesBack(now, v, !in.On)
		}
	case InCounts:
		s.fresh = in.New
		for i := range s.servers {
			if i < len(in.Counts) {
				v := &s.servers[i]
				v.connections = in.Counts[i]
				v.counted = true
				v.full = s.cfg.Servers[i].full(v.connections, v.full)
			}
		}
	case InReach:
		for i := range s.servers {
			if v := &s.servers[i]; s.cfg.ByMAC() && s.cfg.Servers[i].Address == in.Server && v.unreachable == in.On {
				v.unreachable = !in.On
				s.comesBack(now, v, in.On)
			}
		}
	case InActive:
		s.onActive(in.On, &out)
	}
	return s.settle(now, out)
}

func (s *Set) onHealth(now time.Time, in Input, out *Output) {
	for i := range s.servers {
		v := &s.servers[i]
		if s.cfg.Servers[i].Weigh == in.Check && in.Check != "" && in.State == health.Up {
			v.word = in.Value
		}
		if s.cfg.Servers[i].Check != in.Check || in.Check == "" || v.state == in.State || in.State == health.Unknown {
			continue
		}
		was, there := v.state, s.there(i)
		v.state = in.State
		if s.there(i) != there {
			out.Turned = append(out.Turned, i)
		}
		if in.State == health.Down && s.active && s.cuts(i) {
			out.Cut = append(out.Cut, i)
		}
		// One of which this is the first word has been serving all the time.
		s.comesBack(now, v, in.State == health.Up && was == health.Down)
	}
}

// comesBack begins, or ends, a slow start.
func (s *Set) comesBack(now time.Time, v *server, back bool) {
	v.back = time.Time{}
	if back && s.cfg.SlowStart > 0 {
		v.back = now
	}
}

// onActive: what the node before had no time to cut is cut now.
func (s *Set) onActive(on bool, out *Output) {
	if on == s.active {
		return
	}
	s.active = on
	if !on {
		return
	}
	for i, v := range s.servers {
		if v.state == health.Down && s.cuts(i) {
			out.Cut = append(out.Cut, i)
		}
	}
	out.Restore = s.cfg.Persist > 0
}

// settle looks at what has come of it.
func (s *Set) settle(now time.Time, out Output) Output {
	if enough := s.enough(); enough != s.quorum {
		s.quorum, out.Quorum = enough, true
	}
	s.at = now
	if t := s.build(now); !t.Equal(s.table) {
		s.table, out.Changed = t, true
	}
	return out
}

// enough tells whether there are enough servers. What is drained is not there.
func (s *Set) enough() bool {
	sum := 0
	for i, v := range s.servers {
		if s.there(i) && !v.drained {
			sum += s.weight(i)
		}
	}
	bound := s.cfg.Quorum + s.cfg.Hysteresis
	if s.quorum {
		bound = s.cfg.Quorum - s.cfg.Hysteresis
	}
	return sum > 0 && sum >= bound
}

// full tells whether a server with so many connections gets no new ones; was: it got none.
func (c *Server) full(connections int, was bool) bool {
	switch {
	case c.Max == 0:
		return false
	case connections >= c.Max:
		return true
	}
	return was && connections >= c.Resume && c.Resume > 0
}

// takes tells whether the server can be given new flows.
func (s *Set) takes(i int) bool {
	v := s.servers[i]
	return s.there(i) && !v.drained && !v.full && s.weight(i) > 0
}

// there tells whether the server counts as alive.
func (s *Set) there(i int) bool {
	c := &s.cfg.Servers[i]
	if s.servers[i].unreachable {
		return false
	}
	if s.servers[i].state == health.Unknown {
		return !c.Doubted || c.Check == ""
	}
	return s.servers[i].state == health.Up
}

// cuts tells whether the flows of the server end with it: all of them, or those that could
// not be moved.
func (s *Set) cuts(i int) bool {
	if p := s.cfg.Servers[i].OnFailure; p != "" {
		return p != Keep
	}
	return s.cfg.OnFailure != Keep
}

// weight is what the server weighs, as the file or a check has it.
func (s *Set) weight(i int) int {
	c, word := &s.cfg.Servers[i], s.servers[i].word
	switch {
	case c.WeighBy != 0:
		const most = 2 * MaxWeight // more makes no difference
		return min(max(c.Weight+min(max(word, -most), most)*c.WeighBy, 0), MaxWeight)
	case word != 0:
		return min(max(word-2, 0), MaxWeight)
	}
	return c.Weight
}
