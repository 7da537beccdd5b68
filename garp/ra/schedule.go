package ra

import "time"

// Constants of RFC 4861, 6.2.1 and 10, that nobody may change.
const (
	maxInitial      = 3                      // MAX_INITIAL_RTR_ADVERTISEMENTS
	initialInterval = 16 * time.Second       // MAX_INITIAL_RTR_ADVERT_INTERVAL
	maxFinal        = 3                      // MAX_FINAL_RTR_ADVERTISEMENTS
	minDelay        = 3 * time.Second        // MIN_DELAY_BETWEEN_RAS
	maxDelay        = 500 * time.Millisecond // MAX_RA_DELAY_TIME
)

// Input is what happens to a virtual router.
type Input uint8

// The inputs. Each is defined in every state.
const (
	Tick    Input = iota // the time of Deadline has come
	Start                // it is Active, and its address and MAC are in place
	Stop                 // it is Active no more: silence at once
	Solicit              // a host asks
	Change               // what it says has changed (RFC 4861, 6.2.4)
	Cease                // Active, but no longer a router that advertises (6.2.5)
)

// Output says whether an advertisement goes to all nodes now. Final: with a Router
// Lifetime of zero.
type Output struct{ Send, Final bool }

// Dice is chance: a *rand.Rand of math/rand/v2.
type Dice interface {
	Int64N(n int64) int64 // 0 to n-1
}

// Schedule is one virtual router's advertisements. The zero value is useless, call
// NewSchedule.
type Schedule struct {
	min, max time.Duration // MinRtrAdvInterval, MaxRtrAdvInterval
	dice     Dice

	on, final bool
	sent      int       // since Start, Change or Cease
	last      time.Time // of our last advertisement; zero: none yet
	next      time.Time // zero: none is due
}

// NewSchedule returns a silent one, for MaxRtrAdvInterval.
func NewSchedule(interval time.Duration, dice Dice) *Schedule {
	s := &Schedule{dice: dice}
	s.Configure(interval)
	return s
}

// Configure changes MaxRtrAdvInterval; Step it with Change.
func (s *Schedule) Configure(interval time.Duration) {
	s.max, s.min = interval, MinInterval(interval)
}

// MinInterval is MinRtrAdvInterval for a MaxRtrAdvInterval: RFC 4861's default, a
// third, but not above three quarters (short intervals), and at least 3 s.
func MinInterval(interval time.Duration) time.Duration {
	if interval < 9*time.Second {
		return max(interval*3/4, minDelay)
	}
	return max(interval*33/100, minDelay)
}

// Deadline is when to Step with Tick next; zero: no timer runs.
func (s *Schedule) Deadline() time.Time { return s.next }

// Step applies one event at the time now.
func (s *Schedule) Step(now time.Time, in Input) Output {
	switch in {
	case Start:
		if s.on && !s.final {
			return Output{}
		}
		s.on, s.final, s.sent, s.next = true, false, 0, time.Time{}
		s.sooner(now)
	case Stop:
		s.on, s.final, s.next = false, false, time.Time{}
	case Solicit:
		if s.on && !s.final {
			s.sooner(now.Add(time.Duration(s.dice.Int64N(int64(maxDelay)))))
		}
	case Change:
		if s.on && !s.final {
			s.sent = 0
			s.sooner(now)
		}
	case Cease:
		if s.on && !s.final {
			s.final, s.sent = true, 0
			s.sooner(now)
		}
	}
	if s.next.IsZero() || now.Before(s.next) {
		return Output{}
	}
	return s.send(now)
}

// sooner brings the next advertisement forward, as far as the last one allows.
func (s *Schedule) sooner(at time.Time) {
	if !s.last.IsZero() && at.Before(s.last.Add(minDelay)) {
		at = s.last.Add(minDelay)
	}
	if s.next.IsZero() || at.Before(s.next) {
		s.next = at
	}
}

func (s *Schedule) send(now time.Time) Output {
	s.sent++
	s.last = now
	out := Output{Send: true, Final: s.final}
	if s.final {
		if s.next = now.Add(minDelay); s.sent == maxFinal {
			s.on, s.final, s.next = false, false, time.Time{}
		}
		return out
	}
	wait := s.min + time.Duration(s.dice.Int64N(int64(s.max-s.min)+1))
	if s.sent < maxInitial {
		wait = min(wait, initialInterval)
	}
	s.next = now.Add(wait)
	return out
}
