package health

import (
	"math"
	"time"
)

// Damp keeps a check that goes up and down from taking others along, as RFC 2439
// does with routes: each time it goes Down a penalty of DampPenalty is added,
// which halves each HalfLife. Once it is Suppress or more the check stays Down,
// though it would be Up, until the penalty is down to Reuse. Going Down is never
// held back. The zero value damps nothing.
type Damp struct {
	HalfLife time.Duration
	Suppress int // 0: DampSuppress
	Reuse    int // 0: DampReuse
	// Longest bounds how long a check is held after it went Down last; 0: four
	// times HalfLife. The penalty does not grow beyond what that takes.
	Longest time.Duration
}

// The penalty of one change, and the defaults of a Damp: with these the third
// change within two half-lives or so is held.
const (
	DampPenalty  = 1000
	DampSuppress = 2500
	DampReuse    = 1000
	dampLongest  = 4 // half-lives
)

func (d Damp) on() bool { return d.HalfLife > 0 }

func (d Damp) withDefaults() Damp {
	if !d.on() {
		return Damp{}
	}
	if d.Suppress <= 0 {
		d.Suppress = DampSuppress
	}
	if d.Reuse <= 0 {
		d.Reuse = DampReuse
	}
	if d.Longest <= 0 {
		d.Longest = dampLongest * d.HalfLife
	}
	return d
}

// damper is the memory of a Damp.
type damper struct {
	penalty float64
	at      time.Time // when it was that
	until   time.Time // held so long; in the past, or zero: not held
}

// add counts that the check went Down.
func (p *damper) add(now time.Time, d Damp) {
	if !d.on() {
		return
	}
	held := now.Before(p.until)
	p.penalty = p.penalty*math.Exp2(-float64(now.Sub(p.at))/float64(d.HalfLife)) + DampPenalty
	p.penalty = min(p.penalty, float64(d.Reuse)*math.Exp2(float64(d.Longest)/float64(d.HalfLife)))
	p.at = now
	if p.penalty >= float64(d.Suppress) || held {
		wait := float64(d.HalfLife) * math.Log2(p.penalty/float64(d.Reuse))
		p.until = now.Add(time.Duration(math.Ceil(max(wait, 0))))
	}
}
