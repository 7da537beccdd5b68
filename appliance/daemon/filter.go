package daemon

import (
	"understudy/appliance/config"
	"understudy/nat"
	"understudy/nat/conntrack"
)

// planOf is the translation that the configuration asks for. Which connection events
// the kernel makes is part of it: what we do not need is left out, unless
// somebody else hears them, whose business we do not know, and the configuration
// does not insist.
func (n *node) planOf(cfg *config.Config) (nat.Plan, error) {
	c := cfg.NAT()
	if c.Events != nil && cfg.Sessions.Filter == config.FilterAuto && n.othersListen() {
		c.Events = nil
	}
	return nat.New(c)
}

func (n *node) othersListen() bool {
	var own []uint32
	if n.sessions != nil {
		own = append(own, n.sessions.EventPort())
	}
	ports, err := conntrack.Listeners(own...)
	if err != nil {
		n.log.Warn("connection events are not filtered", "err", err)
		return true
	}
	return len(ports) > 0
}

// refilter looks again who listens.
func (n *node) refilter() {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	cfg := n.settled.config()
	if cfg.Sessions == nil || cfg.Sessions.Filter != config.FilterAuto {
		return
	}
	plan, err := n.planOf(cfg)
	had := n.settled.current()
	if err == nil && (plan.Events == nil) != (had.Events == nil) {
		if _, err = n.table.Change(plan); err == nil {
			n.settled.setPlan(plan)
			n.log.Info("who hears connection events has changed", "filtered", plan.Events != nil)
		}
	}
	if err != nil {
		n.log.Error("filtering connection events", "err", err)
	}
}
