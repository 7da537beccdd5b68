package garp

import (
	"net/netip"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// model is what a reader of the documentation would remember of an address.
type model struct {
	announced time.Time
	frames    []time.Time
}

// TestScheduleProperties drives a schedule with random announcements,
// withdrawals, buffers and late wake-ups and checks what doc.go promises.
func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rate := rapid.IntRange(1, 400).Draw(t, "rate")
		s := NewSchedule(Config{Rate: rate})
		pool := append(claims(60), Claim{Interface: "lan0", Addr: vip6}, Claim{Interface: "wan0", Addr: vip6})
		live := map[claimKey]*model{}
		var repeats []time.Time
		now := epoch
		buf := make([]Claim, rapid.IntRange(1, 100).Draw(t, "buffer"))

		some := func(label string) []Claim {
			from := rapid.IntRange(0, len(pool)).Draw(t, label+" from")
			to := rapid.IntRange(from, len(pool)).Draw(t, label+" to")
			return pool[from:to]
		}
		step := func() {
			for _, c := range buf[:s.Step(now, buf)] {
				m := live[c.key()]
				if m == nil {
					t.Fatalf("%v was never announced or is withdrawn", c)
				}
				checkFrame(t, c.Addr, m, now)
				if len(m.frames) > 0 {
					repeats = append(repeats, now)
					for k, o := range live {
						if len(o.frames) == 0 {
							t.Fatalf("a repeat of %v before the first frame of %v", c, k)
						}
					}
				}
				m.frames = append(m.frames, now)
			}
		}
		t.Repeat(map[string]func(*rapid.T){
			"announce": func(*rapid.T) {
				cs := some("announce")
				s.Announce(now, cs)
				for _, c := range cs {
					if m := live[c.key()]; m == nil || len(m.frames) > 0 {
						live[c.key()] = &model{announced: now}
					}
				}
			},
			"withdraw": func(*rapid.T) {
				cs := some("withdraw")
				s.Withdraw(cs)
				for _, c := range cs {
					delete(live, c.key())
				}
			},
			"wake at the deadline": func(*rapid.T) {
				if d := s.Deadline(); d.After(now) {
					if n := s.Step(d.Add(-1), buf); n != 0 {
						t.Fatalf("%d frames before the deadline", n)
					}
					now = d
				}
				if s.Len() > 0 {
					before := len(live)
					if s.Deadline().IsZero() || before != s.Len() {
						t.Fatalf("%d announced, deadline %v", s.Len(), s.Deadline())
					}
				}
				step()
			},
			"wake late": func(t *rapid.T) {
				now = now.Add(time.Duration(rapid.IntRange(0, 90_000).Draw(t, "ms")) * time.Millisecond)
				step()
			},
		})
		checkRate(t, repeats, rate)
	})
}

// checkFrame holds that a frame is not closer to the one before it than its
// place in the burst says.
func checkFrame(t *rapid.T, addr netip.Addr, m *model, now time.Time) {
	gaps := []time.Duration{100 * time.Millisecond, 900 * time.Millisecond, 2 * time.Second, time.Minute}
	if addr.Is6() {
		gaps = []time.Duration{time.Second, 2 * time.Second, time.Minute}
	}
	n := len(m.frames)
	if n == 0 {
		return
	}
	if gap := now.Sub(m.frames[n-1]); gap < gaps[min(n, len(gaps))-1] {
		t.Fatalf("frame %d of %v is %v after the one before it", n, addr, gap)
	}
}

// checkRate holds the bound over every window that begins and ends with a frame.
func checkRate(t *rapid.T, repeats []time.Time, rate int) {
	interval := time.Second / time.Duration(rate)
	for i := range repeats {
		for j := i; j < len(repeats); j++ {
			if n := j - i + 1; n > rateDepth+int(repeats[j].Sub(repeats[i])/interval) {
				t.Fatalf("%d repeats within %v at %d a second", n, repeats[j].Sub(repeats[i]), rate)
			}
		}
	}
}
