package splicenet

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// Bounds of what is replayed all along.
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
	// shadowRefresh is how often the kernel is told of them again; what a program that was killed has
	// told it is over soon.
	shadowRefresh = 5 * time.Second
	// shadowDoubt is how long packets may be missing in the log: they may still come, and a loss
	// that was of others is told from one that was of this one by what its server says next.
	shadowDoubt = 5 * time.Second
	// shadowAgain is the pause until a connection is replayed all along once more after that
	// failed; twice as long each time.
	shadowAgain    = 2 * time.Second
	shadowAgainMax = 10 * time.Minute
	// shadowUnfit is the pause until the kernel is asked again of one that was no entry point's.
	shadowUnfit = 5 * time.Second
	// shadowTries is how often, unless it went well for a while.
	shadowTries = 5
	shadowWell  = time.Minute
)

// ShadowTable is what is needed of nftables for connections that are replayed all along, which are
// named as their new server knows them. What Shadow does lasts for 20 s.
type ShadowTable interface {
	Shadow(of []splice.Ends) error
	Unshadow(of []splice.Ends) error
	// Silence is Unshadow of those whose server is not to be heard on them any more.
	Silence(of []splice.Ends) error
}

// Heirs tells of connections that called an entry point, and are at a server, whether they are to be
// replayed all along, and where they can go on now, best first. It is called by one at a time.
type Heirs func(entry, server netip.AddrPort) (to []netip.AddrPort, wanted bool)

// Shadows replay connections all along at servers that they may go on at. Its methods may be called
// from several goroutines.
type Shadows struct {
	table  ShadowTable
	log    Log
	kernel *conntrack.Kernel
	sender
	mail  mailbox
	heirs atomic.Pointer[Heirs]
	again atomic.Bool // they are others than when it was looked last

	mu      sync.Mutex
	of      map[splice.Ends]*shadow // by who serves the connection
	without map[splice.Ends]*without
	busy    map[splice.Ends]bool // somebody has the connection go on elsewhere now
	counts  ShadowCounts
	told    time.Time // when the kernel was told of all
	looked  time.Time
}

// ShadowCounts are since a Shadows was opened.
type ShadowCounts struct {
	Begun   uint64
	Dropped map[splice.Reason]uint64 // but those whose connection is over
}

// ShadowStatus is how a Shadows is.
type ShadowStatus struct {
	Connections int // that are replayed all along
	// Without are those that are not, by reason.
	Without map[splice.Reason]int
	ShadowCounts
}

// shadow is a connection that is replayed all along.
type shadow struct {
	ends    splice.Ends // at its server
	with    splice.Ends // at the new one
	entry   netip.AddrPort
	record  *bytelog.Record
	machine *splice.Replay
	isn     uint32
	began   time.Time
	tries   int
	doubt   time.Time // since when packets may be missing
	dirty   bool
	taken   bool
	foreign bool              // somebody else has begun a connection of these ends
	deaf    bool              // its new server may not have heard that it is over
	late    []*splice.Segment // what has come since it was taken
}

// without is a connection that is not replayed all along.
type without struct {
	why   splice.Reason
	tries int
	next  time.Time
	tried []netip.AddrPort // servers that say something else
	seen  bool
}

// OpenShadows opens a Shadows in the network namespace of the calling thread. Until it is told by
// [Shadows.Serve] nothing is replayed. The log has to tell it what comes, by [Shadows.Heard].
func OpenShadows(table ShadowTable, log Log) (*Shadows, error) {
	k, err := conntrack.OpenKernel()
	if err != nil {
		return nil, err
	}
	s := &Shadows{table: table, log: log, kernel: k, of: map[splice.Ends]*shadow{}, without: map[splice.Ends]*without{}, busy: map[splice.Ends]bool{}}
	s.heirs.Store(&noHeirs)
	s.mail.wake, s.counts.Dropped = make(chan struct{}, 1), map[splice.Reason]uint64{}
	if s.sender, err = openSender(); err != nil {
		return nil, errors.Join(fmt.Errorf("splicenet: %w", err), k.Close())
	}
	return s, nil
}

var noHeirs Heirs = func(_, _ netip.AddrPort) ([]netip.AddrPort, bool) { return nil, false }

// Close closes it. Run must have returned.
func (s *Shadows) Close() error { return errors.Join(s.kernel.Close(), s.sender.close()) }

// Heard is to be told of each segment that the log takes.
func (s *Shadows) Heard(p splice.Packet) { s.mail.heard(&p) }

// Serve has connections be replayed all along at these servers from now on, and those at others not any
// more. It waits for nothing.
func (s *Shadows) Serve(h Heirs) {
	s.heirs.Store(&h)
	s.again.Store(true)
	s.mail.ring()
}

// Partner is where a connection is replayed all along, if it is.
func (s *Shadows) Partner(at splice.Ends) (netip.AddrPort, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.of[at]; h != nil {
		return h.with.Server, true
	}
	return netip.AddrPort{}, false
}

// Status is how it is.
func (s *Shadows) Status() ShadowStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := ShadowStatus{Connections: len(s.of), Without: map[splice.Reason]int{}, ShadowCounts: s.counts}
	out.Dropped = maps.Clone(out.Dropped)
	for ends, w := range s.without {
		if s.of[ends] == nil && w.why != splice.Unfit { // which is of no entry point
			out.Without[w.why]++
		}
	}
	return out
}

// Run replays until ctx is done, and then ends all of it.
func (s *Shadows) Run(ctx context.Context) error {
	t := time.NewTimer(0)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			s.mu.Lock()
			defer s.mu.Unlock()
			s.end()
			return nil
		case <-s.mail.wake:
		case <-t.C:
		}
		next, err := s.work(time.Now())
		if err != nil {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.end()
			return err
		}
		t.Reset(time.Until(next))
	}
}

// end ends all.
func (s *Shadows) end() {
	var gone []*shadow
	for _, h := range s.of {
		if s.step(h, time.Now(), splice.Input{Kind: splice.InGone}) != splice.None {
			gone = append(gone, h)
		}
	}
	s.drop(gone)
}

// work does what there is to do, and tells when there will be more.
func (s *Shadows) work(now time.Time) (next time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	gone := s.deliver(now)
	for _, h := range s.of {
		if d := h.machine.Deadline(); !d.IsZero() && !d.After(now) {
			gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InTick})
		}
	}
	s.drop(gone)
	again := s.again.Swap(false)
	if again { // there may be somebody now
		for _, w := range s.without {
			if w.why == splice.Gone {
				w.next = now
			}
		}
	}
	if again || now.Sub(s.looked) >= shadowPeriod {
		s.looked = now
		if err := s.look(now); err != nil {
			return next, err
		}
	}
	if now.Sub(s.told) >= shadowRefresh && len(s.of) > 0 {
		s.told = now
		all := make([]splice.Ends, 0, len(s.of))
		for _, h := range s.of {
			all = append(all, h.with)
		}
		if err := s.table.Shadow(all); err != nil {
			return next, err
		}
	}
	next = s.looked.Add(shadowPeriod)
	for _, h := range s.of {
		if d := h.machine.Deadline(); !d.IsZero() && d.Before(next) {
			next = d
		}
	}
	return next, nil
}

// deliver hands out what was heard, and returns what is over then.
func (s *Shadows) deliver(now time.Time) (gone []*shadow) {
	letters := s.mail.take()
	for i := range letters {
		l := &letters[i]
		switch h := l.of; {
		case h.taken:
			if l.kind == words {
				h.late = append(h.late, &l.segment)
			}
		case s.of[h.ends] != h:
		case l.kind == words:
			gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InServer, Segment: &l.segment})
		case l.kind == foreign:
			h.foreign = true
			gone = s.stepped(gone, h, now, splice.Input{Kind: splice.InGone})
		default:
			gone = s.logged(gone, h, now)
		}
	}
	return gone
}

// logged has a shadow look at the log, unless something may still come that is missing there.
func (s *Shadows) logged(gone []*shadow, h *shadow, now time.Time) []*shadow {
	var why bytelog.Reason
	s.log.With(func(*bytelog.Log) { why = h.record.Refusal() })
	if why == bytelog.Gap || why == bytelog.Lost {
		if h.doubt.IsZero() {
			h.doubt = now
		}
		if now.Sub(h.doubt) < shadowDoubt {
			return gone
		}
	} else {
		h.doubt = time.Time{}
	}
	return s.stepped(gone, h, now, splice.Input{Kind: splice.InLogged})
}

// stepped is step, which notes what is over.
func (s *Shadows) stepped(gone []*shadow, h *shadow, now time.Time, in splice.Input) []*shadow {
	if s.of[h.ends] == h && s.step(h, now, in) != splice.None {
		return append(gone, h)
	}
	return gone
}

// step applies an event. Of one that is over the reason is noted.
func (s *Shadows) step(h *shadow, now time.Time, in splice.Input) splice.Reason {
	out := h.machine.Step(now, in)
	for i := range out.ToServer {
		s.send(h.with.Client, h.with.Server, &out.ToServer[i])
	}
	if out.Refused == splice.None {
		return splice.None
	}
	delete(s.of, h.ends)
	s.mail.close(h)
	w := &without{why: out.Refused, tries: h.tries + 1, seen: true}
	if now.Sub(h.began) > shadowWell {
		w.tries = 1
	}
	if was := s.without[h.ends]; was != nil {
		w.tried = was.tried
	}
	switch out.Refused {
	case splice.Closing:
		return out.Refused // there is nothing to be protected
	case splice.Gone:
		w.tries-- // that is not its fault
		h.deaf = !h.foreign
	case splice.ServerSilent:
		h.deaf = true
	case splice.Diverged, splice.Short, splice.ScaleDiffers:
		w.tried = append(w.tried, h.with.Server)
	}
	s.counts.Dropped[out.Refused]++
	if w.next = now.Add(min(shadowAgain<<min(w.tries, 10), shadowAgainMax)); h.deaf && out.Refused == splice.Gone {
		w.next = now // another can take its place
	}
	s.without[h.ends] = w
	return out.Refused
}

// drop has the kernel forget what is over, and the log what was said there. What the kernel does
// not forget now it forgets after a while.
func (s *Shadows) drop(gone []*shadow) {
	if len(gone) == 0 {
		return
	}
	var over, deaf []splice.Ends
	s.log.With(func(l *bytelog.Log) {
		for _, h := range gone {
			h.record.Follow(false)
			l.End(h.with)
			if h.deaf {
				deaf = append(deaf, h.with)
			} else {
				over = append(over, h.with)
			}
		}
	})
	if len(over) > 0 {
		_ = s.table.Unshadow(over)
	}
	if len(deaf) > 0 {
		_ = s.table.Silence(deaf)
	}
}

// look begins to replay connections that are not yet, and ends it where it is not wanted any more.
func (s *Shadows) look(now time.Time) error {
	heirs := *s.heirs.Load()
	with := map[splice.Ends]bool{}
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
		with[h.with] = true
	}
	s.drop(gone)
	for _, w := range s.without {
		w.seen = false
	}
	var found []*bytelog.Record
	s.log.With(func(l *bytelog.Log) {
		for r := range l.Records() {
			why := r.Refusal()
			w := s.without[r.Ends]
			if w != nil {
				w.seen = why != bytelog.Closed
			}
			if with[r.Ends] || s.of[r.Ends] != nil || s.busy[r.Ends] {
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
	var fresh []*shadow
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

// put notes why a connection is not replayed, until when.
func (s *Shadows) put(of splice.Ends, why splice.Reason, next time.Time) {
	w := s.without[of]
	if w == nil {
		w = &without{}
		s.without[of] = w
	}
	w.why, w.next, w.seen = why, next, true
}

// prepare finds a server for a connection, if it is one of an entry point that wants it.
func (s *Shadows) prepare(now time.Time, r *bytelog.Record, serve Heirs) (*shadow, error) {
	e, err := s.kernel.Get(keyOf(r.Ends))
	if err == conntrack.ErrNotFound {
		s.put(r.Ends, splice.Unfit, now.Add(shadowUnfit))
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	f := flowOf(&Job{Record: e})
	heirs, wanted := serve(f.Entry, r.Ends.Server)
	if !wanted || f.Client != r.Ends.Client || f.From != r.Ends.Server || unfit(&Job{Record: e, Replay: true}) != splice.None {
		s.put(r.Ends, splice.Unfit, now.Add(shadowUnfit))
		return nil, nil
	}
	w := s.without[r.Ends]
	for _, to := range heirs {
		if to == r.Ends.Server || w != nil && slices.Contains(w.tried, to) {
			continue
		}
		with := splice.Ends{Server: to, Client: r.Ends.Client}
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
	why := splice.Gone
	if w != nil && len(w.tried) > 0 {
		why = w.why
	}
	s.put(r.Ends, why, now.Add(shadowAgain))
	return nil, nil
}

// keyOf is what a connection's entry is found by.
func keyOf(e splice.Ends) session.Key {
	k := session.Key{Src: session.AddrFrom(e.Server.Addr()), SrcPort: e.Server.Port(), Dst: session.AddrFrom(e.Client.Addr()), DstPort: e.Client.Port(), Proto: 6, Family: 4}
	if e.Client.Addr().Is6() {
		k.Family = 6
	}
	return k
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

// take gives up the shadow of a connection to who has it go on there; nil: there is none at that
// server. None is begun until it is released.
func (s *Shadows) take(f splice.Flow) *shadow {
	s.mu.Lock()
	defer s.mu.Unlock()
	ends := splice.Ends{Server: f.From, Client: f.Client}
	s.busy[ends] = true
	h := s.of[ends]
	if h == nil || h.with.Server != f.To {
		return nil
	}
	h.taken = true
	delete(s.of, h.ends)
	delete(s.without, h.ends)
	return h
}

// release tells that what became of a connection is decided.
func (s *Shadows) release(f splice.Flow) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.busy, splice.Ends{Server: f.From, Client: f.Client})
}

// rest is what has come since a shadow was taken.
func (s *Shadows) rest(h *shadow) []*splice.Segment {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.drop(s.deliver(time.Now()))
	s.mail.close(h)
	out := h.late
	h.late = nil
	return out
}

// shadowTape keeps the log whole as long as there is room, so that the connection can be replayed
// at another server still.
type shadowTape struct {
	*logTape
	with splice.Ends
}

func (t *shadowTape) Forget(off uint64) {
	t.log.With(func(l *bytelog.Log) {
		one, all := t.record.Pressed()
		if !one && !all {
			return
		}
		t.record.Forget(off)
		t.record.ForgetOutput(t.check.At())
		if all {
			l.End(t.with)
		}
	})
}
