package session

import (
	"cmp"
	"fmt"
	"time"
)

// Step is a rung of the overload ladder: what is given up so that the rest is kept.
type Step uint8

const (
	Calm    Step = iota // every event is taken
	Sparing             // changes of flows that are not assured are passed over
	Gap                 // events were lost: besides, a dump is owed
	Polling             // they are lost again and again: beginnings and changes come from dumps alone
)

// String is the word that status and logs use.
func (s Step) String() string {
	switch s {
	case Calm:
		return "calm"
	case Sparing:
		return "sparing"
	case Gap:
		return "gap"
	case Polling:
		return "polling"
	}
	return "unknown"
}

// Bounds of the ladder. Up at once, down slowly.
const (
	sparingFill = 0.5 // of the event buffer that makes it sparing
	calmFill    = 0.1 // of it that lets it be calm again
	gapsToPoll  = 3   // gaps that make it polling
	pollLonger  = 16  // times PollFor at most
	pollShare   = 4   // of the time, the inverse: what dumps take of a polling box
)

// Ladder is the pace of an [Overload]. Times of 0 take the default.
type Ladder struct {
	CalmAfter time.Duration // how long all must be well before it is calm again: 5 s
	GapWithin time.Duration // three gaps in such a time make it polling: 30 s
	PollFor   time.Duration // how long that lasts, twice as long each time that it was too short: 30 s
	PollEvery time.Duration // between dumps meanwhile, if these are quick: 3 s
}

func (l Ladder) orDefault() Ladder {
	l.CalmAfter = cmp.Or(l.CalmAfter, 5*time.Second)
	l.GapWithin = cmp.Or(l.GapWithin, 30*time.Second)
	l.PollFor = cmp.Or(l.PollFor, 30*time.Second)
	l.PollEvery = cmp.Or(l.PollEvery, 3*time.Second)
	return l
}

// Load is what there is to judge by.
type Load struct {
	Fill float64 // share of the event buffer that is waiting to be read, 0 to 1
	Lost bool    // the kernel had more events than the buffer could hold
	Owed bool    // a dump that makes up for lost or passed-over events has not been made yet
	// Behind: not even the quickest of the connected peers has had for long what changed.
	Behind time.Duration
}

// behindLong is when it is too long.
const behindLong = time.Second

// Overload decides how much of the kernel's events can be had. It is a value
// without a clock: Judge it as often as there is news, and each second.
type Overload struct {
	ladder  Ladder
	step    Step
	since   time.Time
	reason  string
	bad     time.Time             // the last bad sign
	gaps    [gapsToPoll]time.Time // the last ones, the oldest at next
	next    int
	pollFor time.Duration // how long the next polling lasts
	tried   time.Time     // when events were tried again after a polling
}

// NewOverload returns one that is calm since now.
func NewOverload(now time.Time, l Ladder) Overload {
	return Overload{ladder: l.orDefault(), since: now}
}

// Step is the rung that is stood on; Since and Reason tell since when, and why.
func (o *Overload) Step() Step       { return o.step }
func (o *Overload) Since() time.Time { return o.since }
func (o *Overload) Reason() string   { return o.reason }

// Judge takes note of the load and tells whether the step is another now.
func (o *Overload) Judge(now time.Time, l Load) (changed bool) {
	was := o.step
	bad := l.Fill > sparingFill || l.Behind > behindLong
	if bad || l.Fill > calmFill {
		o.bad = now
	}
	switch {
	case l.Lost:
		o.gap(now)
	case o.step == Polling:
		if now.Sub(o.since) >= o.pollFor {
			o.tried = now
			o.to(now, Gap, "trying events again")
			o.bad = now
		}
	case bad && o.step == Calm:
		o.to(now, Sparing, l.reason())
	case o.step != Calm && !l.Owed && now.Sub(o.bad) >= o.ladder.CalmAfter:
		o.to(now, Calm, "")
	}
	return o.step != was
}

func (l *Load) reason() string {
	if l.Fill > sparingFill {
		return fmt.Sprintf("the event buffer is %.0f%% full", 100*l.Fill)
	}
	return fmt.Sprintf("peers are behind by %v", l.Behind.Round(100*time.Millisecond))
}

// gap takes note of lost events. The buffer of a polling box has endings alone,
// which dumps make up for.
func (o *Overload) gap(now time.Time) {
	o.bad = now
	o.gaps[o.next] = now
	o.next = (o.next + 1) % gapsToPoll
	oldest := o.gaps[o.next]
	switch {
	case o.step == Polling:
	case !oldest.IsZero() && now.Sub(oldest) <= o.ladder.GapWithin:
		// Soon after the last polling: it was left too early.
		if !o.tried.IsZero() && now.Sub(o.tried) <= 2*o.ladder.GapWithin {
			o.pollFor = min(2*o.pollFor, pollLonger*o.ladder.PollFor)
		} else {
			o.pollFor = o.ladder.PollFor
		}
		o.gaps = [gapsToPoll]time.Time{}
		o.to(now, Polling, fmt.Sprintf("events were lost %d times within %v", gapsToPoll, o.ladder.GapWithin))
	case o.step != Gap:
		o.to(now, Gap, "events were lost")
	}
}

func (o *Overload) to(now time.Time, s Step, reason string) {
	o.step, o.since, o.reason = s, now, reason
}

// PollEvery is how long after a dump that took the given time the next one of a
// polling box is made.
func (o *Overload) PollEvery(took time.Duration) time.Duration {
	return max(o.ladder.PollEvery, pollShare*took)
}
