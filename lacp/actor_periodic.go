package lacp

import "time"

// Pace is a state of the Periodic Transmission machine (802.1AX-2008, 5.4.13).
// PERIODIC_TX, which is left at once, is none here.
type Pace uint8

// The states.
const (
	NoPeriodic Pace = iota // down, or both ends are passive
	FastPace               // each FastPeriodic
	SlowPace               // each SlowPeriodic
)

var paceNames = [...]string{"none", "fast", "slow"}

// String is one lower-case word.
func (p Pace) String() string {
	if int(p) < len(paceNames) {
		return paceNames[p]
	}
	return "unknown"
}

// MarshalText makes a Pace its word in JSON.
func (p Pace) MarshalText() ([]byte, error) { return []byte(p.String()), nil }

type periodic struct {
	pace  Pace
	timer time.Time // periodic_timer; zero: not running
}

// stepPeriodic brings the machine up to date. A partner that asks for more is served
// at once.
func (p *port) stepPeriodic(now time.Time) {
	m := &p.periodic
	want, wait := SlowPace, SlowPeriodic
	if p.partner.State.Has(Timeout) {
		want, wait = FastPace, FastPeriodic
	}
	if !p.speaks() || !p.actor.State.Has(Activity) && !p.partner.State.Has(Activity) {
		want = NoPeriodic
	}
	switch {
	case want == NoPeriodic:
		*m = periodic{}
	case m.pace == NoPeriodic:
		// By way of FAST_PERIODIC: the first one comes a second later, in any case.
		*m = periodic{FastPace, now.Add(FastPeriodic)}
	case m.pace == SlowPace && want == FastPace, !now.Before(m.timer):
		p.ntt = true
		*m = periodic{want, now.Add(wait)}
	case m.pace == FastPace && want == SlowPace:
		*m = periodic{SlowPace, now.Add(SlowPeriodic)}
	}
}
