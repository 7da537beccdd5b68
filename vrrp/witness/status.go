package witness

import (
	"net/netip"
	"time"

	"understudy/vrrp"
)

// Status is a copy of what is worth showing. Times are zero where nothing happened.
type Status struct {
	Mode     Mode
	Interval time.Duration     // of our heartbeats
	Drops    map[string]uint64 // heartbeats of no peer that were refused
	Peers    []PeerStatus
	Findings []Finding
}

// PeerStatus is one peer.
type PeerStatus struct {
	Name      string
	Address   netip.AddrPort
	Last      time.Time // when its last heartbeat came that can be believed
	Interval  time.Duration
	Neighbour Neighbour
	Sent      uint64
	Received  uint64
	Unproven  uint64 // of them, those that said nothing about now
	Drops     map[string]uint64
	Groups    []PeerGroup
}

// PeerGroup is what a peer says of a group.
type PeerGroup struct {
	Name    string
	State   vrrp.State
	Leaving bool
	Term    uint64
	Routers []PeerRouter
}

// PeerRouter is what a peer says of a router.
type PeerRouter struct {
	Name      string
	Interface string // as it is called there
	Priority  uint8
	Source    netip.Addr
	Hears     bool   // our adverts
	Heard     bool   // here: its adverts
	Refuses   string // why it refuses ours; "": it does not
}

// Snapshot copies the status. It allocates; call it for people.
func (g *Guard) Snapshot(now time.Time) Status {
	s := Status{Mode: g.cfg.Mode, Interval: g.every, Drops: dropMap(&g.drops), Peers: []PeerStatus{}, Findings: g.findings}
	for _, p := range g.peers {
		ps := PeerStatus{Name: p.Name, Address: p.Peer.Address, Last: p.heard, Interval: p.interval, Neighbour: p.neighbour,
			Sent: p.sequence, Received: p.received, Unproven: p.unproven, Drops: dropMap(&p.drops), Groups: []PeerGroup{}}
		for i := range g.groups {
			if w := &p.groups[i]; !w.at.IsZero() {
				ps.Groups = append(ps.Groups, g.peerGroup(now, p, i))
			}
		}
		s.Peers = append(s.Peers, ps)
	}
	return s
}

func (g *Guard) peerGroup(now time.Time, p *peer, i int) PeerGroup {
	w := &p.groups[i]
	out := PeerGroup{Name: g.groups[i].name, State: w.state, Leaving: w.leaving, Term: w.term, Routers: []PeerRouter{}}
	for _, r := range g.groups[i].members {
		own, c := &g.routers[r], &p.routers[r]
		if c.at.IsZero() {
			continue
		}
		pr := PeerRouter{Name: own.name, Interface: c.interfaceName(), Priority: c.priority, Source: c.source, Hears: c.hears,
			Heard: own.hears(now, c.source)}
		if c.refuses != vrrp.ReasonNone {
			pr.Refuses = c.refuses.String()
		}
		out.Routers = append(out.Routers, pr)
	}
	return out
}

func dropMap(d *[numReasons]uint64) map[string]uint64 {
	m := make(map[string]uint64)
	for _, r := range Reasons() {
		m[r.String()] = d[r]
	}
	return m
}
