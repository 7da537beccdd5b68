package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// weigh has the ladder judge how much there is to do, and does what follows from
// that. Each slice of events begins with it. Held: e.mu.
func (e *Engine) weigh(now time.Time, lost bool) {
	l := session.Load{Lost: lost, Owed: (e.lost || e.passed) && e.groups.Active() != 0, Behind: e.behind(now)}
	l.Fill = e.buffer().Fill()
	if e.passed && l.Fill < 0.5 {
		e.dumpSoon(now) // what was passed over only a dump tells
	}
	was := e.overload.Step()
	if !e.overload.Judge(now, l) {
		return
	}
	step := e.overload.Step()
	e.log.Warn("overload of connection events", "step", step.String(), "before", was.String(), "why", e.overload.Reason(), "spared", e.counters.Spared)
	if was == session.Calm {
		e.counters.Overloads++
	}
	if err := e.join(e.owner); err != nil {
		e.log.Error("events not asked for", "err", err)
	}
	if was == session.Polling || step == session.Polling {
		e.lost = true // what is not told from here on, or was not until here
		e.dumpSoon(now)
		kick(e.dump)
	}
	e.notify(Change{Kind: Overloaded})
}

// behind is how much longer than by the mode the quickest peer has not had what changed.
// A full transfer takes its time, and says nothing. Held: e.mu.
func (e *Engine) behind(now time.Time) time.Duration {
	least := time.Duration(-1)
	for _, p := range e.peers {
		if p.out == nil {
			continue
		}
		lag := time.Duration(0)
		if synced, _ := p.sender.Synced(); synced {
			lag = p.sender.Lag(now) - e.allowed()
		}
		if lag = max(lag, 0); least < 0 || lag < least {
			least = lag
		}
	}
	return max(least, 0)
}

// spare tells whether an event is passed over: a change of a flow that is not
// assured, while there are too many of all. Held: e.mu.
func (e *Engine) spare(ev *conntrack.Event) bool {
	if e.overload.Step() == session.Calm || ev.Kind != conntrack.Update ||
		ev.Has&conntrack.HasStatus == 0 || ev.Rec.Status&session.StatusAssured != 0 {
		return false
	}
	e.counters.Spared++
	e.passed = true
	return true
}

// OverloadStatus is where the engine is on the ladder.
type OverloadStatus struct {
	Step   session.Step
	Since  time.Time
	Reason string // empty while calm
	Buffer conntrack.Buffer
}

// Held: e.mu.
func (e *Engine) overloadStatus() OverloadStatus {
	return OverloadStatus{Step: e.overload.Step(), Since: e.overload.Since(), Reason: e.overload.Reason(), Buffer: e.buffer()}
}

// buffer is the state of the event socket's; nothing, without one. Held: e.mu.
func (e *Engine) buffer() (b conntrack.Buffer) {
	if e.events != nil {
		b, _ = e.events.Buffer() // a socket that can be read can be asked
	}
	return b
}
