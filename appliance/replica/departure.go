package replica

import (
	"context"
	"time"

	"understudy/nat/session"
)

// A node gives a group up at once: its gate is shut, its addresses go. What it knew of the
// group's sessions until then it can tell no sooner than the links allow, and what a dump
// has to find, not before that is over; and peers take records from the owner alone. So
// towards its peers, and for its own readers of the kernel, it stays the owner until they
// have received all that there was. Its claim ends in the stream where its records end.
// A new owner takes what it does not know of them, as it does with all that begins at the
// last one during a hand-over; and has it when it is asked for its set, which counts from
// then on.
//
// That is bounded: a peer that reads nothing loses its connection, and after haste it is
// over however much is left. By then a new owner has long found that this node goes on,
// and asks for what it has kept (salvage.go), as it does when the link is lost meanwhile.

// departure is how far that is for a group.
type departure struct {
	began time.Time
	found bool                           // the table has all that there was
	goals [session.MaxPeers]session.Goal // what the peers had to hear then
}

// flushBound is how long a deactivation waits for its end, which mostly takes no time.
// Nothing is lost by not waiting.
const flushBound = 20 * time.Millisecond

// Deactivate makes this node a standby for the group: its sessions stay in the
// kernel until the new owner says otherwise. Peers may yet have to be told of some when
// it returns; see [Engine.Farewell].
func (e *Engine) Deactivate(group string) {
	g, err := e.group(group)
	if err != nil {
		return
	}
	e.mu.Lock()
	active := e.owned().Has(g)
	e.mu.Unlock()
	if !active {
		return
	}
	if _, err := e.readEvents(); err != nil {
		e.log.Warn("last events not read", "group", group, "err", err)
	}
	now := time.Now()
	e.mu.Lock()
	e.hasten(now)
	e.departing |= 1 << uint(g)
	e.departures[g] = departure{began: now}
	e.mu.Unlock()
	e.notify(Change{Kind: SyncChanged, Group: group})
	for !e.gone(1<<uint(g)) && time.Since(now) < flushBound {
		time.Sleep(time.Millisecond)
	}
}

// Farewell waits until the peers have received all that this node has given up, and know
// that it has: to close the engine before throws away what is on its way.
func (e *Engine) Farewell(ctx context.Context) {
	for !e.gone(e.groups.All()) || !e.heard() {
		sleep(ctx, time.Millisecond)
		if ctx.Err() != nil {
			return
		}
	}
}

// gone tells whether the departures of the groups are over.
func (e *Engine) gone(groups session.GroupSet) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.depart(time.Now())
	return e.departing&groups == 0
}

// heard tells whether the connected peers have received everything.
func (e *Engine) heard() bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, p := range e.peers {
		if p.out != nil && !p.sender.Heard() {
			return false
		}
	}
	return true
}

// owned are the groups that are Active here, and are to be. Held: e.mu.
func (e *Engine) owned() session.GroupSet { return e.groups.Active() &^ e.departing }

// depart ends the departures that are over. Held: e.mu.
func (e *Engine) depart(now time.Time) {
	if e.departing == 0 {
		return
	}
	for g := range e.cfg.Groups {
		if !e.departing.Has(g) {
			continue
		}
		d := &e.departures[g]
		if !d.found && !e.unread() {
			d.found = true
			for i, p := range e.peers {
				d.goals[i] = p.sender.Goal()
			}
		}
		told := d.found
		for i, p := range e.peers {
			told = told && p.sender.Reached(&d.goals[i])
		}
		if told || now.Sub(d.began) > haste {
			e.departed(now, g, told)
		}
	}
	if e.departing != 0 {
		e.kickSenders()
	}
}

// departed makes group g one of another node. Held: e.mu.
func (e *Engine) departed(now time.Time, g int, told bool) {
	bit := session.GroupSet(1) << uint(g)
	e.departing &^= bit
	e.groups.Deactivate(g)
	e.table.SetCold(e.cold())
	e.salvages[g].on = false
	e.strict[g] = time.Time{}
	e.unsure &^= bit
	e.release(now, bit)
	e.settleDown(now)
	for _, p := range e.peers {
		p.receiver.Ask(g)
		kick(p.reply)
	}
	e.announce(now, bit)
	e.log.Info("sessions handed over", "group", e.cfg.Groups[g].Name, "told", told, "duration", now.Sub(e.departures[g].began))
	e.notify(Change{Kind: SyncChanged, Group: e.cfg.Groups[g].Name})
}

// release makes our own kernel entries of the groups what a standby's are: held
// beyond their timeouts, and without the check of TCP windows, of which this
// kernel sees no more. Without it every transfer that goes on elsewhere would be
// out of window here by the time it comes back. Held: e.mu.
func (e *Engine) release(now time.Time, groups session.GroupSet) {
	e.table.Each(groups, func(s session.Slot) bool {
		e.table.Offer(s, now)
		return true
	})
	kick(e.install)
}

// stay notes that group g is to be Active here again, and tells whether it was about
// to be given up. Held: e.mu.
func (e *Engine) stay(g int) (back bool) {
	bit := session.GroupSet(1) << uint(g)
	back = e.departing&bit != 0
	e.departing &^= bit
	return back
}
