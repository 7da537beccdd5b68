package health

import "strconv"

// Effect is what everything tracked does to a group.
type Effect struct {
	Group   string
	Fault   bool // out of the election
	Pending bool // something that could put it in fault has not been heard of
	Unknown bool // something tracked has not been heard of
	Weight  int  // to add to the priority of each member: see Effective
}

// Effective is the priority to advertise with a weight: an owner keeps 255,
// everyone else stays within 1 to 254.
func Effective(base uint8, weight int) uint8 {
	if base == 255 {
		return base
	}
	return uint8(min(max(int(base)+weight, 1), 254))
}

const (
	maxValue   = 1 << 20 // keeps value times weight far from overflow
	faultValue = -254    // keepalived's: a tracked file that weighs so little is a fault
)

// part is what one tracked source adds to an effect.
type part struct {
	fault, pending bool
	weight         int
	missing        bool // a bonus that is not paid
}

func (t Track) part(s *source) part {
	switch {
	case s.state == Unknown:
		return part{pending: t.Weight == 0, missing: t.Weight > 0 && !s.cfg.Measures && !s.cfg.Counts}
	case s.cfg.Measures:
		return t.measured(s)
	case s.cfg.Counts:
		return t.counted(s)
	}
	down := (s.state == Down) != t.Reverse
	switch {
	case t.Weight == 0:
		return part{fault: down}
	case t.Weight < 0 && down:
		return part{weight: t.Weight}
	case t.Weight > 0 && !down:
		return part{weight: t.Weight}
	}
	return part{missing: t.Weight > 0}
}

// measured weighs a value. One that cannot be read weighs nothing, as nobody
// knows in which direction; tracked for faults it is one, because whoever wrote
// it wanted something.
func (t Track) measured(s *source) part {
	switch {
	case t.Weight == 0:
		return part{fault: s.state == Down || (s.value != 0) != t.Reverse}
	case s.state == Down:
		return part{}
	}
	v := min(max(s.value, -maxValue), maxValue) * t.Weight
	if t.Reverse {
		v = -v
	}
	return part{fault: v <= faultValue, weight: min(max(v, -MaxWeight), MaxWeight)}
}

func (g *group) compute(sources []source) Effect {
	e := Effect{Group: g.cfg.Name}
	for _, l := range g.links {
		p := l.track.part(&sources[l.source])
		e.Fault = e.Fault || p.fault
		e.Pending = e.Pending || p.pending
		e.Unknown = e.Unknown || sources[l.source].state == Unknown
		e.Weight += p.weight
	}
	return e
}

// appendReason writes what is not as it should be: faults, then what is waited
// for, then weights.
func (g *group) appendReason(b []byte, sources []source) []byte {
	start := len(b)
	for _, pass := range [...]func(part) bool{
		func(p part) bool { return p.fault },
		func(p part) bool { return p.pending },
		func(p part) bool { return !p.fault && !p.pending && (p.weight < 0 || p.missing) },
	} {
		for _, l := range g.links {
			s := &sources[l.source]
			if p := l.track.part(s); pass(p) {
				if len(b) > start {
					b = append(b, "; "...)
				}
				b = l.track.appendWord(b, s, p)
			}
		}
	}
	return b
}

// appendWord writes one clause: "check uplink down (-50): no answer in 200ms".
func (t Track) appendWord(b []byte, s *source, p part) []byte {
	b = append(b, s.cfg.Kind.String()...)
	b = append(b, ' ')
	b = append(b, s.cfg.Name...)
	b = append(b, ' ')
	if s.cfg.Counts && s.state != Unknown {
		return t.appendCounted(b, s, p)
	}
	if s.cfg.Measures && s.state == Up {
		b = append(b, "is "...)
		b = strconv.AppendInt(b, int64(s.value), 10)
	} else {
		b = append(b, s.state.String()...)
	}
	switch {
	case p.missing:
		b = append(b, " (no +"...)
		b = strconv.AppendInt(b, int64(t.Weight), 10)
		b = append(b, ')')
	case p.weight != 0 && !p.fault:
		b = append(b, " ("...)
		b = strconv.AppendInt(b, int64(p.weight), 10)
		b = append(b, ')')
	}
	if s.state == Down && s.why != "" {
		b = append(b, ": "...)
		b = append(b, s.why...)
	}
	return b
}
