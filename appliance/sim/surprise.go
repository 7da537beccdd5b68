package sim

import (
	"errors"

	"understudy/appliance"
	"understudy/health"
	"understudy/vrrp"
)

// Set and Core are defined for every input in every state. What comes here comes out
// of turn, as nobody would send it; most of it is true, so that nothing follows.

// poke gives the Set an input out of turn.
func (n *node) poke(in vrrp.SetInput) {
	if n.e == nil || n.e.set == nil || n.eHung {
		return
	}
	n.e.now = n.local()
	n.e.step(in)
	n.wakeElection()
}

// surprise gives the Set an input that nobody gives it in this state.
func (n *node) surprise(a *Act) {
	in := vrrp.SetInput{Group: n.w.sc.Groups[a.G].Name, Reason: "poked"}
	if n.e == nil || n.e.set == nil || !n.e.started && (a.Word == "start" || a.Word == "resume") {
		return // without a daemon that was ready there is nothing to serve with
	}
	switch a.Word {
	case "start":
		in.Kind = vrrp.InStart
	case "tick":
		in.Kind = vrrp.InTick
	case "fault", "fault-fence", "fault-off":
		in.Kind, in.On, in.Fence = vrrp.InFault, a.Word != "fault-off", a.Word == "fault-fence"
		n.poked = n.poked || in.On
		if !in.On && n.e.groups[a.G].fault != "" {
			return // there is a real one
		}
	case "hand-over":
		in.Kind = vrrp.InHandOver
	case "resume":
		in.Kind, in.Term = vrrp.InResume, n.truth.groups[a.G].highest
	case "eligible": // what is true, once more
		in.Kind, in.OK = vrrp.InEligible, !n.e.groups[a.G].refrains
	case "overlap": // to one that serves, what is true
		v := n.e.set.Group(a.G)
		in.Kind, in.OK = vrrp.InOverlap, v.State != vrrp.Active || v.Leaving || n.e.groups[a.G].overlap
	case "vouch", "unvouch": // a heartbeat, by which nobody goes here
		in.Kind, in.On = vrrp.InVouch, a.Word == "vouch"
	case "weight":
		in.Kind, in.Weight = vrrp.InWeight, n.e.groups[a.G].weight
	case "stop", "stop-fence": // and that is the end of it
		in.Kind, in.Fence = vrrp.InStop, a.Word == "stop-fence"
		n.poke(in)
		n.killElection()
		return
	}
	n.poke(in)
}

var errEvent = errors.New("the schedule says so")

// event gives Core an event that nobody gives it in this state.
func (d *daemon) event(a *Act) {
	n := d.n
	name := n.w.sc.Groups[a.G].Name
	if n.dHung {
		return
	}
	switch a.Word {
	case "tick":
		d.step(appliance.Tick{})
	case "attached":
		if n.e != nil && !d.lost && len(n.down.q) == 0 {
			m := n.e.attached()
			d.onMessage(&m)
		}
	case "refused": // as if the kernel had
		d.post(appliance.Applied{Gen: d.gen, Failed: map[string]error{name: errEvent}})
	case "stale":
		d.post(appliance.Applied{Gen: d.gen - 1})
	case "synced":
		if d.toldOnce {
			d.post(d.told)
		}
	case "term":
		d.post(appliance.TermHeard{Group: name, Term: n.truth.groups[a.G].highest})
	case "claimed":
		d.post(appliance.Claimed{Group: name, On: d.claimed[a.G]})
	case "drifted":
		d.post(appliance.Drifted{Why: "so it seems"})
	case "drained":
		d.drained(a.G, true)
	case "not-drained":
		d.drained(a.G, false)
	case "guarded": // by its heartbeats
		d.post(appliance.Guarded{Findings: []appliance.Finding{{Alarm: appliance.AlarmSplitBrain, Group: name}}})
	case "reclaimed":
		d.post(appliance.Reclaimed{Group: name})
	case "prepared": // of an activation that never was
		d.post(appliance.Prepared{Group: name})
	case "bond": // of which nobody has any
		d.post(appliance.BondChanged{Name: "nobody's", State: health.Down, Lost: 1})
	case "check":
		if d.probed {
			n.tellCheck(soft)
		} else {
			d.post(appliance.CheckChanged{Name: "nobody's", State: health.Up})
		}
	case "link":
		if d.probed {
			n.tellLink(tracked)
		} else {
			d.post(appliance.LinkChanged{Name: "nobody's", Up: true})
		}
	}
}
