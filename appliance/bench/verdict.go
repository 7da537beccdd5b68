package bench

import (
	"fmt"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Blow is one crash, and what became of the flows that were there.
type Blow struct {
	AfterMS float64 `json:"after_ms"` // how long new connections had been made
	Rate    float64 `json:"rate"`     // of them, a second
	Unmade  int     `json:"unmade"`   // of them, that failed before the crash
	// LagMS is what the active gateway said last of how far its peer is behind:
	// at most, and the mean of the last second, whichever is more.
	LagMS float64 `json:"lag_ms"`
	// WindowMS is how old the oldest lost flow was.
	WindowMS  float64 `json:"window_ms"`
	Installed int     `json:"installed"` // by the takeover
	// Held are the flows whose record the peer had applied, Young the others.
	Held      int     `json:"held"`
	HeldLost  int     `json:"held_lost"`
	Young     int     `json:"young"`
	YoungLost int     `json:"young_lost"`
	Expected  float64 `json:"expected"` // flows a second times lag, of all classes
	// What the survivor reports: its estimate of what was lost, -1 without one, and the flows
	// that it has found to be lost. Met are the lost connections that have sent again, so
	// that it could meet them; Named are those of them that it names.
	Estimated int          `json:"estimated"`
	Reported  int          `json:"reported"`
	Met       int          `json:"met"`
	Named     int          `json:"named"`
	Unnamed   []string     `json:"unnamed"` // the first few that it does not
	Wrong     int          `json:"wrong"`   // flows that went on by another translation than before, or as another one
	Leaks     int          `json:"leaks"`   // packets on the outside with an inside source
	Leaked    []string     `json:"leaked"`  // the first few
	Classes   []ClassCount `json:"classes"`
	Lost      []string     `json:"lost"` // the first few that must not have been
	Within    bool         `json:"within"`
}

// ClassCount is what became of the flows of one class.
type ClassCount struct {
	Class     string  `json:"class"`
	Held      int     `json:"held"`
	HeldLost  int     `json:"held_lost"`
	Young     int     `json:"young"`
	YoungLost int     `json:"young_lost"`
	Expected  float64 `json:"expected"`
}

// classes in the order in which they are shown: those with new flows first.
var classes = []string{"tcp", "tcp-forward", "tcp-routed", "udp", "idle", "server-first", "half-closed", "bulk-up", "bulk-down", "udp-stream", "ping", "sctp", "gre", "ftp", "ftp-data"}

// sighting is a flow, and whether it goes on.
type sighting struct {
	class, what string
	key         session.Key
	born        time.Time
	err         error // it does not
	wrong       bool  // it does, or not, as something else than it was
	spoke       bool  // the end that began it has sent again since
}

// met tells whether the flow is one that a survivor must have noticed to be lost: a
// connection of which it was sent a segment. The datagram of a flow that nobody knows
// is the first one of a new flow, and what comes to a translated port tells of
// no flow at all.
func (s *sighting) met() bool {
	return (s.err != nil || s.wrong) && s.spoke && s.key.Proto == unix.IPPROTO_TCP
}

// horizon is what the active gateway said of its peer: until when that had
// everything.
type horizon struct {
	until time.Time
	lag   time.Duration // for the expectation
	said  []lagSaid     // of the last second
	// copies says that the peer is not told of flows: what it has its kernel alone tells.
	copies bool
}

type lagSaid struct {
	at  time.Time
	lag time.Duration
}

// say takes one answer, asked for at a moment.
func (h *horizon) say(at time.Time, lag time.Duration) {
	if u := at.Add(-lag); u.After(h.until) {
		h.until = u
	}
	h.said = append(h.said, lagSaid{at, lag})
	for at.Sub(h.said[0].at) > time.Second {
		h.said = h.said[1:]
	}
	sum := time.Duration(0)
	for _, s := range h.said {
		sum += s.lag
	}
	// Events are read each millisecond: what is younger nobody has seen.
	h.lag = max(lag, sum/time.Duration(len(h.said)), time.Millisecond)
}

// unread is how long an event may have waited to be read before it was part of
// any lag: far longer than it does on a machine that has anything else to do.
const unread = 250 * time.Millisecond

// holds tells whether the peer had applied a flow: its kernel had it when the
// active gateway stopped, or the active gateway had said so. Of a flow that has no key
// only the latter is known.
func (h *horizon) holds(s *sighting, kernel map[session.Key]session.Record) bool {
	if _, ok := kernel[s.key]; ok && s.key.Family != 0 {
		return true
	}
	if h.copies && s.key.Family != 0 {
		return false
	}
	return s.born.Before(h.until.Add(-unread))
}

// judge counts what became of the flows that were there when the gateway stopped.
func (b *Blow) judge(seen []sighting, stopped time.Time, h horizon, kernel map[session.Key]session.Record, report *lossReport) {
	b.Estimated, b.Reported = report.estimated, report.found
	counts := map[string]*ClassCount{}
	recent := map[string]int{}
	for _, c := range classes {
		counts[c] = &ClassCount{Class: c}
	}
	for i := range seen {
		s := &seen[i]
		if s.born.After(stopped) {
			continue // nobody could tell of it
		}
		c := counts[s.class]
		if stopped.Sub(s.born) <= time.Second {
			recent[s.class]++
		}
		held := h.holds(s, kernel)
		if held {
			c.Held++
		} else {
			c.Young++
		}
		if s.wrong && (held || s.err == nil && s.class != "udp") {
			b.Wrong++ // a datagram of a flow that nobody knew gets a translation anew, and that is that
			b.Lost = note(b.Lost, s)
		}
		if s.err == nil && !s.wrong {
			continue
		}
		b.WindowMS = max(b.WindowMS, ms(stopped.Sub(s.born)))
		switch {
		case !s.met():
		case report.names[nameOf(&s.key)]:
			b.Met, b.Named = b.Met+1, b.Named+1
		default:
			b.Met++
			b.Unnamed = note(b.Unnamed, s)
		}
		if held {
			c.HeldLost++
			b.Lost = note(b.Lost, s)
		} else {
			c.YoungLost++
		}
	}
	b.Classes = b.Classes[:0]
	for _, name := range classes {
		c := counts[name]
		c.Expected = round(float64(recent[name]) * h.lag.Seconds())
		b.Classes = append(b.Classes, *c)
		b.Held, b.HeldLost = b.Held+c.Held, b.HeldLost+c.HeldLost
		b.Young, b.YoungLost = b.Young+c.Young, b.YoungLost+c.YoungLost
		b.Expected = round(b.Expected + c.Expected)
	}
}

// note adds a flow to a list of the first few.
func note(list []string, s *sighting) []string {
	line := s.what
	if s.err != nil {
		line = fmt.Sprintf("%s: %v", s.what, s.err)
	}
	if len(list) < 10 && !slices.Contains(list, line) {
		list = append(list, line)
	}
	return list
}

// within is the aim: nothing lost that the peer had, of the others no more than
// three times what was to be expected and three, nothing wrong, nothing
// untranslated, and everything named that was met.
func (b *Blow) within(exact bool) bool {
	return (!exact || b.HeldLost == 0) && float64(b.HeldLost+b.YoungLost) <= 3*b.Expected+3 && b.Wrong == 0 && b.Leaks == 0 && b.Named == b.Met
}

func (b *Blow) String() string {
	s := fmt.Sprintf("%.0f new a second, lag %.1f ms; of %d flows that the peer had %d lost, of %d others %d, %.1f expected; oldest %.1f ms; the survivor estimates %d, found %d, names %d of the %d of these that it met; %d wrong, %d untranslated",
		b.Rate, b.LagMS, b.Held, b.HeldLost, b.Young, b.YoungLost, b.Expected, b.WindowMS, b.Estimated, b.Reported, b.Named, b.Met, b.Wrong, b.Leaks)
	for _, l := range b.Lost {
		s += "\n  " + l
	}
	for _, l := range b.Unnamed {
		s += "\n  not named: " + l
	}
	return s
}

// sum adds the crashes up.
func (r *MatrixRow) sum() {
	r.Within = true
	r.Classes = make([]ClassCount, len(classes))
	for i, name := range classes {
		r.Classes[i].Class = name
	}
	for _, b := range r.Crashes {
		r.Within = r.Within && b.Within
		for i, c := range b.Classes {
			s := &r.Classes[i]
			s.Held, s.HeldLost = s.Held+c.Held, s.HeldLost+c.HeldLost
			s.Young, s.YoungLost = s.Young+c.Young, s.YoungLost+c.YoungLost
			s.Expected = round(s.Expected + c.Expected)
		}
	}
}
