package daemon

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"understudy/appliance"
	"understudy/appliance/replica"
	"understudy/nat/session"
)

// errNoSessions: there is no [sessions] to look at.
var errNoSessions = errors.New("this node replicates no sessions: its configuration has no [sessions]")

// Sessions calls fn for each session that w selects, until it returns false.
func (n *node) Sessions(ctx context.Context, w appliance.FlowFilter, fn func(*appliance.Flow) bool) error {
	if n.sessions == nil {
		return errNoSessions
	}
	n.sessions.Engine.Sessions(func(s *replica.Session) bool {
		f := appliance.Flow{Group: s.Group, FlowName: flowName(&s.Key), State: tcpState(&s.Record), Mark: s.Mark, Helper: s.Helper.String(),
			Own: s.Local, Installed: s.Installed, Young: s.Young}
		f.ReplySource, f.ReplyDestination = replyTuple(&s.Record)
		return ctx.Err() == nil && (!w.Matches(&f) || fn(&f))
	})
	return ctx.Err()
}

// Diff compares the sessions with those of a peer.
func (n *node) Diff(ctx context.Context, peer string) (*appliance.FlowsDiff, error) {
	if n.sessions == nil {
		return nil, errNoSessions
	}
	d, err := n.sessions.Engine.Diff(ctx, peer)
	if err != nil {
		return nil, err
	}
	out := &appliance.FlowsDiff{Flows: make([]appliance.FlowDifference, 0, len(d.Flows)), DiffSummary: appliance.DiffSummary{
		Peer: d.Peer, Equal: len(d.Flows) == 0 && !d.Truncated, Truncated: d.Truncated, Asked: d.Asked, Counts: map[string]int{}}}
	for i := range d.Flows {
		f := &d.Flows[i]
		fd := appliance.FlowDifference{Group: f.Group, FlowName: flowName(&f.Key), What: f.What.String(), Why: f.Why, Detail: f.Detail}
		if f.ReplyDst != (session.Addr{}) {
			fd.ReplySource, fd.ReplyDestination = replyTuple(&f.Record)
		}
		out.Counts[fd.What+" "+fd.Why]++
		out.Flows = append(out.Flows, fd)
	}
	return out, nil
}

// Takeovers are the reports of the last ones.
func (n *node) Takeovers(context.Context) ([]appliance.TakeoverStatus, error) {
	if n.sessions == nil {
		return nil, errNoSessions
	}
	out := []appliance.TakeoverStatus{}
	for _, t := range n.sessions.Engine.Takeovers() {
		out = append(out, takeoverStatus(&t))
	}
	return out, nil
}

func takeoverStatus(t *replica.Takeover) appliance.TakeoverStatus {
	out := appliance.TakeoverStatus{
		At: t.At, Group: t.Group, Term: t.Term, From: t.From, Sessions: t.Sessions, Hot: t.Hot, Installed: t.Installed,
		Refused: t.Refused, Clashes: t.Clashes, Outlived: t.Outlived, DurationSeconds: t.Duration.Seconds(), HeardSeconds: t.Heard.Seconds(),
		Late: t.Late, LostCount: t.LostCount, Lost: []appliance.LostFlow{},
		Phases: appliance.PhasesStatus{EventsSeconds: t.Phases.Events.Seconds(), LinkSeconds: t.Phases.Link.Seconds(), KernelSeconds: t.Phases.Kernel.Seconds()},
	}
	if t.LostEstimate >= 0 {
		n := t.LostEstimate
		out.LostEstimate = &n
	}
	for i := range t.Lost {
		out.Lost = append(out.Lost, appliance.LostFlow{Flow: flowName(&t.Lost[i].Key), Why: t.Lost[i].Why})
	}
	return out
}

func unprotectedStatus(u replica.Unprotected) appliance.UnprotectedStatus {
	out := appliance.UnprotectedStatus{Total: u.Total(), Peer: u.Peer, Young: u.Young, Dirty: u.Dirty, InFlight: u.InFlight, Refused: u.Refused,
		Unsynced: u.Unsynced, Offloaded: u.Offloaded, Excluded: u.Excluded, NotReplicable: u.NotReplicable, Classes: []appliance.ClassUnprotected{}}
	for _, c := range u.Classes {
		out.Classes = append(out.Classes, appliance.ClassUnprotected(c))
	}
	return out
}

func flowName(k *session.Key) appliance.FlowName {
	return appliance.FlowName{Protocol: session.ProtocolName(k.Proto), Zone: k.Zone,
		Source:      netip.AddrPortFrom(k.Src.Netip(k.Family), k.SrcPort),
		Destination: netip.AddrPortFrom(k.Dst.Netip(k.Family), k.DstPort)}
}

func replyTuple(r *session.Record) (src, dst netip.AddrPort) {
	return netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort), netip.AddrPortFrom(r.ReplyDst.Netip(r.Family), r.ReplyDstPort)
}

// tcpState is the state of a TCP connection as conntrack names it.
func tcpState(r *session.Record) string {
	names := [...]string{"", "syn-sent", "syn-received", "established", "fin-wait", "close-wait", "last-ack", "time-wait", "close", "syn-sent2"}
	if r.TCP.State < session.TCPState(len(names)) {
		return names[r.TCP.State]
	}
	return ""
}

// nameUnknown has the report of a takeover name the connections that the leak guard
// met in their middle.
func (n *node) nameUnknown(now time.Time) {
	if !n.sessions.Recent(now) {
		return
	}
	flows, err := n.table.UnknownFlows()
	if err != nil {
		n.log.Debug("unknown connections not read", "err", err)
	}
	var keys []session.Key
	for _, f := range flows {
		k := session.Key{Src: session.AddrFrom(f.Source.Addr()), Dst: session.AddrFrom(f.Destination.Addr()),
			SrcPort: f.Source.Port(), DstPort: f.Destination.Port(), Proto: 6, Family: 4}
		if f.Source.Addr().Is6() {
			k.Family = 6
		}
		keys = append(keys, k)
	}
	n.sessions.NoteUnknown(keys)
}
