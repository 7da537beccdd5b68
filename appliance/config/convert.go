package config

import (
	"net/netip"
	"slices"

	"understudy/appliance/identity"
	"understudy/nat"
	"understudy/vrrp"
)

// Election returns what the election has to know.
func (c *Config) Election() vrrp.SetConfig {
	set := vrrp.SetConfig{Node: c.Node, StartupDelay: c.StartupDelay, BootDelay: c.DelayAfterBoot}
	for _, r := range c.Routers {
		rc := vrrp.RouterConfig{
			Name: r.Name, Interface: r.Interface,
			VRID: r.VRID, Priority: r.Priority, Version: r.Version, Auth: r.AuthPass, AuthHeader: r.AuthType == AuthAH && r.AuthPass != "",
			Interval: r.Advertise,
			Preempt:  r.Preempt, PreemptDelay: r.PreemptDelay, Settle: r.Settle,
			Accept:   r.Accept,
			Checksum: vrrp.ChecksumMode(r.Checksum),
			Family:   r.Family, VirtualMAC: r.MAC == MACVirtual,
			Source: r.Source, Peers: r.peers(), Multicast: r.Multicast, AnyFirst: !r.LinkLocal,
			InterfaceMAC: r.AdvertMAC == MACInterface, DownAdverts: r.DownAdverts, Meek: !r.Assert,
			Untracked: !r.TrackOwn, HopLimit: r.UnicastTTL % 255, // 0 is 255
		}
		// Those without a weight are looked at where it is done at once, and goes on
		// without the daemon.
		for _, t := range r.Track {
			if t.Kind == TrackInterface && t.Weight == 0 && !t.Reverse {
				rc.Track = append(rc.Track, t.Name)
			}
		}
		rc.Addresses = slices.Clone(r.Advertised)
		if len(rc.Addresses) == 0 {
			for _, p := range r.Addresses {
				rc.Addresses = append(rc.Addresses, p.Addr())
			}
		}
		set.Routers = append(set.Routers, rc)
	}
	if c.Guard.Mode == GuardHold {
		set.HoldLimit = c.Guard.Limit
	}
	for _, l := range c.Links {
		set.Delays = append(set.Delays, vrrp.LinkDelay{Interface: l.Interface, Down: l.DownDelay, Up: l.UpDelay})
	}
	for _, g := range c.Groups {
		set.Groups = append(set.Groups, vrrp.GroupConfig{Name: g.Name, Routers: slices.Clone(g.Routers)})
	}
	return set
}

// Device returns the link of ours that the router's addresses are on; false if
// they are on the interface itself.
func (r Router) Device() (identity.Device, bool) {
	if r.MAC != MACVirtual {
		return identity.Device{}, false
	}
	return identity.NewDevice(r.Interface, r.VRID, r.Family), true
}

// Devices returns all links of ours that addresses of the router are on: its own, and
// those on interfaces of which single addresses say so.
func (r Router) Devices() (out []identity.Device) {
	if d, ok := r.Device(); ok {
		out = append(out, d)
	}
	if len(r.Virtual) == 0 {
		return out
	}
	for _, p := range r.Held() {
		if d := identity.NewDevice(r.On(p.Addr()), r.VRID, familyOf(p.Addr())); r.Virtual[p.Addr()] && !slices.Contains(out, d) {
			out = append(out, d)
		}
	}
	return out
}

// Devices returns the devices of all routers.
func (c *Config) Devices() (out []identity.Device) {
	for _, r := range c.Routers {
		out = append(out, r.Devices()...)
	}
	return out
}

// Identity returns what a node holds while the group is active: the addresses
// of its routers, as they are written, and those that only translation uses,
// with the devices that they are on. The latter addresses have the full prefix
// length: they are single addresses in a subnet that the interface is in anyway,
// and must not bring another route to it.
func (c *Config) Identity(group string) identity.Identity {
	var held []identity.Address
	var devices []identity.Device
	var routes []identity.Route
	var rules []identity.Rule
	// Asked of every group in turn, so no search through all groups for each router.
	i := slices.IndexFunc(c.Groups, func(g Group) bool { return g.Name == group })
	if i < 0 {
		return identity.Identity{}
	}
	for _, r := range c.Routers {
		if !slices.Contains(c.Groups[i].Routers, r.Name) {
			continue
		}
		devices = append(devices, r.Devices()...)
		held = append(held, c.addressesOf(r)...)
		routes = append(routes, r.Routes...)
		for _, u := range r.Rules {
			rules = append(rules, c.byDevices(u)...)
		}
	}
	return identity.New(held...).With(devices...).WithRoutes(routes...).WithRules(rules...)
}

// addressesOf are those that move with the router, and where they are.
func (c *Config) addressesOf(r Router) (held []identity.Address) {
	on := r.Interface
	if d, ok := r.Device(); ok {
		on = d.Name
	}
	for _, p := range r.Held() {
		held = append(held, identity.Address{Interface: r.link(p.Addr(), on), Prefix: p, Attributes: r.Attributes[p.Addr()]})
	}
	for _, a := range c.translated(r) {
		held = append(held, identity.Address{Interface: on, Prefix: netip.PrefixFrom(a, a.BitLen())})
	}
	return held
}

// byDevices is a rule, and the same for what comes in by the devices on its
// interface: frames to a virtual MAC do, whichever router's it is.
func (c *Config) byDevices(r identity.Rule) []identity.Rule {
	list := []identity.Rule{r}
	for _, d := range c.Devices() {
		if r.In != "" && d.Parent == r.In && d.Family() == r.Family {
			also := r
			also.In = d.Name
			list = append(list, also)
		}
	}
	return list
}

// refused returns the addresses that move with routers which do not accept
// packets to them.
func (c *Config) refused() (out []netip.Addr) {
	for _, r := range c.Routers {
		if r.Accept {
			continue
		}
		on := r.Interface
		if d, ok := r.Device(); ok {
			on = d.Name
		}
		for _, p := range r.Held() {
			if !p.Addr().IsMulticast() {
				out = append(out, onLink(p.Addr(), r.link(p.Addr(), on)))
			}
		}
		out = append(out, c.translated(r)...)
	}
	return out
}

// NAT returns the translation, with the addresses of every group: they are what
// the gate of a group lets in.
func (c *Config) NAT() nat.Config {
	out := nat.Config{Sessions: c.Sessions != nil, Refused: c.refused(), Events: c.events(), Mirror: c.mirror()}
	for _, g := range c.Groups {
		ng := nat.Group{Name: g.Name, Blocks: c.Blocks(g.Name)}
		id := c.Identity(g.Name)
		ng.Addresses = id.Gated()
		for _, d := range id.Devices {
			out.Devices = append(out.Devices, nat.DeviceGate{Device: d.Name, Group: g.Name})
		}
		out.Groups = append(out.Groups, ng)
	}
	if c.Mappings == nil {
		return out
	}
	c.mappings(&out)
	return out
}
