package entry

import (
	"fmt"
	"net/netip"
	"strings"
	"time"
)

// Point is an entry point as a kernel has it: whose packets, and where they go.
type Point struct {
	Name          string
	Match         Match
	Six           bool
	Persist       time.Duration
	PersistPrefix int
	Direct        bool
	Tunnel        Tunnel
	Links         []netip.Prefix
	Servers       []netip.AddrPort // by number; the ports of all are 0, or of none
	// Move tells by number whose connections go on at another server when it dies. None: of
	// none.
	Move  []bool
	How   How
	Table Table
}

// Point returns what the kernel has to have now.
func (s *Set) Point() Point {
	p := Point{Name: s.cfg.Name, Match: s.cfg.Match, Six: s.cfg.Six(), Persist: s.cfg.Persist, PersistPrefix: s.cfg.PersistPrefix, Direct: s.cfg.Direct, Tunnel: s.cfg.Tunnel, Links: s.cfg.Links, Servers: s.Addresses(), Table: s.table}
	if s.cfg.OnFailure == Move {
		p.Move, p.How = make([]bool, len(p.Servers)), s.cfg.How
		for i := range s.cfg.Servers {
			p.Move[i] = s.cfg.moves(i)
		}
	}
	return p
}

// KeepsPort tells whether flows keep the port that was called.
func (p Point) KeepsPort() bool { return len(p.Servers) > 0 && p.Servers[0].Port() == 0 }

// Client is what a client is remembered by: its address, or the first one of its prefix.
func (p Point) Client(a netip.Addr) netip.Addr {
	if p.PersistPrefix == 0 {
		return a
	}
	return netip.PrefixFrom(a, p.PersistPrefix).Masked().Addr()
}

// Serves tells whether there is a server for a new flow.
func (p Point) Serves() bool { return len(p.Table.Slots) > 0 }

// String is the point as text, for golden files and logs: how many slots each server
// has.
func (p Point) String() string {
	var b strings.Builder
	how := "in turn"
	if p.Table.ByClient {
		how = "by client"
	}
	if p.Table.ByPort {
		how = "by client and port"
	}
	fmt.Fprintf(&b, "%s %v %s of %d", p.Name, p.Match, how, len(p.Table.Slots))
	switch {
	case p.Tunnel != Tunnel{}:
		fmt.Fprintf(&b, " in %v", p.Tunnel)
	case p.Direct:
		b.WriteString(" direct")
	}
	if p.Table.Remember {
		fmt.Fprintf(&b, " kept %v", p.Persist)
		if p.PersistPrefix > 0 {
			fmt.Fprintf(&b, " by /%d", p.PersistPrefix)
		}
	}
	slots := make([]int, len(p.Servers))
	for _, n := range p.Table.Slots {
		slots[n]++
	}
	for i, a := range p.Servers {
		live := ""
		if !p.Table.Live[i] {
			live = " away"
		}
		fmt.Fprintf(&b, "; %s %d%s", AddressText(a), slots[i], live)
	}
	return b.String()
}
