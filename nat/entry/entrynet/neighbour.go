package entrynet

import (
	"fmt"
	"net/netip"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// Reach is whether a host can be called by its MAC.
type Reach uint8

// What the kernel knows of a host.
const (
	Asked   Reach = iota // the kernel has been told to ask; nobody has answered yet
	Reached              // its MAC is known
	Silent               // nobody answers for the address
	Beyond               // the way there leads over a router, or there is none
)

func (r Reach) String() string {
	return [...]string{"asked", "reached", "nobody answers for its address", "it is on no link of this node"}[r]
}

// Neighbours is the kernel's table of neighbours, in the network namespace of the thread
// that opened it.
type Neighbours struct{ h *netlink.Handle }

// OpenNeighbours opens it.
func OpenNeighbours() (*Neighbours, error) {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("entrynet: neighbours: %w", err)
	}
	return &Neighbours{h}, nil
}

// Close closes it.
func (n *Neighbours) Close() error { n.h.Close(); return nil }

// Look tells of each host whether it can be reached, and has the kernel ask for those of
// which it is not sure.
func (n *Neighbours) Look(hosts []netip.Addr) (map[netip.Addr]Reach, error) {
	out := make(map[netip.Addr]Reach, len(hosts))
	tables := map[int]map[netip.Addr]int{} // by link: state of each
	for _, a := range hosts {
		if _, ok := out[a]; ok {
			continue
		}
		link, ok := n.link(a)
		if !ok {
			out[a] = Beyond
			continue
		}
		if tables[link] == nil {
			list, err := n.h.NeighList(link, unix.AF_UNSPEC)
			if err != nil {
				return nil, fmt.Errorf("entrynet: neighbours: %w", err)
			}
			tables[link] = map[netip.Addr]int{}
			for _, v := range list {
				ip, _ := netip.AddrFromSlice(v.IP)
				tables[link][ip.Unmap()] = v.State
			}
		}
		state := tables[link][a]
		out[a] = reachOf(state)
		if state&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT|netlink.NUD_NOARP|netlink.NUD_INCOMPLETE|netlink.NUD_DELAY|netlink.NUD_PROBE) == 0 {
			// As if there were a packet for it.
			ask := &netlink.Neigh{LinkIndex: link, IP: a.AsSlice(), Flags: netlink.NTF_USE}
			if err := n.h.NeighSet(ask); err != nil {
				return nil, fmt.Errorf("entrynet: neighbour %v: %w", a, err)
			}
		}
	}
	return out, nil
}

func reachOf(state int) Reach {
	switch {
	case state&netlink.NUD_FAILED != 0:
		return Silent
	case state&(netlink.NUD_REACHABLE|netlink.NUD_PERMANENT|netlink.NUD_NOARP|netlink.NUD_STALE|netlink.NUD_DELAY|netlink.NUD_PROBE) != 0:
		return Reached
	}
	return Asked
}

// link is the one that a host is on.
func (n *Neighbours) link(a netip.Addr) (int, bool) {
	routes, err := n.h.RouteGet(a.AsSlice())
	if err != nil || len(routes) == 0 || routes[0].Gw != nil || routes[0].Type != unix.RTN_UNICAST {
		return 0, false
	}
	return routes[0].LinkIndex, true
}
