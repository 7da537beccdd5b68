package pair

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance"
	"understudy/nat/session"
)

// table is a table of flows as anybody shows it: what becomes of a flow, by its name.
// Of its state it has that it is worth an entry: that a TCP connection closes a standby's
// kernel hears when it is over.
type table map[appliance.FlowName]string

// becomes is what a table has of a flow.
func becomes(replySource, replyDestination netip.AddrPort, mark uint32, helper string) string {
	return fmt.Sprintf("back %s > %s mark %d helper %q", replySource, replyDestination, mark, helper)
}

// inKernel is the table of the gateway's kernel, as ctnetlink shows it.
func (g *Gateway) inKernel(context.Context) (table, error) {
	entries, err := g.Entries()
	if err != nil {
		return nil, err
	}
	t := make(table, len(entries))
	for k, r := range entries {
		name := appliance.FlowName{Protocol: session.ProtocolName(k.Proto), Zone: k.Zone,
			Source:      netip.AddrPortFrom(k.Src.Netip(k.Family), k.SrcPort),
			Destination: netip.AddrPortFrom(k.Dst.Netip(k.Family), k.DstPort)}
		t[name] = becomes(netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort),
			netip.AddrPortFrom(r.ReplyDst.Netip(r.Family), r.ReplyDstPort), r.Mark, r.Helper.String())
	}
	return t, nil
}

// inDaemon is the table of the gateway's daemon, as `understudy sessions` shows it.
func (g *Gateway) inDaemon(ctx context.Context) (table, error) {
	c, err := g.connected()
	if err != nil {
		return nil, err
	}
	t := table{}
	err = c.Sessions(ctx, appliance.FlowFilter{}, func(f *appliance.Flow) error {
		t[f.FlowName] = becomes(f.ReplySource, f.ReplyDestination, f.Mark, f.Helper)
		if !f.Own && !f.Installed {
			t[f.FlowName] += ", not in the kernel"
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w from %s: %w", errNoAnswer, g.Name, err)
	}
	return t, nil
}

// Alike returns a condition: the kernels of both gateways and the tables of both
// daemons have the same flows, entry by entry, and the kernels would do the same with
// them. Flows may come and go meanwhile, as for [Pair.Equal].
func (p *Pair) Alike(active *Gateway) func(context.Context) error {
	equal := p.Equal(active)
	type source struct {
		name string
		look func(context.Context) (table, error)
	}
	var sources []source
	for _, g := range []*Gateway{active, p.Other(active)} {
		sources = append(sources, source{"the kernel of " + g.Name, g.inKernel}, source{"the daemon of " + g.Name, g.inDaemon})
	}
	return func(ctx context.Context) error {
		looks := make([][2]table, len(sources))
		for n := range 2 {
			for i, s := range sources {
				var err error
				if looks[i][n], err = s.look(ctx); err != nil {
					return err
				}
				time.Sleep(between / 2)
			}
		}
		for i, s := range sources[1:] {
			d := compare(looks[0], looks[i+1], func(x, y string) bool { return x == y }, showFlow)
			if err := d.in(sources[0].name, s.name); err != nil {
				return err
			}
		}
		return equal(ctx)
	}
}

func showFlow(name appliance.FlowName, becomes string) string {
	return fmt.Sprintf("%s %s > %s zone %d %s", name.Protocol, name.Source, name.Destination, name.Zone, becomes)
}
