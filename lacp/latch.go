package lacp

import "time"

// latch turns what is seen from step to step into a finding: it has to last to be
// believed, and to be gone for a while to be over.
type latch struct {
	holds  bool      // it is seen
	raised bool      // and believed
	since  time.Time // seen without a break that counts
	gone   time.Time // raised and not seen any more; zero: it is seen
	due    time.Time // holds and not raised: when it will be
	told   string    // the evidence
}

// step takes what is seen now. A kind that is a moment and no state is over, as
// far as it is seen, as soon as it has been noted. up is when the link came up.
func (l *latch) step(now, up time.Time, k Kind, holds bool) (raised, cleared bool) {
	rule := &kinds[k]
	l.holds = holds
	if !holds {
		if !l.raised {
			l.since = time.Time{}
			return false, false
		}
		if l.gone.IsZero() {
			l.gone = now
		}
		if now.Before(l.gone.Add(rule.clear)) {
			return false, false
		}
		*l = latch{}
		return false, true
	}
	if l.since.IsZero() {
		l.since = now
	}
	l.gone = time.Time{}
	if k.moment() {
		l.holds, l.gone = false, now
	}
	if l.raised {
		return false, false
	}
	l.due = latest(l.since.Add(rule.raise), up.Add(rule.settle))
	l.raised = !now.Before(l.due)
	return l.raised, false
}

// deadline is when time alone changes something.
func (l *latch) deadline(k Kind) time.Time {
	switch {
	case l.raised && !l.gone.IsZero():
		return l.gone.Add(kinds[k].clear)
	case l.holds && !l.raised:
		return l.due
	}
	return time.Time{}
}

// moment reports whether the kind is seen in a moment and not in a state.
func (k Kind) moment() bool {
	return k == KindPartnerChanged || k == KindFlapping || k == KindFlood
}
