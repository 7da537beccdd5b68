package bench

import (
	"context"
	"net/netip"
	"time"

	"understudy/nat/session"
)

// flowName is a flow by its original direction, as a survivor names it.
type flowName struct {
	protocol            string
	source, destination netip.AddrPort
}

func nameOf(k *session.Key) flowName {
	return flowName{session.ProtocolName(k.Proto), netip.AddrPortFrom(k.Src.Netip(k.Family), k.SrcPort), netip.AddrPortFrom(k.Dst.Netip(k.Family), k.DstPort)}
}

// lossReport is what a survivor says of what its takeover has lost.
type lossReport struct {
	estimated int // by the last word of the one that died; -1: there was none
	found     int // flows that it knows to be lost
	names     map[flowName]bool
}

// lacks counts the flows that should be named and are not. Those that began after the
// crash are nobody's loss.
func (r *lossReport) lacks(seen []sighting, stopped time.Time) (n int) {
	for i := range seen {
		if s := &seen[i]; !s.born.After(stopped) && s.met() && !r.names[nameOf(&s.key)] {
			n++
		}
	}
	return n
}

// naming bounds the wait for a survivor to name what it has met: it looks once a second.
const naming = 5 * time.Second

// reported reads what the survivor says of its takeover, after every flow was used: once
// it names all that it should, or long after it had the time to.
func (m *matrix) reported(ctx context.Context, seen []sighting, stopped time.Time) (*lossReport, error) {
	for until := time.Now().Add(naming); ; {
		all, err := m.standby.Takeovers(ctx)
		if err != nil {
			return nil, err
		}
		r := &lossReport{estimated: -1, names: map[flowName]bool{}}
		if len(all) > 0 {
			t := &all[0]
			if t.LostEstimate != nil {
				r.estimated = *t.LostEstimate
			}
			r.found = t.LostCount
			for _, l := range t.Lost {
				r.names[flowName{l.Flow.Protocol, l.Flow.Source, l.Flow.Destination}] = true
			}
		}
		if r.lacks(seen, stopped) == 0 || time.Now().After(until) {
			return r, nil
		}
		if err := sleep(ctx, 200*time.Millisecond); err != nil {
			return nil, err
		}
	}
}
