package splicenet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/splice"
)

// shadowRefresh is how often the kernel is told of all connections again; what a program that was
// killed has told it is over soon.
const shadowRefresh = 5 * time.Second

// ShadowTable is what is needed of nftables for connections that are replayed all along, which are
// named as their new server knows them. What Shadow does lasts for 20 s.
type ShadowTable interface {
	Shadow(of []splice.Ends) error
	Unshadow(of []splice.Ends) error
	// Silence is Unshadow of those whose server is not to be heard on them any more.
	Silence(of []splice.Ends) error
}

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
