package ra_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"understudy/garp/ra"
)

// die always shows the same: the fraction of what is asked.
type die float64

func (d die) Int64N(n int64) int64 { return min(int64(float64(d)*float64(n)), n-1) }

// clock runs a Schedule and notes what it sends.
type clock struct {
	*ra.Schedule
	at   time.Duration // since the beginning
	sent []string
}

var epoch = time.Unix(0, 0)

func newClock(interval time.Duration, d ra.Dice) *clock {
	return &clock{Schedule: ra.NewSchedule(interval, d)}
}

func (c *clock) do(in ra.Input) *clock {
	if out := c.Step(epoch.Add(c.at), in); out.Send {
		what := c.at.String()
		if out.Final {
			what += " final"
		}
		c.sent = append(c.sent, what)
	} else if out.Final {
		panic("final, and not sent")
	}
	return c
}

// run lets time pass until the given moment.
func (c *clock) run(until time.Duration) *clock {
	for !c.Deadline().IsZero() && !c.Deadline().After(epoch.Add(until)) {
		c.at = max(c.at, c.Deadline().Sub(epoch))
		c.do(ra.Tick)
	}
	c.at = until
	return c
}

func (c *clock) want(t *testing.T, want ...string) {
	t.Helper()
	if !slices.Equal(c.sent, want) {
		t.Errorf("sent at %v, want %v", c.sent, want)
	}
}

// RFC 4861, 6.2.4: three in quick succession, then at a random time between
// MinRtrAdvInterval and MaxRtrAdvInterval after the one before.
func TestUnsolicited(t *testing.T) {
	newClock(600*time.Second, die(0)).do(ra.Start).run(10*time.Minute).want(t, "0s", "16s", "32s", "3m50s", "7m8s")
	newClock(600*time.Second, die(1)).do(ra.Start).run(21*time.Minute).want(t, "0s", "16s", "32s", "10m32s", "20m32s")
	newClock(10*time.Second, die(0)).do(ra.Start).run(15*time.Second).want(t, "0s", "3.3s", "6.6s", "9.9s", "13.2s")
}

// 6.2.1: MinRtrAdvInterval is at least 3 s and at most three quarters.
func TestMinInterval(t *testing.T) {
	for _, test := range [][2]time.Duration{{4, 3}, {8, 6}, {9, 3}, {10, 3}, {600, 198}, {1800, 594}} {
		if got := ra.MinInterval(test[0] * time.Second); got < test[1]*time.Second || got > (test[1]+1)*time.Second {
			t.Errorf("of %ds: %v, want %ds", test[0], got, test[1])
		}
	}
}

// 6.2.6: an answer within half a second, and no two advertisements within 3 s.
func TestSolicited(t *testing.T) {
	c := newClock(600*time.Second, die(0.5)).do(ra.Start).run(60 * time.Second)
	c.sent = nil
	c.do(ra.Solicit)
	for range 100 { // the others who ask hear the same answer
		c.at += time.Millisecond
		c.do(ra.Solicit)
	}
	c.run(61*time.Second).want(t, "1m0.25s")
	c.do(ra.Solicit).run(70*time.Second).want(t, "1m0.25s", "1m3.25s")
	// One that is due sooner is the answer.
	c = newClock(600*time.Second, die(0.9)).do(ra.Start).run(15900 * time.Millisecond)
	c.do(ra.Solicit).run(17*time.Second).want(t, "0s", "16s")
	// An answer counts as one of the first three.
	newClock(600*time.Second, die(0)).do(ra.Start).run(5*time.Second).do(ra.Solicit).run(60*time.Second).
		want(t, "0s", "5s", "21s")
}

// Who is not Active says nothing, whatever is asked.
func TestSilent(t *testing.T) {
	all := []ra.Input{ra.Tick, ra.Solicit, ra.Change, ra.Cease, ra.Stop}
	c := newClock(600*time.Second, die(0))
	for _, in := range all {
		c.do(in).run(c.at + time.Minute)
	}
	c.want(t)
	c = newClock(600*time.Second, die(0)).do(ra.Start).run(time.Second).do(ra.Solicit).do(ra.Stop)
	c.sent = nil
	for _, in := range all {
		c.do(in).run(c.at + time.Hour)
	}
	c.want(t)
	if !c.Deadline().IsZero() {
		t.Error("a timer runs")
	}
}

// A successor speaks at once, one that comes back within 3 s waits for them.
func TestStartAgain(t *testing.T) {
	c := newClock(600*time.Second, die(0)).do(ra.Start).run(time.Second)
	c.do(ra.Start).do(ra.Stop).run(2*time.Second).do(ra.Start).run(4*time.Second).want(t, "0s", "3s")
	c.do(ra.Stop).run(time.Minute).do(ra.Start).want(t, "0s", "3s", "1m0s")
}

// 6.2.4: a change is said three times as a start is.
func TestChange(t *testing.T) {
	c := newClock(600*time.Second, die(0)).do(ra.Start).run(100 * time.Second)
	c.sent = nil
	c.do(ra.Change).run(150*time.Second).want(t, "1m40s", "1m56s", "2m12s")
	c.Configure(10 * time.Second)
	c.do(ra.Change).run(157*time.Second).want(t, "1m40s", "1m56s", "2m12s", "2m30s", "2m33.3s", "2m36.6s")
}

// 6.2.5: who ceases to be a router says so three times, and is silent.
func TestCease(t *testing.T) {
	c := newClock(600*time.Second, die(0)).do(ra.Start).run(60 * time.Second)
	c.sent = nil
	c.do(ra.Cease).do(ra.Cease).do(ra.Solicit).do(ra.Change).run(5*time.Minute).want(t, "1m0s final", "1m3s final", "1m6s final")
	// One that begins again in between is a router.
	c = newClock(600*time.Second, die(0)).do(ra.Start).run(60 * time.Second)
	c.sent = nil
	c.do(ra.Cease).run(61*time.Second).do(ra.Start).run(70*time.Second).want(t, "1m0s final", "1m3s")
	// One that is no longer Active does not end what is the successor's.
	c = newClock(600*time.Second, die(0)).do(ra.Start).run(60 * time.Second)
	c.sent = nil
	c.do(ra.Cease).do(ra.Stop).run(5*time.Minute).want(t, "1m0s final")
}

// Whatever comes when: never two within 3 s, none while stopped, none later than
// MaxRtrAdvInterval, an answer within 3.5 s, final ones only after Cease.
func TestScheduleProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		interval := time.Duration(rapid.IntRange(4, 1800).Draw(t, "interval")) * time.Second
		s := ra.NewSchedule(interval, rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0)))
		now, on, ceased := epoch, false, false
		var last, asked time.Time
		step := func(in ra.Input) {
			out := s.Step(now, in)
			if out.Send {
				if !last.IsZero() && now.Sub(last) < 3*time.Second {
					t.Fatalf("two within %v", now.Sub(last))
				}
				if !on || out.Final != ceased {
					t.Fatalf("sent while on %v, ceased %v: %+v", on, ceased, out)
				}
				last, asked = now, time.Time{}
			}
			if d := s.Deadline(); on && !ceased && (d.IsZero() || d.Sub(last) > max(interval, 3*time.Second)) {
				t.Fatalf("the next is in %v", d.Sub(last))
			}
			if !asked.IsZero() && on && !ceased && s.Deadline().Sub(asked) > 3500*time.Millisecond {
				t.Fatalf("an answer after %v", s.Deadline().Sub(asked))
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			in := rapid.SampledFrom([]ra.Input{ra.Tick, ra.Start, ra.Start, ra.Stop, ra.Solicit, ra.Solicit, ra.Change, ra.Cease}).Draw(t, "input")
			wait := time.Duration(rapid.Int64Range(0, int64(interval)).Draw(t, "wait"))
			if rapid.Bool().Draw(t, "short") {
				wait /= 1000
			}
			for end := now.Add(wait); ; {
				d := s.Deadline()
				if d.IsZero() || d.After(end) {
					now = end
					break
				}
				now = d
				step(ra.Tick)
			}
			switch in {
			case ra.Start:
				on, ceased = true, false
			case ra.Stop:
				on, ceased, asked = false, false, time.Time{}
			case ra.Cease:
				ceased = on
			case ra.Solicit:
				if on && !ceased && asked.IsZero() {
					asked = now
				}
			}
			step(in)
		}
	})
}

func TestParamsString(t *testing.T) {
	a := ra.Params{Interval: 600 * time.Second, Lifetime: 1800 * time.Second, HopLimit: 64, Preference: ra.Medium, OnLink: true, Autonomous: true,
		Prefixes: []netip.Prefix{netip.MustParsePrefix("2001:db8:2::/64"), netip.MustParsePrefix("2001:db8:1::/64")},
		Valid:    ra.DefaultValid, Preferred: ra.DefaultPrefer, Managed: true, MTU: 1400,
		RDNSS: []netip.Addr{netip.MustParseAddr("2001:db8::53")}, DNSSL: []string{"example.org"}}
	const want = "interval 10m0s lifetime 30m0s hop_limit 64 managed mtu 1400 preference medium prefix 2001:db8:1::/64 prefix 2001:db8:2::/64 " +
		"onlink true autonomous true valid 720h0m0s preferred 168h0m0s rdnss 2001:db8::53 dnssl example.org"
	if got := a.String(); got != want {
		t.Errorf("%s", got)
	}
	b := a
	slices.Reverse(b.Prefixes)
	if !a.Same(&b) {
		t.Error("the order of prefixes counts")
	}
	seen := map[string]bool{a.String(): true}
	for _, change := range []func(*ra.Params){
		func(p *ra.Params) { p.Interval++ }, func(p *ra.Params) { p.Lifetime = 0 }, func(p *ra.Params) { p.HopLimit = 0 },
		func(p *ra.Params) { p.Managed = false }, func(p *ra.Params) { p.Other = true }, func(p *ra.Params) { p.MTU = 0 },
		func(p *ra.Params) { p.Preference = ra.High }, func(p *ra.Params) { p.Prefixes = nil }, func(p *ra.Params) { p.OnLink = false },
		func(p *ra.Params) { p.Autonomous = false }, func(p *ra.Params) { p.Valid++ }, func(p *ra.Params) { p.Preferred++ },
		func(p *ra.Params) { p.RDNSS = nil }, func(p *ra.Params) { p.DNSSL = nil },
	} {
		c := a
		change(&c)
		if s := c.String(); seen[s] {
			t.Errorf("not told apart: %s", s)
		} else {
			seen[s] = true
		}
	}
}

func ExampleSchedule() {
	s := ra.NewSchedule(10*time.Minute, die(0))
	now := time.Unix(0, 0)
	fmt.Println(s.Step(now, ra.Start), s.Deadline().Sub(now))
	now = now.Add(5 * time.Second)
	fmt.Println(s.Step(now, ra.Solicit), s.Deadline().Sub(now))
	fmt.Println(s.Step(now, ra.Tick))
	fmt.Println(s.Step(now, ra.Stop), s.Deadline().IsZero())
	// Output:
	// {true false} 16s
	// {true false} 16s
	// {false false}
	// {false false} true
}
