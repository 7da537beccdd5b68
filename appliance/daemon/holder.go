package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/appliance/identity"
)

// The holder's seams: what it needs of each edge, no more.
type (
	// sessionPlane is the replication engine; nil where nothing is replicated.
	sessionPlane interface {
		// Activate makes this node the owner of the group's records and returns
		// once the kernel has every session that came over the link.
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
		Apply(identity.Identity) (added []identity.Address, err error)
		Held() (identity.Identity, error)
	}
)

// activateBound is how long sessions may hold up the identity. An address
// without its sessions is worse than late, but better than none.
const activateBound = 2 * time.Second

// holder makes kernel and session plane match a Want, in the order that never
// lets an address attract a packet whose session is not there:
//
//	giving up:  gate closed → sessions handed over → addresses removed → (later) devices down
//	taking:     sessions in the kernel → gate open → devices up → addresses added
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
	h.giveUp(w, fail)
	h.takeSessions(ctx, w, fail)
	fail("", h.setUnknown(w.Unknown))
	for _, g := range w.Groups {
		if g.Active {
			addresses, devices := h.gated(g.Name)
			fail(g.Name, h.gate.OpenGate(addresses, devices...))
		}
	}
	h.setAddresses(w, &out, fail)
	h.settle()
	if len(out.Failed) == 0 {
		out.Failed = nil
	}
	return out
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
		}
	}
	for group := range h.active {
		if wanted[group] {
			continue
		}
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
			bound, cancel := context.WithTimeout(ctx, activateBound)
			err := h.sessions.Activate(bound, g.Name, g.Term)
			cancel()
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
	var parts []identity.Identity
	for _, g := range w.Groups {
		if g.Active && out.Failed[g.Name] == nil {
			parts = append(parts, g.Identity)
		}
	}
	want := identity.Union(parts...)
	added, err := h.addresses.Apply(want)
	if err != nil {
		h.blame(w, err, fail)
		return
	}
	// An address that we had put there before and had to add again was taken
	// away by someone else.
	for _, g := range w.Groups {
		if containsAny(h.held, g.Identity, added) {
			out.Restored = append(out.Restored, g.Name)
		}
	}
	h.held = want
}

// blame finds the groups that lack an address; if none does, the failure belongs
// to no group (something of ours could not be removed).
func (h *holder) blame(w appliance.Want, err error, fail func(string, error)) {
	have, readErr := h.addresses.Held()
	blamed := false
	for _, g := range w.Groups {
		if g.Active && (readErr != nil || lacks(have, g.Identity)) {
			fail(g.Name, err)
			blamed = true
		}
	}
	if !blamed {
		fail("", err)
	}
}

// lacks tells whether something of want is missing. The kernel may have an
// address in another form than it was asked for: with a full prefix length.
func lacks(have, want identity.Identity) bool {
	devices, _ := identity.DiffDevices(have, want)
	return len(devices) > 0 || slices.ContainsFunc(want.Addresses, func(w identity.Address) bool {
		return !slices.ContainsFunc(have.Addresses, func(h identity.Address) bool {
			return h.Interface == w.Interface && h.Prefix.Addr() == w.Prefix.Addr()
		})
	})
}

// containsAny tells whether one of added is in both identities.
func containsAny(before, now identity.Identity, added []identity.Address) bool {
	for _, a := range added {
		if contains(before, a) && contains(now, a) {
			return true
		}
	}
	return false
}

func contains(id identity.Identity, a identity.Address) bool { return slices.Contains(id.Addresses, a) }
