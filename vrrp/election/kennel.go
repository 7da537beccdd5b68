package election

import (
	"log/slog"
	"sync"
	"sync/atomic"
	"time"
)

// Dog is a timer that resets the machine, or ends the service, unless it is fed.
// Feed must not allocate: there is no collector here.
type Dog interface {
	Feed() error
	// Release stops the timer, at an orderly end. Without it the timer runs on.
	Release() error
}

// DogConfig is a Dog to be kept.
type DogConfig struct {
	Name   string
	Period time.Duration // how often it is fed: a small part of its timeout
	Open   func() (Dog, error)
}

const (
	// vouchEvery is how often the loop says that all is well while a dog is kept.
	vouchEvery = 500 * time.Millisecond
	// vouchLasts is how long its word counts.
	vouchLasts = 4 * vouchEvery
	// dogRetry is the pause after a dog that could not be opened.
	dogRetry = 10 * time.Second
)

// kennel feeds the dogs, each on a goroutine of its own: a device may be slow, and
// the loop waits for nobody. It feeds only on the loop's word: the loop turns, and
// there is a daemon, or has been within its budget. So a dog bites when the kernel
// hangs, when either process does, and when both have died.
//
// Dogs are opened when a daemon has been Ready: a configuration that cannot be run
// with must not reset the machine, again and again. A respawned election opens
// them anew; what its predecessor left runs meanwhile.
type kennel struct {
	dogs    []DogConfig
	log     *slog.Logger
	start   time.Time
	vouched atomic.Int64 // when the loop last gave its word, since start
	next    time.Time    // when it gives it again; zero: no dog is kept

	stopC chan struct{}
	wg    sync.WaitGroup
	state []dogState
}

// dogState is what is shown of a dog.
type dogState struct {
	fed     atomic.Uint64
	trouble atomic.Pointer[string]
	orderly bool // written before stopC is closed
}

func newKennel(dogs []DogConfig, log *slog.Logger) *kennel {
	return &kennel{dogs: dogs, log: log, start: time.Now(), stopC: make(chan struct{}), state: make([]dogState, len(dogs))}
}

// arm opens the dogs, the first time.
func (k *kennel) arm(now time.Time) {
	if len(k.dogs) == 0 || !k.next.IsZero() {
		return
	}
	k.vouch(now)
	for i := range k.dogs {
		k.wg.Go(func() { k.keep(&k.dogs[i], &k.state[i]) })
	}
}

// vouch is the loop's word.
func (k *kennel) vouch(now time.Time) {
	k.vouched.Store(int64(now.Sub(k.start)))
	k.next = now.Add(vouchEvery)
}

// trusts tells whether the loop's word is fresh.
func (k *kennel) trusts() bool {
	return time.Since(k.start)-time.Duration(k.vouched.Load()) < vouchLasts
}

// keep feeds one dog until the end.
func (k *kennel) keep(d *DogConfig, s *dogState) {
	dog := k.open(d, s)
	if dog == nil {
		return
	}
	t := time.NewTicker(d.Period)
	defer t.Stop()
	hungry := false
	for {
		if trusted := k.trusts(); trusted {
			err := dog.Feed()
			if err == nil {
				s.fed.Add(1)
			}
			k.note(d, s, err)
			hungry = false
		} else if !hungry {
			hungry = true
			k.log.Error("the watchdog is not fed any more: the node is not well", "watchdog", d.Name)
		}
		select {
		case <-k.stopC:
			if s.orderly {
				k.note(d, s, dog.Release())
			}
			return
		case <-t.C:
		}
	}
}

func (k *kennel) open(d *DogConfig, s *dogState) Dog {
	for {
		dog, err := d.Open()
		k.note(d, s, err)
		if err == nil {
			k.log.Info("the watchdog is fed", "watchdog", d.Name, "each", d.Period)
			return dog
		}
		select {
		case <-k.stopC:
			return nil
		case <-time.After(dogRetry):
		}
	}
}

// note logs what changes, and remembers it.
func (k *kennel) note(d *DogConfig, s *dogState, err error) {
	was := s.trouble.Load()
	switch {
	case err == nil && was == nil:
	case err == nil:
		s.trouble.Store(nil)
		k.log.Info("the watchdog is well again", "watchdog", d.Name)
	case was == nil || *was != err.Error():
		text := err.Error()
		s.trouble.Store(&text)
		k.log.Error("the watchdog cannot be fed", "watchdog", d.Name, "error", err)
	}
}

// end lets go of the dogs: of an orderly end they are told. It waits a moment for
// a device that is slow.
func (k *kennel) end(orderly bool) {
	for i := range k.state {
		k.state[i].orderly = orderly
	}
	close(k.stopC)
	doneC := make(chan struct{})
	go func() { k.wg.Wait(); close(doneC) }()
	select {
	case <-doneC:
	case <-time.After(time.Second):
	}
}

// DogStats is one dog, to be shown.
type DogStats struct {
	Name    string
	Fed     uint64
	Trouble string // why it cannot be fed; "": it can, or need not yet
}

func (k *kennel) stats() (out []DogStats) {
	for i := range k.dogs {
		s := DogStats{Name: k.dogs[i].Name, Fed: k.state[i].fed.Load()}
		if t := k.state[i].trouble.Load(); t != nil {
			s.Trouble = *t
		}
		out = append(out, s)
	}
	return out
}
