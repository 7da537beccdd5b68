package daemon

import (
	"slices"
	"testing"
	"time"

	"understudy/garp"
)

// frames steps through everything that is due until end, and counts frames by address.
func frames(a *announcements, now time.Time, end time.Duration) map[string]int {
	out := map[string]int{}
	buf := make([]garp.Claim, 64)
	for {
		d := a.Deadline()
		if d.IsZero() || d.Sub(now) > end {
			return out
		}
		for _, c := range buf[:a.Step(d, buf)] {
			out[c.Addr.String()]++
		}
	}
}

// TestPaces: each address is announced at the pace of its router, and a reload changes that
// of those which are being announced.
func TestPaces(t *testing.T) {
	now := time.Now()
	a, all := newAnnouncements(), claimsOf(1, 4)
	slow := garp.Pace{Repeat: 2, Again: 10 * time.Second, Gap: time.Second}
	a.repace(now, map[garp.Claim]garp.Pace{all[1]: slow, all[2]: slow})
	a.take(now, announcement{group: "g", kind: whole, claims: all})
	got := frames(a, now, 30*time.Second)
	if got["10.0.0.1"] != 4 || got["10.0.0.2"] != 4 || got["10.0.0.3"] != 4 {
		t.Errorf("%v: want the usual four of the first, and two bursts of two of the others", got)
	}
	// The others are announced no more; then they have the usual pace, and the first has none.
	at := now.Add(30 * time.Second)
	a.repace(at, map[garp.Claim]garp.Pace{all[0]: {Repeat: 1}, all[1]: slow})
	got = frames(a, at, 20*time.Second)
	if got["10.0.0.1"] != 1 || got["10.0.0.2"] != 0 || got["10.0.0.3"] != 4 {
		t.Errorf("%v after a reload", got)
	}
	if len(a.schedules) > 3 {
		t.Errorf("%d schedules", len(a.schedules))
	}
	a.take(at, announcement{group: "g", kind: none})
	if got := frames(a, at, time.Hour); len(got) > 0 {
		t.Errorf("%v after the end", got)
	}
}

// TestGapIsOfAnInterface: frames on two interfaces do not wait for each other.
func TestGapIsOfAnInterface(t *testing.T) {
	now := time.Now()
	a, all := newAnnouncements(), claimsOf(1, 3)
	all[1].Interface = "wan0"
	pace := garp.Pace{Repeat: 1, Gap: time.Minute}
	a.repace(now, map[garp.Claim]garp.Pace{all[0]: pace, all[1]: pace})
	a.take(now, announcement{group: "g", kind: whole, claims: all})
	if got := due(a, now); !slices.Equal(got, all) {
		t.Errorf("at once: %v", addrs(got))
	}
}
