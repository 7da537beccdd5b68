package demo

import (
	"context"
	"fmt"
	"strings"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// Lost is a flow that did not survive, and how that showed.
type Lost struct {
	Flow  string `json:"flow"`
	Cause string `json:"cause"`
}

// total counts the flows that are expected to survive.
func (d *demo) total() int {
	if d.opt.NoSessions {
		return 0
	}
	// The connections, two transfers, the datagrams each way, and the ping.
	return d.traffic.in.Count() + 5
}

// lostSoFar asks every flow for a sign of life since t.
func (d *demo) lostSoFar(ctx context.Context, t time.Time) []Lost {
	if d.opt.NoSessions {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var lost []Lost
	for _, dead := range d.traffic.in.Check(ctx) {
		kind := "in use"
		if dead.Conn%2 == 1 {
			kind = "idle"
		}
		lost = append(lost, Lost{fmt.Sprintf("connection %d (%s)", dead.Conn, kind), dead.Err.Error()})
	}
	for _, s := range d.traffic.named() {
		if stream, ok := s.series.(*probe.Stream); ok && stream.Err() != nil {
			lost = append(lost, Lost{s.name, stream.Err().Error()})
		} else if s.Since(t) == 0 {
			lost = append(lost, Lost{s.name, "nothing came through any more"})
		}
	}
	return append(lost, d.moved()...)
}

// moved finds datagram flows whose translation was replaced by another one:
// the probe goes on, but to the other side it is a new flow.
func (d *demo) moved() []Lost {
	var lost []Lost
	for _, s := range []struct {
		name string
		echo *probe.Echo
	}{{"udp_out", d.traffic.udpOut}, {"udp_in", d.traffic.udpIn}} {
		if src := s.echo.Sources(); len(src) > 1 {
			addrs := make([]string, len(src))
			for i := range src {
				addrs[i] = src[i].Addr
			}
			lost = append(lost, Lost{s.name, "seen from " + strings.Join(addrs, ", then ")})
		}
	}
	return lost
}

// translated makes sure that there is something to survive: that the outside
// host sees the gateways' address and not the inside host's.
func (d *demo) translated() error {
	if d.opt.NoNAT {
		return nil
	}
	for _, s := range d.traffic.udpOut.Sources() {
		if !strings.HasPrefix(s.Addr, pair.WANAddress.Addr().String()+":") {
			return fmt.Errorf("the outside host sees %s: the source is not translated to %s", s.Addr, pair.WANAddress.Addr())
		}
	}
	return nil
}

// finish ends the transfers in order and returns those that are not whole.
func (d *demo) finish(ctx context.Context) []Lost {
	if d.traffic.up == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var lost []Lost
	for _, s := range []struct {
		name   string
		stream *probe.Stream
	}{{"tcp_up", d.traffic.up}, {"tcp_down", d.traffic.down}} {
		if err := s.stream.Finish(ctx); err != nil {
			lost = append(lost, Lost{s.name, err.Error()})
		}
	}
	return lost
}

// merge adds those of more whose flow is not in lost yet.
func merge(lost, more []Lost) []Lost {
next:
	for _, m := range more {
		for _, l := range lost {
			if l.Flow == m.Flow {
				continue next
			}
		}
		lost = append(lost, m)
	}
	return lost
}
