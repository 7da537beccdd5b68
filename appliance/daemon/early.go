package daemon

import (
	"slices"

	"understudy/appliance"
	"understudy/appliance/identity"
)

// crowd is how many addresses are so many that the first must not wait for the last
// to be announced: more than one batch of the kernel's.
const crowd = 128

// early announces addresses as they come into the kernel. What Core asks for when all
// of them are there goes on from it.
type early struct {
	announce interface {
		begin(group string, addresses []identity.Address)
		withdraw(group string)
	}
	begun map[string]bool // groups some of whose addresses were announced
}

// adding returns what is to be done with each part of the wanted identity that comes
// into the kernel; nil: nothing.
//
// What is on a device of IPv6 waits for the whole: its gate is opened last.
func (e *early) adding(w appliance.Want, want identity.Identity) func([]identity.Address) {
	if e.announce == nil || len(want.Addresses) <= crowd {
		return nil
	}
	_, late := byFamily(gatedDevices(want))
	group := make(map[identity.Address]string, len(want.Addresses))
	for _, g := range w.Groups {
		if !g.Active {
			continue
		}
		for _, a := range g.Identity.Addresses {
			if !slices.Contains(late, a.Interface) {
				group[a] = g.Name
			}
		}
	}
	return func(added []identity.Address) {
		parts := make(map[string][]identity.Address)
		for _, a := range added {
			if g, ok := group[a]; ok {
				parts[g] = append(parts[g], a)
			}
		}
		for g, part := range parts {
			e.note(g)
			e.announce.begin(g, part)
		}
	}
}

func (e *early) note(group string) {
	if e.begun == nil {
		e.begun = make(map[string]bool)
	}
	e.begun[group] = true
}

// stop ends what was announced of a group that is not here after all. Core, which has
// not asked for it, does not do so.
func (e *early) stop(group string) {
	if e.begun[group] {
		delete(e.begun, group)
		e.announce.withdraw(group)
	}
}
