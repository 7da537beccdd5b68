package daemon

import (
	"context"
	"net/netip"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/appliance/replica"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// How connections stand that outlive their servers is told to peers, once they have come to rest: what is
// told of one at work is old when it arrives. Who takes over goes by what was told, until the servers
// say something, and has clients bear it out.

const (
	// standPeriod is how long a connection rests until it is told of, at least. None is told of
	// twice in that time.
	standPeriod = time.Second
	// standsMost is how many are told of in that time; the others come later. With their
	// records they are some 600 KiB.
	standsMost = 10000
	// standPorts is for how many ports of an entry point it is tried which one was called.
	standPorts = 16
)

// standTable is the session plane, where peers are told.
type standTable interface {
	SetStands([]replica.Standing)
	Stands(group string) []replica.Standing
	Standing() map[session.StandClass]int
}

// stands tells peers, and takes what they have told.
type stands struct {
	moves *moves
	whole func([]splice.Ends) []splice.Reason // whether what was said is logged
	table standTable                          // nil: there is no peer
}

// run tells until ctx is done.
func (s *stands) run(ctx context.Context, points func() []entry.Point) {
	tick := time.NewTicker(standPeriod)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if rested := s.moves.rested(standsMost); len(rested) > 0 && s.table != nil {
			s.table.SetStands(s.standings(points(), rested))
		}
	}
}

// standings are what is told of connections at rest.
func (s *stands) standings(points []entry.Point, rested []splice.Rest) (out []replica.Standing) {
	var logged []splice.Ends
	var of [][2]int // places in out that each is about
	for _, r := range rested {
		from := len(out)
		for _, p := range points {
			if i := slices.Index(p.Servers, r.Server); i >= 0 && i < len(p.Move) && p.Move[i] {
				out = append(out, standingsOf(p, r)...)
			}
		}
		if slices.ContainsFunc(out[from:], func(st replica.Standing) bool { return st.Mode != session.ByPosition }) {
			logged, of = append(logged, r.Ends), append(of, [2]int{from, len(out)})
		}
	}
	if len(logged) == 0 {
		return out
	}
	for i, why := range s.whole(logged) {
		for j := range out[of[i][0]:of[i][1]] {
			if st := &out[of[i][0]+j]; st.Mode != session.ByPosition {
				st.Why, st.Whole = uint8(why), why == splice.None
			}
		}
	}
	return out
}

// standingsOf is how a connection stands that is of an entry point, for each port that its client may
// have called.
func standingsOf(p entry.Point, r splice.Rest) (out []replica.Standing) {
	st := session.Stand{Mode: protectionOf(p.How)}
	end, acked, why := r.Position.Ahead()
	st.Why = uint8(why)
	if why == splice.None {
		st.Known, st.End, st.Acked, st.Window = true, end, acked, r.Last.Window
	}
	k := session.Key{Src: session.AddrFrom(r.Client.Addr()), Dst: session.AddrFrom(p.Match.Address), SrcPort: r.Client.Port(), Proto: uint8(nat.TCP), Family: 4}
	if p.Six {
		k.Family = 6
	}
	for port, n := p.Match.Ports.First, 0; n < standPorts; port, n = port+1, n+1 {
		k.DstPort = port
		out = append(out, replica.Standing{Key: k, Server: r.Server, Stand: st, Old: r.Position.Told && why == splice.None})
		if port == p.Match.Ports.Last {
			break
		}
	}
	return out
}

func protectionOf(h entry.How) session.Protection {
	switch h {
	case entry.Replay:
		return session.ByLog
	case entry.Warm:
		return session.ByShadow
	}
	return session.ByPosition
}

// take goes on from what was told of a group, whose packets come this way from now on.
func (s *stands) take(group string, points []entry.Point) {
	if s.table == nil {
		return
	}
	servers := map[netip.AddrPort]bool{}
	for _, p := range points {
		for i, move := range p.Move {
			servers[p.Servers[i]] = servers[p.Servers[i]] || move
		}
	}
	s.moves.take(func(e splice.Ends) bool { return servers[e.Server] }, toldOf(s.table.Stands(group)))
}

// toldOf are the positions among what was told. What is to be replayed has none: nobody here knows what
// was said.
func toldOf(all []replica.Standing) (out []splice.Rest) {
	for _, st := range all {
		if st.Mode != session.ByPosition || !st.Known {
			continue
		}
		m := splice.Mark{End: st.End, Ack: st.Acked, Flags: splice.ACK | splice.PSH, Window: st.Window}
		out = append(out, splice.Rest{Ends: splice.Ends{Server: st.Server, Client: netip.AddrPortFrom(st.Src.Netip(st.Family), st.SrcPort)},
			Position: splice.Position{Last: m, Answer: m, Known: true, Answered: true}})
	}
	return out
}

// standStatus is what a takeover would do with connections of an entry point, as far as is known; nil if
// there are none.
func standStatus(match entry.Match, classes map[session.StandClass]int) *appliance.TakeoverMoves {
	out := &appliance.TakeoverMoves{}
	for c, n := range classes {
		if !match.Takes(nat.TCP, netip.AddrPortFrom(c.Called.Netip(c.Family), c.Port)) {
			continue
		}
		why := splice.Reason(c.Why)
		switch {
		case c.Mode != session.ByPosition:
			why = splice.Unlogged
		case c.Known:
			out.Known += n
			continue
		case why == splice.None:
			why = splice.NoPosition
		}
		if out.Lost == nil {
			out.Lost = map[string]int{}
		}
		out.Lost[why.String()] += n
	}
	if out.Known == 0 && out.Lost == nil {
		return nil
	}
	return out
}
