package pair

import (
	"context"
	"fmt"
	"strings"
	"time"

	"understudy/appliance/lab/probe"
)

// Lost is a flow that did not survive, and how that showed.
type Lost struct {
	Flow  string `json:"flow"`
	Cause string `json:"cause"`
}

// Total counts the flows that are expected to survive: the connections, two
// transfers, the datagrams each way, and the ping.
func (t *Traffic) Total() int {
	if t.Up == nil {
		return 0
	}
	return t.In.Count() + 5
}

// Lost asks every flow for a sign of life since then, each connection by a
// request. ctx needs a deadline: a dead connection is one that has not answered
// by then.
func (t *Traffic) Lost(ctx context.Context, since time.Time) []Lost {
	if t.Up == nil {
		return nil
	}
	var lost []Lost
	for _, dead := range t.In.Check(ctx) {
		kind := "in use"
		if dead.Conn%2 == 1 {
			kind = "idle"
		}
		lost = append(lost, Lost{fmt.Sprintf("connection %d (%s)", dead.Conn, kind), dead.Err.Error()})
	}
	for _, s := range t.Series() {
		if stream, ok := s.Measure.(*probe.Stream); ok && stream.Err() != nil {
			lost = append(lost, Lost{s.Name, stream.Err().Error()})
		} else if s.Since(since) == 0 {
			lost = append(lost, Lost{s.Name, "nothing came through any more"})
		}
	}
	return append(lost, t.moved()...)
}

// moved finds datagram flows whose translation was replaced by another one:
// the probe goes on, but to the other side it is a new flow.
func (t *Traffic) moved() []Lost {
	var lost []Lost
	for _, s := range []struct {
		name string
		echo *probe.Echo
	}{{"udp_out", t.UDPOut}, {"udp_in", t.UDPIn}} {
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

// Translated makes sure that there is something to survive: that the outside
// host sees the gateways' address and not the inside host's.
func (t *Traffic) Translated() error {
	if t.pair.opt.NoNAT {
		return nil
	}
	for _, s := range t.UDPOut.Sources() {
		if !strings.HasPrefix(s.Addr, WANAddress.Addr().String()+":") {
			return fmt.Errorf("pair: the outside host sees %s: the source is not translated to %s", s.Addr, WANAddress.Addr())
		}
	}
	return nil
}

// Finish ends the transfers in order and returns those that did not arrive
// whole.
func (t *Traffic) Finish(ctx context.Context) []Lost {
	if t.Up == nil {
		return nil
	}
	var lost []Lost
	for _, s := range []struct {
		name   string
		stream *probe.Stream
	}{{"tcp_up", t.Up}, {"tcp_down", t.Down}} {
		if err := s.stream.Finish(ctx); err != nil {
			lost = append(lost, Lost{s.name, err.Error()})
		}
	}
	return lost
}
