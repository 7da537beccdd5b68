package splicenet

import (
	"slices"
	"time"

	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// Bounds of what is replayed all along, and of the work for it.
const (
	// MaxShadows is how many connections are.
	MaxShadows = 1024
	// shadowsAtOnce is how many are begun in a period, in which those that could be are looked for.
	shadowsAtOnce = 64
	shadowPeriod  = 500 * time.Millisecond
	// shadowLooks is of how many the kernel is asked in that time.
	shadowLooks = 256
	// shadowAge is how old a connection has to be: most are over before, and are not worth it.
	shadowAge = 500 * time.Millisecond
)

// look begins to replay connections that are not yet, and ends it where it is not wanted any more.
func (s *Shadows) look(now time.Time) error {
	heirs := *s.heirs.Load()
	partnered := s.unwanted(now, heirs)
	var fresh []*shadow
	found := s.candidates(now, partnered)
	for i, r := range found {
		if len(fresh) == shadowsAtOnce {
			break
		}
		if len(s.of)+len(fresh) >= MaxShadows {
			for _, r := range found[i:] {
				s.put(r.Ends, splice.TooMany, now.Add(shadowAgain))
			}
			break
		}
		if i == shadowLooks {
			break
		}
		h, err := s.prepare(now, r, heirs)
		if err != nil {
			return err
		}
		if h != nil {
			fresh = append(fresh, h)
		}
	}
	return s.begin(now, fresh)
}

// unwanted ends those that are not in the log any more, and those whose new server is not to be one
// any more. It returns what the others are named at theirs.
func (s *Shadows) unwanted(now time.Time, heirs Heirs) (partnered map[splice.Ends]bool) {
	partnered = map[splice.Ends]bool{}
	var gone, stale []*shadow
	s.log.With(func(l *bytelog.Log) {
		for _, h := range s.of {
			if l.Record(h.ends) != h.record {
				stale = append(stale, h)
			}
		}
	})
	for _, h := range stale {
		gone = s.logged(gone, h, now)
	}
	for _, h := range s.of {
		if to, _ := heirs(h.entry, h.ends.Server); !slices.Contains(to, h.with.Server) {
			gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InGone})
			continue
		}
		partnered[h.with] = true
	}
	s.drop(gone)
	return partnered
}

// candidates are the records of connections that could be replayed and are not, but of those that have to
// wait. Why others are not is forgotten once they are over.
func (s *Shadows) candidates(now time.Time, partnered map[splice.Ends]bool) (found []*bytelog.Record) {
	for _, w := range s.without {
		w.seen = false
	}
	s.log.With(func(l *bytelog.Log) {
		for r := range l.Records() {
			why := r.Refusal()
			w := s.without[r.Ends]
			if w != nil {
				w.seen = why != bytelog.Closed
			}
			if partnered[r.Ends] || s.of[r.Ends] != nil || s.busy[r.Ends] {
				continue
			}
			if why != bytelog.None || now.Sub(r.Began()) < shadowAge || w != nil && now.Before(w.next) {
				continue
			}
			if r.Client.Trimmed() > 0 { // nobody else can hear it from its beginning
				if w != nil {
					w.next = now.Add(shadowAgainMax)
				}
				continue
			}
			found = append(found, r)
		}
	})
	for ends, w := range s.without {
		if !w.seen {
			delete(s.without, ends)
		}
	}
	return found
}

// begin begins to replay, once the kernel knows of it.
func (s *Shadows) begin(now time.Time, fresh []*shadow) error {
	if len(fresh) == 0 {
		return nil
	}
	all := make([]splice.Ends, len(fresh))
	for i, h := range fresh {
		all[i] = h.with
	}
	if err := s.table.Shadow(all); err != nil {
		return err
	}
	var gone []*shadow
	for _, h := range fresh {
		s.counts.Begun++
		s.of[h.ends] = h
		s.mail.open(h)
		gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InShadow})
	}
	s.drop(gone)
	return nil
}
