package e2e

import (
	"context"
	"errors"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

// adverts is a recording of the adverts on a segment.
type adverts struct{ c *capture.Capture }

// adverts records those on the LAN.
func (s *scene) adverts() *adverts { s.t.Helper(); return s.advertsOn(s.LAN) }

func (s *scene) advertsOn(seg *lab.Segment) *adverts {
	s.t.Helper()
	c, err := capture.Start(seg, capture.Options{Filter: capture.Protocols(112)})
	s.must(err)
	s.t.Cleanup(func() { _ = c.Stop() })
	return &adverts{c}
}

// of lists when the gateway sent adverts, and how many of them were of priority
// 0.
func (a *adverts) of(g *pair.Gateway) (at []time.Time, zero int) {
	for _, f := range a.c.Frames() {
		if f.From != g.Name {
			continue
		}
		at = append(at, f.At)
		if capture.Decode(f.Data).Priority == 0 {
			zero++
		}
	}
	return at, zero
}

// silence is the longest time between two adverts of the gateway.
func (a *adverts) silence(g *pair.Gateway) (longest time.Duration) {
	return a.silenceBetween(g, time.Time{}, time.Now())
}

// silenceBetween is the same of those that a stretch of time has a part in.
func (a *adverts) silenceBetween(g *pair.Gateway, from, to time.Time) (longest time.Duration) {
	at, _ := a.of(g)
	for i := 1; i < len(at); i++ {
		if at[i].After(from) && at[i-1].Before(to) {
			longest = max(longest, at[i].Sub(at[i-1]))
		}
	}
	return longest
}

// more is a condition: the gateway has sent n more adverts than when more was
// called.
func (a *adverts) more(g *pair.Gateway, n int) func(context.Context) error {
	before, _ := a.of(g)
	return func(context.Context) error {
		if now, _ := a.of(g); len(now) < len(before)+n {
			return errors.New("no adverts of " + g.Name)
		}
		return nil
	}
}
