package vrrp

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// A switch that is restarted, or a cable that is moved, takes a link away for a moment. With a delay (keepalived's
// interface_up_down_delays) that is no fault: only what has been so for as long counts. What the link was before goes
// on counting until then, its addresses too, and a link that is again as it was has never changed: nobody waits for it
// to settle. An interface that is gone is not waited for, nor is the first word of one.
//
// A link that is down hears no advert. To be in fault before its Active_Down_Timer has run out, a router's own link must
// be waited for less than an interval fewer than there are Active_Down_Adverts; the configuration's affair.

// LinkDelay is how long a link has to stay as it is before that counts; 0: not at all.
type LinkDelay struct {
	Interface string
	Down, Up  time.Duration
}

func validateDelays(list []LinkDelay) error {
	var errs []error
	for i, d := range list {
		switch {
		case d.Interface == "":
			errs = append(errs, errors.New("vrrp: a delay of no interface"))
		case d.Down < 0 || d.Up < 0:
			errs = append(errs, fmt.Errorf("vrrp: delays of %s: they must not be negative", d.Interface))
		case slices.ContainsFunc(list[:i], func(o LinkDelay) bool { return o.Interface == d.Interface }):
			errs = append(errs, fmt.Errorf("vrrp: two delays of %s", d.Interface))
		}
	}
	return errors.Join(errs...)
}

// waiting is a link that has become something else, which does not count yet.
type waiting struct {
	news SetInput // the last of it
	came time.Time
	due  time.Time
}

// delay is how long a link has to be up, or down.
func (s *Set) delay(iface string, up bool) time.Duration {
	for _, d := range s.cfg.Delays {
		switch {
		case d.Interface != iface:
		case up:
			return d.Up
		default:
			return d.Down
		}
	}
	return 0
}

// putOff tells whether the news of a link do not count yet.
func (s *Set) putOff(now time.Time, in SetInput) bool {
	i := slices.IndexFunc(s.waiting, func(w waiting) bool { return w.news.Interface == in.Interface })
	was, known := s.links[in.Interface]
	delay := s.delay(in.Interface, in.Up)
	if !known || in.Gone || in.Up == was.up || delay == 0 {
		if i >= 0 {
			s.waiting = slices.Delete(s.waiting, i, i+1)
		}
		return false
	}
	if i < 0 {
		i = len(s.waiting)
		s.waiting = append(s.waiting, waiting{came: now, due: now.Add(delay)})
	}
	in.Sources = slices.Clone(in.Sources) // they are the caller's
	s.waiting[i].news = in
	return true
}

// matured has what has been so for long enough count.
func (s *Set) matured(now time.Time) {
	for i := 0; i < len(s.waiting); {
		w := s.waiting[i]
		if now.Before(w.due) {
			i++
			continue
		}
		s.waiting = slices.Delete(s.waiting, i, i+1)
		s.takeLink(now, w.came, w.news)
	}
}
