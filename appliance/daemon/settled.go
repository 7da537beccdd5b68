package daemon

import (
	"net/netip"
	"slices"
	"sync"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/kernel"
	"understudy/nat"
)

// settled is the configuration in force. A reload replaces it; lanes read it.
type settled struct {
	mu   sync.Mutex
	cfg  *config.Config
	plan nat.Plan
	err  string // why the last reload was refused
}

func (s *settled) set(cfg *config.Config, plan nat.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cfg, s.plan, s.err = cfg, plan, ""
}

// setPlan replaces the plan alone.
func (s *settled) setPlan(plan nat.Plan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.plan = plan
}

func (s *settled) refuse(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err.Error()
}

func (s *settled) config() *config.Config {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cfg
}

// current is the plan in force.
func (s *settled) current() nat.Plan {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan
}

func (s *settled) refused() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// gated names the addresses behind a group's gate.
func (s *settled) gated(group string) ([]netip.Addr, []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.plan.Group(group), s.plan.GroupDevices(group)
}

// coreConfig is what Core needs of the configuration.
func coreConfig(c *config.Config) appliance.Config {
	out := appliance.Config{Node: c.Node, Sessions: c.Sessions != nil, Health: c.Health(), WordBound: c.WordBound(),
		GuardCheck: c.Guard.Check, Static: c.Standing()}
	if c.Mappings != nil && c.Mappings.Unknown == config.UnknownReset {
		out.Unknown = appliance.UnknownReset
	}
	for _, g := range c.Groups {
		told, prepare := notifies(c, g)
		out.Groups = append(out.Groups, appliance.GroupConfig{Name: g.Name, Identity: c.Identity(g.Name), Notifies: told, Prepare: prepare})
	}
	return out
}

// interfaces are those of the routers and their addresses, each once.
func interfaces(c *config.Config) (out []string) {
	for _, r := range c.Routers {
		for _, i := range r.Interfaces() {
			if !slices.Contains(out, i) {
				out = append(out, i)
			}
		}
	}
	return out
}

// watched are the interfaces on which something of ours may be.
func watched(c *config.Config) []string {
	out := interfaces(c)
	for _, a := range c.Static.Addresses {
		if !slices.Contains(out, a.Interface) {
			out = append(out, a.Interface)
		}
	}
	return out
}

// settings are the sysctls that the configuration needs.
func settings(c *config.Config) []kernel.Setting {
	var parents []string
	for _, d := range c.Devices() {
		if d.Family() == 4 { // IPv6 knows no ARP
			parents = append(parents, d.Parent)
		}
	}
	six := slices.ContainsFunc(c.Routers, func(r config.Router) bool { return r.Family == 6 })
	var all []kernel.Setting
	if c.Forwarding {
		all = kernel.Forwarding(six)
	}
	all = append(all, kernel.Settings(interfaces(c), parents)...)
	if c.Sessions != nil && c.Sessions.Mirror != "" {
		strict, err := kernel.StrictReversePath()
		all = append(all, kernel.MirrorSettings(c.Sessions.Mirror, strict || err != nil, six)...)
	}
	return append(all, kernel.AdvertisingSettings(advertisedInterfaces(c))...)
}
