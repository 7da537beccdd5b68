package vrrp

import (
	"net/netip"
	"time"
)

// Heard is what one router of a group has heard of others: what its decisions go by, for
// people.
type Heard struct {
	Router        string
	Family        uint8
	Priority      uint8         // own, as advertised
	Rival         netip.Addr    // heard last; invalid: nobody ever was
	RivalPriority uint8         // 0: it gave the role up
	Silence       time.Duration // since then
	Waits         time.Duration // Active_Down_Interval, by the interval last learned
}

// Heard tells what each router of a group has heard. It allocates: for a change of state, not
// for each advert.
func (s *Set) Heard(now time.Time, name string) []Heard {
	out := []Heard{}
	s.each(name, func(g *group) {
		for _, r := range g.members {
			cfg := r.m.Config()
			h := Heard{Router: r.cfg.Name, Family: r.cfg.Family, Priority: cfg.Priority, Waits: ActiveDown(cfg.Version, cfg.Priority, r.m.Learned())}
			if r.rival.src.IsValid() {
				h.Rival, h.RivalPriority, h.Silence = r.rival.src, r.rival.priority, now.Sub(r.rival.heard)
			}
			out = append(out, h)
		}
	})
	return out
}
