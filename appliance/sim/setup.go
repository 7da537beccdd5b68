package sim

import (
	"net/netip"
	"time"

	"understudy/appliance"
	"understudy/appliance/identity"
	"understudy/vrrp"
)

// perRouter is how many addresses a router can have; a mask has a bit for each.
const perRouter = 3

// mask is a set of addresses: bit router*perRouter+index.
type mask uint16

// setup is a node's configuration file, and what its readers make of it.
type setup struct {
	Node
	extra   int // addresses beyond the first
	set     vrrp.SetConfig
	core    appliance.Config
	members [MaxGroups][]int
	masks   [MaxGroups]mask
}

// virtual is address k of router r.
func (w *World) virtual(r, k int) netip.Addr {
	rt := &w.sc.Routers[r]
	if rt.Family == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 11: byte(rt.Segment), 13: rt.VRID, 15: byte(100 + k)})
	}
	return netip.AddrFrom4([4]byte{10, byte(rt.Segment), rt.VRID, byte(100 + k)})
}

// source is a node's own address. Ties are broken the other way on the second
// segment.
func source(segment, node int, family uint8) netip.Addr {
	host := byte(node + 1)
	if segment == 1 {
		host = 50 - host
	}
	if family == 6 {
		return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 15: host})
	}
	return netip.AddrFrom4([4]byte{10, byte(segment), 0, host})
}

func (w *World) newSetup(name string, n Node, extra int) *setup {
	s := &setup{Node: n, extra: extra}
	s.set.Node = name
	for i, r := range w.sc.Routers {
		rc := vrrp.RouterConfig{Name: r.Name, Interface: segmentNames[r.Segment], VRID: r.VRID, Priority: n.Priority[i],
			Version: r.Version, Interval: n.Interval, Preempt: n.Preempt, PreemptDelay: n.Delay, Settle: n.Settle, Accept: true, Family: r.Family}
		for k := range extra + 1 {
			rc.Addresses = append(rc.Addresses, w.virtual(i, k))
		}
		s.set.Routers = append(s.set.Routers, rc)
	}
	if w.sc.Guard == "hold" {
		s.set.HoldLimit = w.sc.HoldLimit
	}
	s.core = appliance.Config{Node: name, Sessions: w.sc.Sessions, Unknown: appliance.UnknownReset}
	if w.sc.Tracks {
		s.core.Health, s.core.WordBound = w.health(), time.Second
	}
	for g, group := range w.sc.Groups {
		var names []string
		var held []identity.Address
		for _, r := range group.Routers {
			names = append(names, w.sc.Routers[r].Name)
			for k, a := range s.set.Routers[r].Addresses {
				held = append(held, identity.Address{Interface: s.set.Routers[r].Interface, Prefix: netip.PrefixFrom(a, a.BitLen())})
				s.masks[g] |= 1 << (r*perRouter + k)
			}
		}
		s.members[g] = group.Routers
		s.set.Groups = append(s.set.Groups, vrrp.GroupConfig{Name: group.Name, Routers: names})
		s.core.Groups = append(s.core.Groups, appliance.GroupConfig{Name: group.Name, Identity: identity.New(held...),
			Notifies: w.sc.Notify, Prepare: w.sc.Prepare})
	}
	return s
}

// maskOf finds the addresses of an identity.
func (w *World) maskOf(id identity.Identity) (m mask) {
	for _, a := range id.Addresses {
		for r := range w.sc.Routers {
			for k := range perRouter {
				if w.virtual(r, k) == a.Prefix.Addr() {
					m |= 1 << (r*perRouter + k)
				}
			}
		}
	}
	return m
}

// never is the time of what is not going to happen.
const never = int64(1<<63 - 1)

// clock is a node's own: it began at some time, and goes a little wrong.
type clock struct{ epoch, ppm int64 }

// at is what the clock shows at a time of the world.
func (c clock) at(global int64) int64 {
	return c.epoch + global + global/1_000_000*c.ppm + global%1_000_000*c.ppm/1_000_000
}

// when is the first time of the world at which the clock shows local or more.
func (c clock) when(local int64) int64 {
	local -= c.epoch
	if c.ppm == 0 || local <= 0 {
		return max(local, 0)
	}
	g := int64(float64(local) / (1 + float64(c.ppm)/1e6))
	for c.at(g)-c.epoch < local {
		g++
	}
	for g > 0 && c.at(g-1)-c.epoch >= local {
		g--
	}
	return g
}

// stamp is a clock's time as the machines want it.
func stamp(local int64) time.Time { return time.Unix(0, local) }

// nano is the opposite; 0 for the zero time.
func nano(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixNano()
}
