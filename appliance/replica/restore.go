package replica

import (
	"fmt"
	"time"

	"understudy/appliance/replica/journal"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// restore takes the sessions of the journal into the table, where they rest. Nothing
// runs yet.
//
// Above the connection table of before (the daemon alone was restarted) the journal
// counts for nothing but what was resting then: the kernel has what lives, and what it
// has not ended while nobody listened.
func (e *Engine) restore() {
	d := &e.disk
	found, err := d.files.Look()
	if err != nil {
		d.outcome = "not read: " + err.Error()
		e.log.Warn("the journal of sessions was not read", "err", err)
		return
	}
	if found == nil {
		return
	}
	self := d.self
	self.Config = e.cfg.Hash
	head := found.Newest()
	switch {
	case head == nil:
		d.outcome = "refused: no segment of it can be read"
	case head.Node != self.Node:
		d.outcome = fmt.Sprintf("refused: it is the journal of node %q", head.Node)
	case differs(head.Config, self.Config):
		d.outcome = "refused: it was written with other addresses or mappings"
	case self.Kernel.Boot == [16]byte{}:
		d.outcome = "refused: this kernel does not tell which it is"
	}
	if d.outcome != "" {
		e.log.Warn("the journal of sessions is not used", "outcome", d.outcome)
		return
	}
	now := time.Now()
	r := session.NewRestore(e.table, e.groups, e.scope, e.stamp(now), self)
	damage := found.Replay(func(h *session.JournalHead, t session.JournalFrame, body []byte) error {
		switch t {
		case session.FrameHead:
			r.Head(h)
		case session.FrameRecords:
			r.Records(body)
		}
		return nil
	})
	r.Done()
	d.since = now
	stats := r.Stats()
	d.restored = stats.Restored
	d.outcome = fmt.Sprintf("%d sessions restored, %d expired, %d out of scope", stats.Restored, stats.Expired, stats.Scope)
	if head.Kernel == self.Kernel && e.table.Resting() == 0 {
		d.outcome = "not needed: the kernel still has its connections"
	}
	log := e.log.With("sessions", stats.Restored, "expired", stats.Expired, "scope", stats.Scope,
		"refused", stats.Refused, "malformed", stats.Malformed, "full", stats.Full, "took", time.Since(now))
	log.Info("the journal of sessions was read", "outcome", d.outcome)
	if damage != (journal.Damage{}) {
		e.cut(found, damage)
	}
	for g := range e.cfg.Groups {
		if e.table.Resting().Has(g) {
			st := e.groups.At(g)
			d.terms[g] = st.Term
			e.notify(Change{Kind: TermHeard, Group: st.Name, Term: st.Term})
		}
	}
}

// cut takes the damaged part of a journal away and says what is lost.
func (e *Engine) cut(found *journal.Found, damage journal.Damage) {
	e.disk.outcome += fmt.Sprintf(", %d bytes lost", damage.Lost)
	if damage.Tail {
		e.log.Info("the end of the journal of sessions was not written whole", "damage", damage.String())
	} else {
		e.log.Warn("the journal of sessions is damaged; what comes behind is lost", "damage", damage.String())
	}
	if err := found.Cut(damage); err != nil {
		e.log.Warn("the damaged part of the journal stays", "err", err)
	}
}

// wake has the kernel told of the restored sessions of group g, which this node owns
// now; masters come before what they expected. Held: e.mu.
func (e *Engine) wake(now time.Time, g int) {
	d := &e.disk
	if !e.table.Resting().Has(g) {
		return
	}
	e.table.Rouse(1 << uint(g))
	d.wakeAt[g] = time.Time{}
	d.book.Renew()
	var r session.Record
	var related []session.Slot
	n := 0
	e.table.Each(1<<uint(g), func(s session.Slot) bool {
		if !e.table.Rests(s) {
			return true
		}
		e.table.Record(s, &r)
		switch {
		case !e.scope.Groups(&r).Has(g): // the addresses of this node were not all there before
			e.table.Delete(s, e.peerSinks(), now)
			return true
		case r.Master.Family != 0:
			related = append(related, s)
		default:
			e.table.Mark(s, session.Sink(session.SinkKernel), now)
		}
		n++
		return true
	})
	for _, s := range related {
		e.table.Mark(s, session.Sink(session.SinkKernel), now)
	}
	kick(e.install)
	e.log.Info("sessions of the journal go into the kernel", "group", e.groups.At(g).Name, "sessions", n)
}

// wakeOrWait is what an activation does with the restored sessions of group g. heard is
// the group's term before it. If that is higher than theirs somebody has owned the
// group since, and may have kept what is newer: whoever can be asked is asked first,
// for as long as a salvage takes. Held: e.mu.
func (e *Engine) wakeOrWait(now time.Time, g int, heard uint64) {
	if heard <= e.disk.terms[g] {
		e.wake(now, g)
		return
	}
	e.disk.wakeAt[g] = now.Add(e.cfg.Salvage)
}

// watchResting looks after the restored sessions. Held: e.mu.
func (e *Engine) watchResting(now time.Time) {
	d := &e.disk
	if e.table.Resting() == 0 {
		return
	}
	for g := range e.cfg.Groups {
		switch st := e.groups.At(g); {
		case !e.table.Resting().Has(g) || e.taking.Has(g):
		case st.Active && (!e.salvages[g].on || now.After(d.wakeAt[g])):
			e.wake(now, g)
		case !st.Active && now.Sub(d.since) > restFor:
			e.log.Info("sessions of the journal were of no use in time", "group", st.Name)
			e.forgetRestored(now, 1<<uint(g))
		}
	}
}

// forgetRestored removes the sessions of the groups that rest. Held: e.mu.
func (e *Engine) forgetRestored(now time.Time, groups session.GroupSet) {
	if groups &= e.table.Resting(); groups == 0 {
		return
	}
	e.table.Rouse(groups)
	e.disk.book.Renew()
	e.table.Each(groups, func(s session.Slot) bool {
		if e.table.Rests(s) {
			e.table.Delete(s, e.peerSinks(), now)
		}
		return true
	})
}

// rests tells whether the session at s waits for its group to be Active here: no
// kernel is told of it before. Held: e.mu.
func (e *Engine) rests(s session.Slot) bool {
	return e.table.Resting().Has(e.table.Group(s)) && e.table.Rests(s)
}

// overStray: another entry of this kernel has the key of a session of the journal, or
// its translated tuple. If that has been answered it is newer, and stays. Else it is
// of a packet that reached this node before it was Active: its answers are kept away
// by the gate. Held: e.kmu.
func (e *Engine) overStray(r *session.Record, o conntrack.InstallOptions) error {
	other, err := e.kernel.Holder(r)
	if err != nil || other.Status&session.StatusSeenReply != 0 {
		return conntrack.ErrClash
	}
	var res [1]error
	if err := e.kernel.Delete([]session.Key{other.Key}, res[:]); err != nil {
		return err
	}
	if err := e.kernel.Install([]session.Record{*r}, o, res[:]); err != nil {
		return err
	}
	return res[0]
}
