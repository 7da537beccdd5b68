package splicenet

import (
	"net/netip"
	"slices"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// Heirs tells of connections that called an entry point, and are at a server, whether they are to be
// replayed all along, and where they can go on now, best first. It is called by one at a time.
type Heirs func(entry, server netip.AddrPort) (to []netip.AddrPort, wanted bool)

// Partner is where a connection is replayed all along, if it is.
func (s *Shadows) Partner(at splice.Ends) (netip.AddrPort, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.of[at]; h != nil {
		return h.with.Server, true
	}
	return netip.AddrPort{}, false
}

// prepare finds a server for a connection, if it is one of an entry point that wants it.
func (s *Shadows) prepare(now time.Time, r *bytelog.Record, heirs Heirs) (*shadow, error) {
	e, err := s.kernel.Get(keyOf(r.Ends))
	if err == conntrack.ErrNotFound {
		s.put(r.Ends, splice.Unfit, now.Add(shadowUnfit))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := flowOf(&Job{Record: e})
	servers, wanted := heirs(f.Entry, r.Ends.Server)
	if !wanted || f.Client != r.Ends.Client || f.From != r.Ends.Server || unfit(&Job{Record: e, Replay: true}) != splice.None {
		s.put(r.Ends, splice.Unfit, now.Add(shadowUnfit))
		return nil, nil
	}
	w := s.without[r.Ends]
	i := slices.IndexFunc(servers, func(a netip.AddrPort) bool { return a != r.Ends.Server && !w.triedAt(a) })
	if i < 0 {
		why := splice.Gone
		if w != nil && len(w.tried) > 0 {
			why = w.why
		}
		s.put(r.Ends, why, now.Add(shadowAgain))
		return nil, nil
	}
	with := splice.Ends{Server: servers[i], Client: r.Ends.Client}
	// The same client may be at that server, by another entry point and the same port of its own.
	if _, err := s.kernel.Get(keyOf(with)); err != conntrack.ErrNotFound {
		s.put(r.Ends, splice.Unfit, now.Add(shadowUnfit))
		return nil, err
	}
	h := &shadow{ends: r.Ends, with: with, entry: f.Entry, record: r, began: now}
	if w != nil {
		if h.tries = w.tries; h.tries >= shadowTries {
			w.next = now.Add(shadowAgainMax)
			return nil, nil
		}
	}
	added := uint32(e.SeqAdj[1].OffsetAfter)
	s.log.With(func(l *bytelog.Log) {
		l.End(with)
		r.Follow(true)
		h.isn = r.Client.ISN()
		h.machine = splice.NewReplay(&shadowTape{tapeOf(s.log, r, added), with})
	})
	return h, nil
}

// keyOf is what a connection's entry is found by.
func keyOf(e splice.Ends) session.Key {
	k := session.Key{Src: session.AddrFrom(e.Server.Addr()), SrcPort: e.Server.Port(), Dst: session.AddrFrom(e.Client.Addr()), DstPort: e.Client.Port(), Proto: 6, Family: 4}
	if e.Client.Addr().Is6() {
		k.Family = 6
	}
	return k
}
