package pair

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Entries are the flows in a kernel that another gateway has to have, by their
// original tuple.
type Entries map[session.Key]session.Record

// Entries reads the gateway's kernel: what is established and passes through it. An
// end of a flow in the gateway itself makes it its own affair.
func (g *Gateway) Entries() (Entries, error) {
	own, err := g.own()
	if err != nil {
		return nil, err
	}
	var k *conntrack.Kernel
	if err := g.Do(func() (err error) { k, err = conntrack.OpenKernel(); return err }); err != nil {
		return nil, fmt.Errorf("pair: %s: %w", g.Name, err)
	}
	defer k.Close()
	for {
		out := Entries{}
		err := k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
			if r := &ev.Rec; r.Replicable() && !own[r.Src.Netip(r.Family)] && !own[r.ReplySrc.Netip(r.Family)] &&
				!r.Dst.Netip(r.Family).IsMulticast() {
				out[r.Key] = *r
			}
		})
		if err == nil {
			return out, nil
		}
		if !errors.Is(err, conntrack.ErrDumpInterrupted) {
			return nil, fmt.Errorf("pair: %s: %w", g.Name, err)
		}
	}
}

// own are the addresses that make a flow one of the gateway itself.
func (g *Gateway) own() (map[netip.Addr]bool, error) {
	own := map[netip.Addr]bool{LANAddress.Addr(): true, WANAddress.Addr(): true, ServerAddress.Addr(): true,
		LANAddress6.Addr(): true, WANAddress6.Addr(): true}
	for _, l := range g.Links() {
		addrs, err := l.Addrs()
		if err != nil {
			return nil, err
		}
		for _, a := range addrs {
			own[a.Addr()] = true
		}
	}
	return own, nil
}

// same tells whether two kernels would do the same with a flow: its translation and
// whether that is in force, its mark, labels and helper, and whether a TCP connection is
// open. That it is closing a standby's kernel hears when it is over.
func same(a, b session.Record) bool {
	const bits = session.StatusSeenReply | session.StatusAssured | session.StatusSrcNAT | session.StatusDstNAT
	return a.SameBinding(&b) && a.Status&bits == b.Status&bits && a.Mark == b.Mark && a.Labels == b.Labels &&
		a.Helper == b.Helper && a.Master == b.Master && a.SCTP == b.SCTP
}

// between is the time between two looks at tables: what is on its way from one to the
// other has arrived.
const between = 150 * time.Millisecond

// Equal returns a condition: the kernels of both gateways have the same flows, entry
// by entry. Flows may come and go meanwhile: what both looks at one kernel have seen
// must be in the other one when that was looked at in between.
func (p *Pair) Equal(active *Gateway) func(context.Context) error {
	return func(context.Context) error {
		var looks [2][2]Entries // of the active one, of the other
		for n := range 2 {
			for i, g := range []*Gateway{active, p.Other(active)} {
				var err error
				if looks[i][n], err = g.Entries(); err != nil {
					return err
				}
				time.Sleep(between)
			}
		}
		d := compare(looks[0], looks[1], same, func(_ session.Key, r session.Record) string { return r.String() })
		return d.in(active.Name, p.Other(active).Name)
	}
}
