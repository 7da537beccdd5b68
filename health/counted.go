package health

import (
	"strconv"
	"time"
)

// counted weighs a source that counts what it has lost, as a bond its members:
// each lost part weighs, whether the whole is Up or Down.
func (t Track) counted(s *source) part {
	if t.Weight == 0 {
		return part{fault: (s.state == Down) != t.Reverse}
	}
	lost := min(max(s.value, 0), maxValue)
	return part{weight: min(max(lost*t.Weight, -MaxWeight), MaxWeight)}
}

// appendCounted writes one clause: "bond bond0 lacks 1 (-20): eth1 has no carrier".
func (t Track) appendCounted(b []byte, s *source, p part) []byte {
	if s.state == Down {
		b = append(b, s.state.String()...)
	} else {
		b = append(b, "lacks "...)
		b = strconv.AppendInt(b, int64(s.value), 10)
	}
	if p.weight != 0 {
		b = append(b, " ("...)
		b = strconv.AppendInt(b, int64(p.weight), 10)
		b = append(b, ')')
	}
	if s.why != "" {
		b = append(b, ": "...)
		b = append(b, s.why...)
	}
	return b
}

// hearCount takes the word of a source that counts. What is worse counts at once;
// what is better has to be said for UpAfter, without a word of something worse.
func (s *source) hearCount(now time.Time, in TrackerInput) bool {
	switch in.State {
	case Unknown:
		if s.said == Unknown {
			return false
		}
		s.said, s.state = Unknown, Unknown
		s.wait(now)
		return true
	case Up, Down:
	default:
		return false
	}
	again := in.State == s.said && in.Value == s.saidValue
	s.said, s.saidValue = in.State, in.Value
	better := s.state == Down && in.State == Up || s.state == in.State && in.Value < s.value
	if better && s.cfg.UpAfter > 0 {
		if !again {
			s.due, s.saidWhy = now.Add(s.cfg.UpAfter), in.Why
		}
		return false
	}
	changed := s.state != in.State || s.value != in.Value || s.why != in.Why
	s.saidWhy = in.Why
	s.settle()
	return changed
}
