package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/appliance/identity"
	"understudy/appliance/kernel"
)

// The holder's seams: what it needs of each edge, no more.
type (
	// sessionPlane is the replication engine; nil where nothing is replicated.
	sessionPlane interface {
		// Activate makes this node the owner of the group's records and returns
		// once the kernel has every session that came over the link, or its time
		// for that is over.
		Activate(ctx context.Context, group string, term uint64) error
		// Deactivate makes it a standby for the group.
		Deactivate(group string)
	}
	gateKeeper interface {
		OpenGate(addresses []netip.Addr, devices ...string) error
		CloseGate(addresses []netip.Addr, devices ...string) error
		SetUnknown(reset bool) error
	}
	addressBook interface {
		// ApplyEach calls each with what was added, batch by batch.
		ApplyEach(id identity.Identity, each func([]identity.Address)) (kernel.Outcome, error)
		Held() (identity.Identity, error)
	}
)

// holder makes kernel and session plane match a Want, in the order that never
// lets an address attract a packet whose session is not there:
//
//	giving up:  gate closed → sessions handed over → rules, routes, addresses removed → (later) devices down
//	taking:     sessions in the kernel → gate open → devices up → addresses, routes, rules added
//	            → gate of IPv6 devices open
//
// Of many addresses the first are announced while the last are added.
//
// What enters by a device of IPv6 is let in last: where the box has no other address
// of the network behind, it asks for the neighbours there in the name of the device's,
// and must have that first to be answered.
//
// It runs in one lane and remembers what it did, for the session plane only: the
// kernel edges read back for themselves.
type holder struct {
	sessions  sessionPlane // may be nil
	gate      gateKeeper
	addresses addressBook
	// gated names the addresses and devices behind a group's gate.
	gated func(group string) ([]netip.Addr, []string)
	// settle has done what was left for later because it is slow; it does not wait.
	settle func()
	early  early

	active map[string]uint64 // groups whose sessions are ours, and their term
	held   identity.Identity // what the last Want asked for and got
	reset  *bool             // the policy for unknown connections that was last set
}

func (h *holder) Hold(ctx context.Context, w appliance.Want) appliance.Applied {
	out := appliance.Applied{Gen: w.Gen, Failed: map[string]error{}}
	fail := func(group string, err error) {
		if err != nil {
			out.Failed[group] = errors.Join(out.Failed[group], err)
		}
	}
	if h.active == nil {
		h.active = make(map[string]uint64)
	}
	phase := stopwatch{time.Now()}
	h.giveUp(w, fail)
	phase.lap(&out.Took.Gate)
	h.takeSessions(ctx, w, fail)
	phase.lap(&out.Took.Sessions)
	fail("", h.setUnknown(w.Unknown))
	for _, g := range w.Groups {
		if g.Active {
			addresses, devices := h.gated(g.Name)
			early, _ := byFamily(devices)
			fail(g.Name, h.gate.OpenGate(addresses, early...))
		}
	}
	phase.lap(&out.Took.Gate)
	h.setAddresses(w, &out, fail)
	phase.lap(&out.Took.Addresses)
	for _, g := range w.Groups {
		_, devices := h.gated(g.Name)
		if _, late := byFamily(devices); g.Active && len(late) > 0 && out.Failed[g.Name] == nil {
			fail(g.Name, h.gate.OpenGate(nil, late...))
		}
	}
	phase.lap(&out.Took.Gate)
	for group := range out.Failed {
		h.early.stop(group)
	}
	h.settle()
	if len(out.Failed) == 0 {
		out.Failed = nil
	}
	return out
}

// stopwatch times what is done one after the other.
type stopwatch struct{ last time.Time }

// lap adds the time since the last lap to d.
func (s *stopwatch) lap(d *time.Duration) {
	now := time.Now()
	*d += now.Sub(s.last)
	s.last = now
}

// byFamily tells devices of IPv4 from those of IPv6.
func byFamily(devices []string) (four, six []string) {
	for _, name := range devices {
		if (identity.Device{Name: name}).Family() == 6 {
			six = append(six, name)
		} else {
			four = append(four, name)
		}
	}
	return four, six
}

// giveUp closes the gates of what is not ours and hands its sessions over. It
// also covers groups that a reload has taken out of the configuration.
func (h *holder) giveUp(w appliance.Want, fail func(string, error)) {
	wanted := make(map[string]bool)
	for _, g := range w.Groups {
		wanted[g.Name] = g.Active
		if !g.Active {
			addresses, devices := h.gated(g.Name)
			fail(g.Name, h.gate.CloseGate(addresses, devices...))
			h.early.stop(g.Name)
		}
	}
	for group := range h.active {
		if wanted[group] {
			continue
		}
		h.early.stop(group)
		if h.sessions != nil {
			h.sessions.Deactivate(group)
		}
		delete(h.active, group)
	}
}

func (h *holder) takeSessions(ctx context.Context, w appliance.Want, fail func(string, error)) {
	for _, g := range w.Groups {
		if term, ok := h.active[g.Name]; !g.Active || ok && term == g.Term {
			continue
		}
		if h.sessions != nil {
			err := h.sessions.Activate(ctx, g.Name, g.Term)
			// Not a reason to refuse the identity: flows the peer told us of are
			// in the kernel already, and the reconciling dump goes on behind.
			if err != nil && ctx.Err() == nil && !errors.Is(err, context.DeadlineExceeded) {
				fail(g.Name, fmt.Errorf("sessions: %w", err))
				continue
			}
		}
		h.active[g.Name] = g.Term
	}
}

func (h *holder) setUnknown(p appliance.UnknownPolicy) error {
	reset := p == appliance.UnknownReset
	if h.reset != nil && *h.reset == reset {
		return nil
	}
	if err := h.gate.SetUnknown(reset); err != nil {
		return err
	}
	h.reset = &reset
	return nil
}

func (h *holder) setAddresses(w appliance.Want, out *appliance.Applied, fail func(string, error)) {
	parts := []identity.Identity{w.Static}
	for _, g := range w.Groups {
		if g.Active && out.Failed[g.Name] == nil {
			parts = append(parts, g.Identity)
		}
	}
	want := identity.Union(parts...)
	done, err := h.addresses.ApplyEach(want, h.early.adding(w, want))
	out.Waiting = told(w, done.Waiting, func(x kernel.Waiting) (identity.Identity, string) {
		return identity.Identity{}.WithRoutes(x.Route), x.String()
	})
	out.Refused = told(w, done.Refused, func(x kernel.Refusal) (identity.Identity, string) { return x.What, x.Err.Error() })
	held := without(want, done)
	if err != nil {
		var have identity.Identity
		if have, out.Static = h.blame(w, err, fail); out.Static == nil {
			return
		}
		held = ofThose(held, have)
	}
	// What we had put there before and had to add again was taken away by someone
	// else, or by the kernel with something else.
	for _, g := range w.Groups {
		back := common(h.held, g.Identity, done.Added)
		if len(back.Addresses) > 0 {
			out.Restored = append(out.Restored, g.Name)
		}
		if n := len(back.Addresses) + len(back.Routes) + len(back.Rules); n > 0 {
			if out.PutBack == nil {
				out.PutBack = make(map[string]int)
			}
			out.PutBack[g.Name] = n
		}
	}
	if back := common(h.held, w.Static, done.Added); len(back.Addresses)+len(back.Routes)+len(back.Rules) > 0 {
		if out.PutBack == nil {
			out.PutBack = make(map[string]int)
		}
		out.PutBack[""] = len(back.Addresses) + len(back.Routes) + len(back.Rules)
	}
	h.held = held
}

// ofThose is what of the identity is there, if the kernel has these addresses.
func ofThose(id, have identity.Identity) identity.Identity {
	id.Addresses = slices.DeleteFunc(slices.Clone(id.Addresses), func(a identity.Address) bool { return lacks(have, identity.Identity{Addresses: []identity.Address{a}}) })
	return id
}

// told tells for each group that is Active, and for what is static, what of its routes
// and rules is in the list, and why.
func told[T any](w appliance.Want, list []T, tell func(T) (identity.Identity, string)) (out map[string]string) {
	if len(list) == 0 {
		return nil // as nearly always
	}
	all := func(name string, id identity.Identity) {
		var why []string
		for _, x := range list {
			what, text := tell(x)
			if what = common(id, id, what); len(what.Routes)+len(what.Rules) > 0 {
				why = append(why, text)
			}
		}
		if len(why) > 0 {
			if out == nil {
				out = make(map[string]string)
			}
			out[name] = strings.Join(why, "; ")
		}
	}
	all("", w.Static)
	for _, g := range w.Groups {
		if g.Active {
			all(g.Name, g.Identity)
		}
	}
	return out
}

// without is the identity less the routes and rules that are not there.
func without(id identity.Identity, done kernel.Outcome) identity.Identity {
	id.Routes = slices.DeleteFunc(slices.Clone(id.Routes), func(r identity.Route) bool {
		return slices.ContainsFunc(done.Waiting, func(x kernel.Waiting) bool { return x.Route.Compare(r) == 0 }) ||
			slices.ContainsFunc(done.Refused, func(x kernel.Refusal) bool { return hasRoute(x.What, r) })
	})
	id.Rules = slices.DeleteFunc(slices.Clone(id.Rules), func(r identity.Rule) bool {
		return slices.ContainsFunc(done.Refused, func(x kernel.Refusal) bool { return slices.Contains(x.What.Rules, r) })
	})
	return id
}

// blame finds the groups that lack an address or a device; if none does, but what is
// static, it returns the failure and what is there. Else it belongs to no group
// (something of ours could not be removed).
func (h *holder) blame(w appliance.Want, err error, fail func(string, error)) (have identity.Identity, static error) {
	have, readErr := h.addresses.Held()
	blamed := false
	for _, g := range w.Groups {
		if g.Active && (readErr != nil || lacks(have, g.Identity)) {
			fail(g.Name, err)
			blamed = true
		}
	}
	switch {
	case blamed:
	case readErr == nil && lacks(have, w.Static):
		return have, err
	default:
		fail("", err)
	}
	return have, nil
}

// lacks tells whether an address or a device of want is missing. The kernel may
// have an address in another form than it was asked for: with a full prefix
// length.
func lacks(have, want identity.Identity) bool {
	devices, _ := identity.DiffDevices(have, want)
	return len(devices) > 0 || slices.ContainsFunc(want.Addresses, func(w identity.Address) bool {
		return !slices.ContainsFunc(have.Addresses, func(h identity.Address) bool {
			return h.Interface == w.Interface && h.Prefix.Addr() == w.Prefix.Addr()
		})
	})
}

// common is what is in all of the identities, but for devices.
func common(a, b, c identity.Identity) (out identity.Identity) {
	if c.Equal(identity.Identity{}) {
		return out // as nearly always
	}
	for _, x := range c.Addresses {
		if contains(a, x) && contains(b, x) {
			out.Addresses = append(out.Addresses, x)
		}
	}
	for _, x := range c.Routes {
		if hasRoute(a, x) && hasRoute(b, x) {
			out.Routes = append(out.Routes, x)
		}
	}
	for _, x := range c.Rules {
		if slices.Contains(a.Rules, x) && slices.Contains(b.Rules, x) {
			out.Rules = append(out.Rules, x)
		}
	}
	return out
}

func contains(id identity.Identity, a identity.Address) bool {
	return slices.ContainsFunc(id.Addresses, func(x identity.Address) bool { return x.Compare(a) == 0 })
}

func hasRoute(id identity.Identity, r identity.Route) bool {
	return slices.ContainsFunc(id.Routes, func(x identity.Route) bool { return x.Compare(r) == 0 })
}
