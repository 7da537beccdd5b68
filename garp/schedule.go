package garp

import (
	"slices"
	"time"
)

// Defaults of [Config].
const (
	DefaultRefresh = time.Minute
	DefaultRate    = 200
)

const (
	// naSpacing is RetransTimer of RFC 4861: unsolicited advertisements of one
	// address MUST be that far apart (7.2.6).
	naSpacing = time.Second
	// rateDepth is how many repeats may leave at once after a quiet time. It
	// keeps the few addresses of a usual gateway exactly on schedule.
	rateDepth = 20
)

// DefaultBurst returns when the frames of a fresh announcement are due, counted
// from the announcement.
func DefaultBurst() []time.Duration {
	return []time.Duration{0, 100 * time.Millisecond, time.Second, 3 * time.Second}
}

// Config is how often to announce. The zero value means the defaults.
type Config struct {
	// Burst holds ascending offsets; the first frame always leaves at once.
	Burst []time.Duration
	// Refresh is the time between frames after the burst; negative: never.
	Refresh time.Duration
	// Again is how many frames each refresh has, right behind each other; 0 is one.
	Again int
	// Gap is the least time between any two frames, each address's first included;
	// 0: there is none.
	Gap time.Duration
	// Rate limits all frames but each address's first, in frames a second.
	Rate int
}

// Schedule decides when which address is announced. Its cost per frame does not
// depend on the number of addresses. The zero value is not usable: see
// [NewSchedule]. It is not safe for concurrent use.
type Schedule struct {
	// gaps[k] is the pause before frame k; those from cycle on repeat for ever.
	gaps    []time.Duration
	cycle   int
	refresh bool
	// queues[k] holds the addresses whose next frame is their k-th, by due time.
	queues   []queue
	entries  arena
	index    map[claimKey]int32
	interval time.Duration // between two frames at the limit
	gap      time.Duration // between any two frames
	free     time.Time     // when the next frame may leave, for the gap
	// debt is when the rate limit has been paid off: the "theoretical arrival
	// time" of the virtual scheduling algorithm of ITU-T I.371.
	debt time.Time
}

// NewSchedule returns an empty schedule.
func NewSchedule(c Config) *Schedule {
	if len(c.Burst) == 0 {
		c.Burst = DefaultBurst()
	}
	if c.Refresh == 0 {
		c.Refresh = DefaultRefresh
	}
	if c.Rate <= 0 {
		c.Rate = DefaultRate
	}
	s := &Schedule{
		gaps:     make([]time.Duration, len(c.Burst)),
		refresh:  c.Refresh > 0,
		index:    make(map[claimKey]int32),
		interval: time.Second / time.Duration(c.Rate),
		gap:      max(0, c.Gap),
	}
	for k := 1; k < len(c.Burst); k++ {
		s.gaps[k] = max(0, c.Burst[k]-c.Burst[k-1])
	}
	s.cycle = len(s.gaps) - 1
	if s.refresh {
		s.cycle = len(s.gaps)
		s.gaps = append(s.gaps, c.Refresh)
		for range c.Again - 1 {
			s.gaps = append(s.gaps, 0)
		}
	}
	s.queues = slices.Repeat([]queue{emptyQueue}, len(s.gaps))
	return s
}

// Announce starts the burst of each claim at now, from its beginning also for
// an address that is already announced.
func (s *Schedule) Announce(now time.Time, claims []Claim) {
	for _, c := range claims {
		i, known := s.index[c.key()]
		if known {
			e := &s.entries.all[i]
			e.claim = c
			if e.frame == 0 {
				continue // its first frame has not left yet
			}
			s.unlink(i)
		} else {
			i = s.entries.take(c)
			s.index[c.key()] = i
		}
		s.enqueue(i, 0, now)
	}
}

// Withdraw ends the announcement of the claims at once; unknown ones are
// ignored. The MAC does not matter.
func (s *Schedule) Withdraw(claims []Claim) {
	for _, c := range claims {
		if i, ok := s.index[c.key()]; ok {
			s.unlink(i)
			s.drop(i)
		}
	}
}

// Len returns how many addresses are being announced.
func (s *Schedule) Len() int { return len(s.index) }

// Step fills out with the claims that are due and returns how many. If out was
// too short, Deadline is not after now: call Step again. It does not allocate.
func (s *Schedule) Step(now time.Time, out []Claim) (n int) {
	for k := range s.queues {
		for n < len(out) {
			i := s.queues[k].head
			if i == none || s.entries.all[i].due.After(now) {
				break
			}
			if s.gap > 0 && s.free.After(now) {
				return n
			}
			if k > 0 {
				if s.allowedAt().After(now) {
					return n // one budget for all queues behind the first
				}
				s.spend(now)
			}
			s.free = now.Add(s.gap)
			out[n] = s.entries.all[i].claim
			n++
			s.unlink(i)
			s.plan(i, now)
		}
	}
	return n
}

// Deadline returns when Step has something to do next; zero if never.
func (s *Schedule) Deadline() (next time.Time) {
	for k := range s.queues {
		i := s.queues[k].head
		if i == none {
			continue
		}
		due := s.entries.all[i].due
		if k > 0 {
			if allowed := s.allowedAt(); allowed.After(due) {
				due = allowed
			}
		}
		if s.gap > 0 && s.free.After(due) {
			due = s.free
		}
		if next.IsZero() || due.Before(next) {
			next = due
		}
	}
	return next
}

// plan queues the frame after the one that left at now. Its distance counts
// from the real sending, so that frames held back by the limit do not bunch.
func (s *Schedule) plan(i int32, now time.Time) {
	e := &s.entries.all[i]
	last := len(s.gaps) - 1
	k, wait := e.frame, time.Duration(0)
	for {
		if k == last && !s.refresh {
			s.drop(i)
			return
		}
		if k++; k > last {
			k = s.cycle
		}
		wait += s.gaps[k]
		if !e.claim.Addr.Is6() || wait >= naSpacing || s.refresh && k == s.cycle {
			break
		}
	}
	s.enqueue(i, k, now.Add(wait))
}

func (s *Schedule) allowedAt() time.Time {
	return s.debt.Add(-(rateDepth - 1) * s.interval)
}

func (s *Schedule) spend(now time.Time) {
	if s.debt.Before(now) {
		s.debt = now
	}
	s.debt = s.debt.Add(s.interval)
}

// enqueue puts the entry into the queue of frame k. Walking from the tail is
// short: entries come nearly in order of their due time.
func (s *Schedule) enqueue(i int32, k int, due time.Time) {
	e := &s.entries.all[i]
	e.frame, e.due = k, due
	after := s.queues[k].tail
	for after != none && s.entries.all[after].due.After(due) {
		after = s.entries.all[after].prev
	}
	s.entries.insert(&s.queues[k], i, after)
}

func (s *Schedule) unlink(i int32) {
	s.entries.unlink(&s.queues[s.entries.all[i].frame], i)
}

func (s *Schedule) drop(i int32) {
	delete(s.index, s.entries.all[i].claim.key())
	s.entries.release(i)
}
