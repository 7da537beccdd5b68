package election

import (
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"understudy/vrrp"
)

// fakeDog counts.
type fakeDog struct {
	opened, fed, released atomic.Int32
	fail                  atomic.Bool
}

func (d *fakeDog) Feed() error {
	if d.fail.Load() {
		return errors.New("it bites")
	}
	d.fed.Add(1)
	return nil
}
func (d *fakeDog) Release() error { d.released.Add(1); return nil }

func (d *fakeDog) config() DogConfig {
	return DogConfig{Name: "dog", Period: time.Second, Open: func() (Dog, error) { d.opened.Add(1); return d, nil }}
}

func TestDogIsFedOnTheLoopsWordOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDog{}
		k := newKennel([]DogConfig{d.config()}, slog.New(slog.DiscardHandler))
		time.Sleep(10 * time.Second)
		if d.opened.Load() != 0 {
			t.Fatal("opened before a daemon was ready")
		}
		k.arm(time.Now())
		for range 20 { // 10 s of a loop that turns
			k.vouch(time.Now())
			time.Sleep(vouchEvery)
		}
		if n := d.fed.Load(); n < 9 || n > 11 || d.opened.Load() != 1 {
			t.Errorf("fed %d times in 10 s, opened %d times", n, d.opened.Load())
		}
		time.Sleep(vouchLasts + time.Second)
		before := d.fed.Load()
		time.Sleep(time.Minute)
		if n := d.fed.Load(); n != before {
			t.Errorf("fed %d times though nobody vouched", n-before)
		}
		k.vouch(time.Now())
		time.Sleep(1100 * time.Millisecond)
		if d.fed.Load() == before {
			t.Error("not fed when all was well again")
		}
		k.arm(time.Now())
		if k.end(true); d.released.Load() != 1 || d.opened.Load() != 1 {
			t.Errorf("released %d times, opened %d times", d.released.Load(), d.opened.Load())
		}
	})
}

// What did not end in order leaves the timer running.
func TestDogIsNotReleasedByAnythingElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDog{}
		k := newKennel([]DogConfig{d.config()}, slog.New(slog.DiscardHandler))
		k.arm(time.Now())
		time.Sleep(time.Second)
		if k.end(false); d.released.Load() != 0 {
			t.Error("released")
		}
	})
}

func TestDogThatCannotBeFedIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := &fakeDog{}
		d.fail.Store(true)
		tries := 0
		missing := DogConfig{Name: "missing", Period: time.Second, Open: func() (Dog, error) { tries++; return nil, errors.New("no such device") }}
		k := newKennel([]DogConfig{d.config(), missing}, slog.New(slog.DiscardHandler))
		k.arm(time.Now())
		synctest.Wait()
		s := k.stats()
		if len(s) != 2 || s[0].Trouble != "it bites" || s[1].Trouble != "no such device" {
			t.Errorf("%+v", s)
		}
		d.fail.Store(false)
		for range 50 {
			k.vouch(time.Now())
			time.Sleep(vouchEvery)
		}
		if s := k.stats(); s[0].Trouble != "" || s[0].Fed == 0 || tries != 3 {
			t.Errorf("%+v, %d tries", s, tries)
		}
		k.end(true)
	})
}

// The loop vouches while there is a daemon, and while one may be back in time; not
// when it has let go of everything.
func TestLoopVouchesWhileThereIsADaemon(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		d := &fakeDog{}
		l.kennel = newKennel([]DogConfig{{Name: "dog", Period: time.Hour, Open: func() (Dog, error) { return d, nil }}}, l.log)
		defer l.kennel.end(false)
		if !l.kennel.next.IsZero() {
			t.Error("vouched for nobody")
		}
		say(Ready{})
		say(Beat{})
		word := func() int64 { return l.kennel.vouched.Load() }
		first := word()
		l.come(t, "a word, for all is well", func() bool { return word() != first && l.kennel.trusts() })
		if at := l.deadline(); at.After(l.now.Add(vouchEvery)) {
			t.Errorf("the loop may sleep until %v", at)
		}
		l.lost = true
		l.kennel.next = l.now
		was := word()
		say(Beat{})
		l.turnFor(2 * vouchEvery)
		if word() != was {
			t.Error("vouched though everything was let go of")
		}
		if l.groups[0].state != vrrp.Backup && l.groups[0].state != vrrp.Active {
			t.Errorf("the group is %v", l.groups[0].state)
		}
	})
}
