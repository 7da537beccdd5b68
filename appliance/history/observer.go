package history

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/health"
	"understudy/vrrp"
)

// Observer makes events of what Core is given and what it decides. The zero value has
// seen nothing; its Log may have been restored.
type Observer struct {
	Log Log

	groups  []*group
	sources []source // what is tracked, by kind and name
	alarms  []appliance.Alarm
	guarded []appliance.Finding
	sync    appliance.Synced
	synced  bool // it has been told
	met     bool // an election has attached
	ordered order

	out []Event
}

// group is what is known of one.
type group struct {
	name    string
	state   vrrp.State
	leaving bool
	known   bool // its state was told
	claimed bool // a peer says that it is Active, too
	weight  int
	unfit   string

	// exchanged: it was a standby when its election made way for another, which has not
	// told of it yet.
	exchanged bool

	open uint64    // the event of its change that goes on; 0: none
	lap  time.Time // end of its last phase
	gen  uint64    // of the Want that is part of it
	told bool      // the Want was answered
}

// source is something tracked that has been heard of.
type source struct {
	kind  Kind
	name  string
	state health.State
	why   string
	since time.Time
}

// order is what an operator has asked for last.
type order struct {
	what string
	at   time.Time
}

// OrderUpgradeElection is the cause of the event that an election makes way for another.
const OrderUpgradeElection = "upgrade-election"

// recent is how long an order counts as a possible reason.
const recent = 30 * time.Second

// Step takes what Core was given and has decided, and returns the events that are new or
// have changed. The slice is valid until the next call.
func (o *Observer) Step(now time.Time, ev appliance.Event, actions []appliance.Action) []Event {
	o.out = o.out[:0]
	o.noteTold(actions)
	switch ev := ev.(type) {
	case appliance.Attached:
		o.onAttached(now, ev)
	case appliance.Transition:
		o.onTransition(now, ev)
	case appliance.Fenced:
		o.become(now, appliance.GroupState{Group: ev.Group, State: vrrp.Initialize}, appliance.CauseFenced, nil)
	case appliance.ElectionLost:
		o.onElectionLost(now, ev)
	case appliance.Prepared:
		o.onPrepared(now, ev)
	case appliance.Applied:
		o.onApplied(now, ev)
	case appliance.Synced:
		o.onSynced(now, ev)
	case appliance.Claimed:
		o.group(ev.Group).claimed = ev.On
	case appliance.Guarded:
		o.guarded = slices.Clone(ev.Findings)
	case appliance.CheckChanged:
		o.onSource(now, Check, ev.Name, ev.State, ev.Why)
	case appliance.BondChanged:
		o.onSource(now, Bond, ev.Name, ev.State, ev.Why)
	case appliance.LinkChanged:
		state := health.Down
		if ev.Up {
			state = health.Up
		}
		o.onSource(now, Link, ev.Name, state, "")
	case appliance.Drifted:
		o.again(now, Event{Kind: Kernel, Cause: "drifted", Text: "the kernel differs from what was asked for: " + ev.Why})
	case appliance.Reclaimed:
		o.add(Event{At: now, Kind: Process, Group: ev.Group, Cause: "reclaimed", Text: ev.Group + ": another node was active too; announced again"})
	case appliance.Failover:
		o.onFailover(now, ev)
	case appliance.Reloaded:
		o.order(now, "reload", "the configuration was loaded again")
	case appliance.Stop:
		o.order(now, "stop", "an orderly stop was asked for")
	}
	o.follow(now, actions)
	return o.out
}

// Note adds what did not come through Core: an order, the life of a process.
func (o *Observer) Note(now time.Time, e Event) []Event {
	o.out = o.out[:0]
	e.At = now
	o.add(e)
	if e.Kind == Operator {
		o.ordered = order{e.Cause, now}
	}
	return o.out
}

// Alarms takes the alarms that are up now, and notes which were raised and cleared since.
func (o *Observer) Alarms(now time.Time, up []appliance.Alarm) []Event {
	o.out = o.out[:0]
	has := func(list []appliance.Alarm, name string) bool {
		return slices.ContainsFunc(list, func(a appliance.Alarm) bool { return a.Name == name })
	}
	for _, a := range up {
		// What is down is told by the check itself.
		if a.Name != appliance.AlarmCheckDown && !has(o.alarms, a.Name) {
			o.add(Event{At: now, Kind: Alarm, Subject: a.Name, To: "raised", Text: a.Name + ": " + a.Detail})
		}
	}
	for _, a := range o.alarms {
		if a.Name != appliance.AlarmCheckDown && !has(up, a.Name) {
			o.add(Event{At: now, Kind: Alarm, Subject: a.Name, From: "raised", To: "cleared",
				Text: a.Name + ": over after " + short(now.Sub(a.Since))})
		}
	}
	o.alarms = append(o.alarms[:0], up...)
	return o.out
}

func (o *Observer) add(e Event) uint64 {
	e = o.Log.Append(e)
	o.out = append(o.out, e.clone())
	return e.ID
}

func (o *Observer) change(k Kind, id uint64, by func(*Event)) {
	if e, ok := o.Log.change(k, id, by); ok {
		o.out = append(o.out, e.clone())
	}
}

// again adds an event, or counts it with the last one if that says the same and is young:
// somebody who removes our addresses in a loop shall not fill the history.
func (o *Observer) again(now time.Time, e Event) {
	e.At = now
	if last := o.Log.others.last(); last != nil && last.Kind == e.Kind && last.Group == e.Group && last.Cause == e.Cause && now.Sub(last.At) < recent {
		o.change(e.Kind, last.ID, func(l *Event) { l.Times, l.Text = max(l.Times, 1)+1, e.Text })
		return
	}
	o.add(e)
}

func (o *Observer) group(name string) *group {
	for _, g := range o.groups {
		if g.name == name {
			return g
		}
	}
	g := &group{name: name}
	o.groups = append(o.groups, g)
	return g
}

func (o *Observer) order(now time.Time, cause, text string) {
	o.ordered = order{cause, now}
	o.add(Event{At: now, Kind: Operator, Cause: cause, Text: text})
}

func (o *Observer) onFailover(now time.Time, ev appliance.Failover) {
	text := "a hand-over of all groups was asked for"
	if ev.Group != "" {
		text = "a hand-over of group " + ev.Group + " was asked for"
	}
	if ev.Force {
		text += ", by force"
	}
	o.ordered = order{"failover", now}
	o.add(Event{At: now, Kind: Operator, Group: ev.Group, Cause: "failover", Text: text})
}

// onAttached compares what the election says with what was last told of each group. A box
// that has just booted has nothing to say yet; of one whose daemon was away it is told
// what happened meanwhile.
func (o *Observer) onAttached(now time.Time, ev appliance.Attached) {
	for _, s := range ev.Groups {
		g := o.group(s.Group)
		if !g.known {
			g.known, g.state = true, o.remembered(s)
		}
		if s.State == vrrp.Initialize && g.exchanged {
			continue
		}
		if g.state != s.State {
			o.become(now, s, appliance.CauseAttached, []string{"it happened while no daemon of this node was there to see it"})
		}
		g.leaving = s.Leaving
	}
	if o.met {
		o.add(Event{At: now, Kind: Process, Cause: "election-back", Text: "the election process tells how things stand"})
	}
	o.met = true
}

// remembered is the state of a group as a daemon before has last told it; of one that
// does not take part, that state.
func (o *Observer) remembered(s appliance.GroupState) vrrp.State {
	if s.State == vrrp.Initialize {
		return s.State
	}
	var last *Event
	for i := range o.Log.transitions.slots {
		if e := &o.Log.transitions.slots[i]; e.Group == s.Group && (last == nil || e.ID > last.ID) {
			last = e
		}
	}
	for _, state := range []vrrp.State{vrrp.Backup, vrrp.Active, vrrp.Fault} {
		if last != nil && last.To == state.String() {
			return state
		}
	}
	return s.State
}

func (o *Observer) onTransition(now time.Time, ev appliance.Transition) {
	g := o.group(ev.Group)
	g.exchanged = false
	switch {
	case ev.Cause == string(vrrp.CauseHeld):
		o.again(now, Event{Kind: Process, Group: g.name, Cause: ev.Cause, Evidence: heardLines(ev.Heard),
			Text: g.name + ": its takeover is put off, a peer says by heartbeat that it is active"})
	case g.known && ev.State == g.state && ev.Leaving && !g.leaving:
		g.leaving = true
		o.add(Event{At: now, Kind: Transition, Group: g.name, From: ev.State.String(), To: ev.State.String(), Leaving: true, Term: ev.Term,
			Cause: ev.Cause, Text: g.name + " is being left, and served on meanwhile: " + reason(ev.Cause, ev.Heard), Evidence: o.evidence(now, g, ev.Heard)})
	case g.known && ev.State == g.state: // a new term
	default:
		o.became(now, ev)
	}
}

// become is a change of state that the election has not told of itself.
func (o *Observer) become(now time.Time, s appliance.GroupState, cause string, evidence []string) {
	g := o.group(s.Group)
	if g.known && g.state == s.State {
		return
	}
	o.began(now, g, appliance.Transition{GroupState: s, Cause: cause}, evidence)
}

func (o *Observer) became(now time.Time, ev appliance.Transition) {
	g := o.group(ev.Group)
	o.began(now, g, ev, o.evidence(now, g, ev.Heard))
}

// began opens the event of a change of state. It is closed when what belongs to the new
// state is in place.
func (o *Observer) began(now time.Time, g *group, ev appliance.Transition, evidence []string) {
	if g.open != 0 {
		o.close(now, g, "", "it did not last until this was done")
	}
	was := vrrp.Initialize
	if g.known {
		was = g.state
	}
	g.known, g.state, g.leaving = true, ev.State, ev.Leaving
	e := Event{At: now.Add(-ev.Late), Kind: Transition, Group: g.name, From: was.String(), To: ev.State.String(), Leaving: ev.Leaving,
		Cause: ev.Cause, Term: ev.Term, Text: sentence(g.name, was, ev), Evidence: evidence}
	if ev.State == vrrp.Active && ev.Cause == string(vrrp.CauseActiveDown) {
		if silence, ok := silence(ev.Heard); ok {
			e.phase(PhaseDetect, silence)
		}
	}
	e.phase(PhaseTold, ev.Late)
	e.Open = ev.State == vrrp.Active || was == vrrp.Active
	id := o.add(e)
	g.open = 0
	if e.Open {
		g.open, g.lap, g.gen, g.told = id, now, 0, false
	}
}

// close ends the event of a change of state: the rest of its time goes to the phase.
func (o *Observer) close(now time.Time, g *group, phase, remark string) {
	id := g.open
	g.open = 0
	o.change(Transition, id, func(e *Event) {
		e.Open = false
		if phase != "" {
			e.phase(phase, now.Sub(g.lap))
		}
		if remark != "" {
			e.Evidence = append(e.Evidence, remark)
		}
	})
}

// follow finds in what Core does which Want belongs to a change of state, and its end.
func (o *Observer) follow(now time.Time, actions []appliance.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case appliance.Hold:
			for _, g := range o.groups {
				if g.open != 0 && g.gen == 0 && holds(a.Want, g.name) == (g.state == vrrp.Active) {
					g.gen = a.Want.Gen
				}
			}
		case appliance.Announce:
			if g := o.group(a.Group); g.open != 0 && g.state == vrrp.Active {
				o.close(now, g, PhaseAnnounce, "")
			}
		case appliance.Reply:
			if a.Err != nil {
				o.add(Event{At: now, Kind: Operator, Cause: "refused", Text: "refused: " + a.Err.Error()})
			}
		}
	}
}

func holds(w appliance.Want, group string) bool {
	i := slices.IndexFunc(w.Groups, func(g appliance.GroupWant) bool { return g.Name == group })
	return i >= 0 && w.Groups[i].Active
}

func (o *Observer) onPrepared(now time.Time, ev appliance.Prepared) {
	if g := o.group(ev.Group); g.open != 0 && g.state == vrrp.Active {
		o.change(Transition, g.open, func(e *Event) { e.phase(PhasePrepare, now.Sub(g.lap)) })
		g.lap = now
	}
}

func (o *Observer) onApplied(now time.Time, ev appliance.Applied) {
	for _, g := range o.groups {
		if g.open == 0 || g.gen == 0 || ev.Gen < g.gen {
			continue
		}
		switch err := ev.Failed[g.name]; {
		case err != nil:
			o.close(now, g, PhaseAddresses, "the kernel refused it: "+err.Error())
		case g.state == vrrp.Active && !g.told:
			g.told = true
			o.change(Transition, g.open, func(e *Event) {
				e.phase(PhaseSessions, ev.Took.Sessions)
				e.phase(PhaseGate, ev.Took.Gate)
				e.phase(PhaseAddresses, ev.Took.Addresses)
			})
			// What is left until the announcement goes to that.
			g.lap = g.lap.Add(min(now.Sub(g.lap), ev.Took.Sessions+ev.Took.Gate+ev.Took.Addresses))
		case g.state != vrrp.Active:
			o.close(now, g, PhaseRemove, "")
		}
	}
	for name, err := range ev.Failed {
		text := "the kernel refused something: " + err.Error()
		if name != "" {
			text = name + ": " + text
		}
		o.again(now, Event{Kind: Kernel, Group: name, Cause: "apply-failed", Text: text})
	}
	if ev.Static != nil {
		o.again(now, Event{Kind: Kernel, Cause: "apply-failed", Text: "the kernel refused something static: " + ev.Static.Error()})
	}
	for name, n := range ev.PutBack {
		what := name
		if what == "" {
			what = "static"
		}
		o.again(now, Event{Kind: Kernel, Group: name, Cause: "put-back", Text: fmt.Sprintf("%s: %d addresses, routes or rules that somebody had removed were put back", what, n)})
	}
}

func (o *Observer) onElectionLost(now time.Time, ev appliance.ElectionLost) {
	resume := make([]string, 0, len(ev.Resume))
	for _, s := range ev.Resume {
		resume = append(resume, s.Group)
	}
	text := "the election process is gone; another one is started"
	if len(resume) > 0 {
		text += ", to go on with " + strings.Join(resume, " ")
	}
	o.add(Event{At: now, Kind: Process, Cause: appliance.CauseElectionLost, Text: text})
	exchanged := o.ordered.what == OrderUpgradeElection && now.Sub(o.ordered.at) < recent
	for _, g := range o.groups {
		if exchanged && g.known && g.state == vrrp.Backup {
			g.exchanged = true // a standby it was, and is: the next election says so
			continue
		}
		if g.known && g.state != vrrp.Initialize && !slices.Contains(resume, g.name) {
			o.become(now, appliance.GroupState{Group: g.name, State: vrrp.Initialize}, appliance.CauseElectionLost, nil)
		}
	}
}

func (o *Observer) onSynced(now time.Time, ev appliance.Synced) {
	was, told := o.sync, o.synced
	o.sync, o.synced = ev, true
	e := Event{At: now, Kind: Peers}
	switch {
	case ev.Connected && !was.Connected && ev.InSync:
		e.To, e.Text = "in-sync", "a peer is connected, every session of it is here"
	case ev.Connected && !was.Connected:
		e.To, e.Text = "connected", "a peer is connected"
	case !ev.Connected && told && was.Connected:
		e.From, e.To, e.Text = "connected", "alone", "no peer is connected any more: a crash now loses every session"
	case ev.InSync && !was.InSync:
		e.From, e.To, e.Text = "connected", "in-sync", "every session of the peers is here"
	case !ev.InSync && was.InSync && ev.Connected:
		e.From, e.To, e.Text = "in-sync", "connected", "the peers' sessions are not all here"
	default:
		return
	}
	o.add(e)
}

// onSource notes what is tracked: a change, or that the first word is a bad one.
func (o *Observer) onSource(now time.Time, kind Kind, name string, state health.State, why string) {
	i := slices.IndexFunc(o.sources, func(s source) bool { return s.kind == kind && s.name == name })
	if i < 0 {
		o.sources = append(o.sources, source{kind: kind, name: name, state: health.Unknown, since: now})
		i = len(o.sources) - 1
	}
	was := o.sources[i]
	o.sources[i].why = why
	if state == was.state {
		return
	}
	o.sources[i].state, o.sources[i].since = state, now
	if was.state == health.Unknown && state == health.Up {
		return
	}
	e := Event{At: now, Kind: kind, Subject: name, From: was.state.String(), To: state.String(), Text: fmt.Sprintf("%s %s is %s", kind, name, state)}
	if why != "" && state != health.Up {
		e.Text += ": " + why
	}
	if was.state != health.Unknown {
		e.Text += ", was " + was.state.String() + " for " + short(now.Sub(was.since))
	}
	o.add(e)
}

// noteTold remembers what the election was told of a group: it goes by it later.
func (o *Observer) noteTold(actions []appliance.Action) {
	for _, a := range actions {
		switch a := a.(type) {
		case appliance.ElectWeight:
			o.group(a.Group).weight = a.Weight
		case appliance.ElectFault:
			g := o.group(a.Group)
			g.unfit = ""
			if a.On {
				g.unfit = a.Reason
			}
		}
	}
}
