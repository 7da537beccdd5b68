package replay

import (
	"reflect"
	"time"

	"understudy/appliance"
	"understudy/vrrp/record"
)

// Types are the events and actions of Core, by name.
func Types() map[string]reflect.Type {
	out := make(map[string]reflect.Type)
	for _, v := range []any{
		appliance.Tick{}, appliance.Attached{}, appliance.Transition{}, appliance.Fenced{}, appliance.ElectionLost{},
		appliance.Applied{}, appliance.Synced{}, appliance.TermHeard{}, appliance.Claimed{}, appliance.Guarded{}, appliance.Reclaimed{},
		appliance.CheckChanged{}, appliance.LinkChanged{}, appliance.BondChanged{}, appliance.Drifted{}, appliance.Prepared{}, appliance.Drained{},
		appliance.Failover{}, appliance.Reloaded{}, appliance.Stop{},

		appliance.Hold{}, appliance.Announce{}, appliance.Withdraw{}, appliance.ElectReady{}, appliance.ElectEligible{},
		appliance.ElectHandOver{}, appliance.ElectFault{}, appliance.ElectWeight{}, appliance.ElectOverlap{}, appliance.ElectStop{},
		appliance.ElectRespawn{}, appliance.ElectTerm{}, appliance.ElectNeighbour{}, appliance.DrainSessions{}, appliance.Notify{}, appliance.Prepare{},
		appliance.Reply{}, appliance.Finish{},
	} {
		t := reflect.TypeOf(v)
		out[t.Name()] = t
	}
	return out
}

// Core notes a step of Core on a tape.
func Core(tape *record.Tape) func(time.Time, appliance.Event, []appliance.Action, *appliance.Core) {
	return func(now time.Time, ev appliance.Event, actions []appliance.Action, core *appliance.Core) {
		tape.Do(now, "step", struct{ Event appliance.Event }{ev}, actions, core)
	}
}
