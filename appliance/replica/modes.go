package replica

import (
	"context"
	"time"

	"understudy/nat/session"
)

// The knobs of the mode are the senders' affair ([session.Knobs]), but for three
// things: which of the kernel's events are read, what makes a change urgent, and that a
// hand-over loses nothing whatever the mode. While one is under way nothing is held
// back and events are read; what came before is found by a dump.

// haste is how long a hand-over may take from its last word on: after that, it was none.
const haste = 10 * time.Second

// knobs are those that count now. Held: e.mu.
func (e *Engine) knobs() session.Knobs {
	k := e.cfg.Knobs
	if !e.hasty.IsZero() {
		k.Every, k.Batch, k.Dump = 0, 0, false
	}
	return k
}

// turn makes senders and event groups follow the knobs. Held: e.mu.
func (e *Engine) turn() error {
	k := e.knobs()
	err := e.join((e.groups.Active()|e.taking) != 0 && !k.Dump)
	for _, p := range e.peers {
		p.sender.SetKnobs(k)
	}
	e.kickSenders()
	return err
}

// letGo sends what is held back. Held: e.mu.
func (e *Engine) letGo() {
	if k := e.knobs(); !k.Holds() {
		return
	}
	for _, p := range e.peers {
		p.sender.Release()
	}
	e.kickSenders()
}

// depends has what a flow depends on told before it. Held: e.mu.
func (e *Engine) depends() {
	if e.cfg.Knobs.Crossing {
		e.letGo()
	}
}

// hasten makes a hand-over last from now on. Held: e.mu.
func (e *Engine) hasten(now time.Time) {
	if e.hasty.IsZero() {
		e.hastened, e.mustRead = now, false
		e.hasty = now.Add(haste) // for turn
		if err := e.turn(); err != nil {
			e.log.Warn("events do not arrive", "err", err)
		}
	}
	e.hasty = now.Add(haste)
	e.comeOfAge(now, true)
}

// settleDown ends a hand-over that is over, or was none. Held: e.mu.
func (e *Engine) settleDown(now time.Time) {
	if e.hasty.IsZero() || e.groups.Active() != 0 && now.Before(e.hasty) {
		return
	}
	e.hasty = time.Time{}
	if err := e.turn(); err != nil {
		e.log.Warn("events still arrive", "err", err)
	}
	if e.cfg.Knobs.Dump {
		e.dumpSoon(now)
	}
}

// unread tells whether sessions of before the hand-over may still be known to the kernel
// alone, because events are not read, some were lost or passed over, or the activation's own
// dump is not through: then one that began after it is to tell of them, and is made. Held:
// e.mu.
func (e *Engine) unread() bool {
	e.mustRead = e.mustRead || e.cfg.Knobs.Dump || e.lost || e.passed || e.owed || e.groups.Partial() != 0 ||
		e.overload.Step() == session.Polling
	if !e.mustRead || !e.compared.Before(e.hastened) {
		return false
	}
	e.reconcile = time.Now()
	kick(e.dump)
	return true
}

// reread waits until all sessions of before the hand-over are known.
func (e *Engine) reread(ctx context.Context) error {
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		e.mu.Lock()
		done := !e.unread()
		e.mu.Unlock()
		if done {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// period is how often the owner reads the kernel's table. Held: e.mu.
func (e *Engine) period() time.Duration {
	if k := e.knobs(); k.Dump {
		return k.Every
	}
	return e.cfg.Reconcile
}

// blind is how long ago the table knew all of this kernel's sessions: no time, where
// events tell them. Held: e.mu.
func (e *Engine) blind(now time.Time) time.Duration {
	if e.groups.Active() == 0 || !e.knobs().Dump {
		return 0
	}
	return now.Sub(e.compared)
}

// lag is how long the oldest change that is not safe at p has waited, be it known here or
// not. Held: e.mu.
func (e *Engine) lag(now time.Time, p *peer) time.Duration {
	return max(p.sender.Lag(now), e.blind(now))
}

// allowed is the lag that the mode brings with it. Held: e.mu.
func (e *Engine) allowed() time.Duration {
	k := e.knobs()
	if k.Dump {
		return k.Every + e.dumpTook
	}
	return k.Bound()
}

// cold are the groups whose sessions this kernel is not to have now. Held: e.mu.
func (e *Engine) cold() session.GroupSet {
	if !e.cfg.Cold {
		return 0
	}
	return e.groups.All() &^ (e.groups.Active() | e.taking)
}

// silence is how long ago the owner of group g said something, that had told all of its
// sessions; 0 if none had. Held: e.mu.
func (e *Engine) silence(now time.Time, g int) time.Duration {
	if at := e.salvages[g].whole; !at.IsZero() {
		return now.Sub(at)
	}
	return 0
}

// Leftovers is how many sessions the kernel would have to be given, at most, if the group
// were activated now.
func (e *Engine) Leftovers(group string) int {
	g, err := e.group(group)
	if err != nil {
		return 0
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if (e.cold() | e.table.Resting()).Has(g) {
		n, _ := e.table.Tally(g)
		return n
	}
	return e.table.Dirty(session.SinkKernel)
}

// needOfTable notes what sessions need that the kernel is not given yet. It looks at a
// slice of the table at a time.
func (e *Engine) needOfTable() {
	var r session.Record
	for from := session.Slot(0); ; from += dumpSlice {
		e.mu.Lock()
		cold := e.cold()
		e.table.Range(from, from+dumpSlice, cold, func(s session.Slot) bool {
			if e.table.Record(s, &r); r.Installable() {
				e.ready.needs.Add(&r)
			}
			return true
		})
		last := cold == 0 || from+dumpSlice >= e.table.Slots()
		e.mu.Unlock()
		if last {
			return
		}
	}
}
