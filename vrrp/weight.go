package vrrp

import "time"

// Weighed is the priority to advertise: an owner is not moved (RFC 9568, 6.1), everyone else stays within 1 to 254.
func Weighed(priority uint8, weight int) uint8 {
	if priority == 255 {
		return priority
	}
	return uint8(min(max(int(priority)+weight, 1), 254))
}

// onWeight moves the priority of every member. All of them at once: a peer that outranked one member only would
// wait for the others for ever. An Active says so at once and serves on; whether that costs it the role is for its
// peers to say.
func (s *Set) onWeight(now time.Time, g *group, weight int) {
	g.weight = weight
	moved := false
	for _, r := range g.members {
		cfg := r.m.Config()
		if p := Weighed(r.cfg.Priority, weight); p != cfg.Priority {
			cfg.Priority = p
			r.m.Reconfigure(cfg)
			moved = true
		}
	}
	if !moved || g.state != Active || !g.leaveUntil.IsZero() {
		return
	}
	for _, r := range g.members {
		s.step(now, r, Input{Event: EventAnnounce})
	}
}
