package health

import (
	"fmt"
	"strings"
	"time"
)

// TrackerInputKind is the kind of a TrackerInput.
type TrackerInputKind uint8

// The kinds.
const (
	InTrackerTick TrackerInputKind = iota // the time of Deadline has come
	InState                               // Source, State, Value, Why: the whole truth about a source
)

// TrackerInput is one event. A plain struct, so that passing one allocates nothing.
type TrackerInput struct {
	Kind   TrackerInputKind
	Source Source
	State  State
	Value  int    // of a source that measures, while Up, or of one that counts
	Why    string // it is Down, for people; of a source that counts: what is lost
}

// TrackerOutput has the effect of every group in which a tracked source changed:
// the effect may be as before and only its Reason another. It is reused by the
// next Step.
type TrackerOutput struct{ Effects []Effect }

// Tracker turns the states of sources into what they do to groups. The zero
// value is useless, call NewTracker. It is not safe for concurrent use and
// allocates nothing while running.
type Tracker struct {
	sources []source
	index   map[Source]int
	groups  []group
	out     []Effect
}

// source is one tracked thing. state is what counts; said is its own last word,
// which becomes state at due if it is not taken back before.
type source struct {
	cfg   SourceConfig
	state State
	said  State
	value int
	why   string
	due   time.Time // zero: nothing is waited for

	saidValue int    // with said, of a source that counts
	saidWhy   string // likewise

	groups []int // that track it
}

type group struct {
	cfg    GroupConfig
	links  []edge
	effect Effect
}

type edge struct {
	track  Track
	source int
}

// NewTracker returns a tracker in which every source is Unknown. The error names
// every mistake of cfg.
func NewTracker(now time.Time, cfg Config) (*Tracker, error) {
	t := &Tracker{}
	return t, t.build(now, cfg, nil)
}

// Reconfigure goes over to cfg and returns the effects of all groups. Sources
// that stay keep what is known of them. On an error nothing changes.
func (t *Tracker) Reconfigure(now time.Time, cfg Config) (TrackerOutput, error) {
	fresh := &Tracker{}
	if err := fresh.build(now, cfg, t); err != nil {
		return TrackerOutput{}, err
	}
	*t = *fresh
	t.out = append(t.out[:0], t.Effects()...)
	return TrackerOutput{Effects: t.out}, nil
}

func (t *Tracker) build(now time.Time, cfg Config, old *Tracker) error {
	if err := cfg.validate(); err != nil {
		return err
	}
	t.index = make(map[Source]int, len(cfg.Sources))
	for i, sc := range cfg.Sources {
		s := source{cfg: sc}
		s.wait(now)
		if old != nil {
			if k, ok := old.index[sc.Source]; ok && old.sources[k].cfg.Measures == sc.Measures && old.sources[k].cfg.Counts == sc.Counts {
				was := old.sources[k]
				s.state, s.said, s.value, s.why = was.state, was.said, was.value, was.why
				s.saidValue, s.saidWhy = was.saidValue, was.saidWhy
				if s.state != Unknown {
					s.due = was.due
				}
			}
		}
		t.index[sc.Source] = i
		t.sources = append(t.sources, s)
	}
	for i, gc := range cfg.Groups {
		g := group{cfg: gc}
		for _, tr := range gc.tracks() {
			k := t.index[tr.Source]
			g.links = append(g.links, edge{track: tr, source: k})
			s := &t.sources[k]
			if n := len(s.groups); n == 0 || s.groups[n-1] != i {
				s.groups = append(s.groups, i)
			}
		}
		g.effect = g.compute(t.sources)
		t.groups = append(t.groups, g)
	}
	t.out = make([]Effect, 0, len(t.groups))
	return nil
}

// wait starts the time in which an Unknown source must be heard of.
func (s *source) wait(now time.Time) {
	s.due = time.Time{}
	if s.cfg.Grace > 0 {
		s.due = now.Add(s.cfg.Grace)
	}
}

// Deadline is when to call Step with InTrackerTick; zero: nothing is waited for.
func (t *Tracker) Deadline() (first time.Time) {
	for i := range t.sources {
		if due := t.sources[i].due; !due.IsZero() && (first.IsZero() || due.Before(first)) {
			first = due
		}
	}
	return first
}

// Step applies one event at the time now. It is defined for every event in every
// state; a source that is not there does nothing.
func (t *Tracker) Step(now time.Time, in TrackerInput) TrackerOutput {
	t.out = t.out[:0]
	switch in.Kind {
	case InState:
		if i, ok := t.index[in.Source]; ok {
			if t.sources[i].hear(now, in) {
				t.affected(i)
			}
		}
	case InTrackerTick:
		for i := range t.sources {
			if t.sources[i].expire(now) {
				t.affected(i)
			}
		}
	}
	return TrackerOutput{Effects: t.out}
}

// hear takes the word of a source and tells whether anything that counts changed.
func (s *source) hear(now time.Time, in TrackerInput) bool {
	if s.cfg.Counts {
		return s.hearCount(now, in)
	}
	changed := false
	switch in.State {
	case Up:
		changed = s.cfg.Measures && s.state == Up && s.value != in.Value
		s.value = in.Value
	case Down:
		s.why = in.Why
	case Unknown:
	default:
		return false
	}
	again := in.State == s.said
	s.said = in.State
	switch {
	case in.State == s.state:
		if in.State != Unknown {
			s.due = time.Time{} // whatever it had said in between is taken back
		}
		return changed
	case again:
		return false // still waiting
	case in.State == Unknown:
		s.state = Unknown
		s.wait(now)
		return true
	}
	after := s.cfg.UpAfter
	if in.State == Down {
		after = s.cfg.DownAfter
	}
	if s.state == Unknown || after <= 0 {
		s.settle()
		return true
	}
	s.due = now.Add(after)
	return false
}

// expire ends what was waited for, if its time has come.
func (s *source) expire(now time.Time) bool {
	if s.due.IsZero() || now.Before(s.due) {
		return false
	}
	if s.said == Unknown {
		s.said, s.why, s.saidWhy = Down, "not heard of", "not heard of"
	}
	s.settle()
	return true
}

func (s *source) settle() {
	s.state, s.due = s.said, time.Time{}
	if s.cfg.Counts {
		s.value, s.why = s.saidValue, s.saidWhy
	}
}

func (t *Tracker) affected(source int) {
	for _, i := range t.sources[source].groups {
		g := &t.groups[i]
		g.effect = g.compute(t.sources)
		t.report(g.effect)
	}
}

// report puts an effect out once, however many sources changed in one step.
func (t *Tracker) report(e Effect) {
	for i := range t.out {
		if t.out[i].Group == e.Group {
			t.out[i] = e
			return
		}
	}
	t.out = append(t.out, e)
}

// Effects returns the present effect of every group, in the configuration's order.
func (t *Tracker) Effects() []Effect {
	out := make([]Effect, len(t.groups))
	for i := range t.groups {
		out[i] = t.groups[i].effect
	}
	return out
}

// Reason says what is not as it should be in a group and what that costs; "" if
// all is well.
func (t *Tracker) Reason(group string) string {
	for i := range t.groups {
		if t.groups[i].cfg.Name == group {
			return string(t.groups[i].appendReason(nil, t.sources))
		}
	}
	return ""
}

// Priority is what a router of the group advertises now; 0 if there is none of
// that name.
func (t *Tracker) Priority(group, router string) uint8 {
	for i := range t.groups {
		for _, r := range t.groups[i].cfg.Routers {
			if t.groups[i].cfg.Name == group && r.Name == router {
				return Effective(r.Priority, t.groups[i].effect.Weight)
			}
		}
	}
	return 0
}

// String is everything, for tests and for people.
func (t *Tracker) String() string {
	var b strings.Builder
	for i := range t.groups {
		g := &t.groups[i]
		fmt.Fprintf(&b, "group %s", g.cfg.Name)
		if g.effect.Fault {
			b.WriteString(" fault")
		}
		if g.effect.Pending {
			b.WriteString(" pending")
		}
		if reason := t.Reason(g.cfg.Name); reason != "" {
			fmt.Fprintf(&b, ": %s", reason)
		}
		for _, r := range g.cfg.Routers {
			fmt.Fprintf(&b, "\n  router %s %d", r.Name, r.Priority)
			if p := Effective(r.Priority, g.effect.Weight); p != r.Priority {
				fmt.Fprintf(&b, " -> %d", p)
			}
		}
		b.WriteByte('\n')
	}
	for i := range t.sources {
		s := &t.sources[i]
		fmt.Fprintf(&b, "%v %v", s.cfg.Source, s.state)
		if s.cfg.Measures && s.state == Up || s.cfg.Counts && s.state != Unknown {
			fmt.Fprintf(&b, " %d", s.value)
		}
		if s.said != s.state || s.cfg.Counts && s.said != Unknown && s.saidValue != s.value {
			fmt.Fprintf(&b, ", says %v", s.said)
			if s.cfg.Counts {
				fmt.Fprintf(&b, " %d", s.saidValue)
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}
