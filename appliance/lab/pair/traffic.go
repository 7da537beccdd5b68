package pair

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance/lab/probe"
)

// Traffic is everything that passes through the gateways of a pair.
type Traffic struct {
	UDPOut, UDPIn, Ping *probe.Echo
	Up, Down            *probe.Stream // long transfers outwards; nil with NoFlows
	In, Out             *probe.Conns  // through the forward; outwards, for new connections only

	pair *Pair
}

// TrafficOptions sets traffic up.
type TrafficOptions struct {
	Connections int // through the forward
	Piece       int // bytes that a transfer sends each 2 ms; 0: 1024
	// NoFlows leaves away the connections and transfers, which do not survive
	// where sessions are not replicated.
	NoFlows bool
}

// Ports of the outside host.
const (
	outsideMore = 9001
	outsideUDP  = 7
	outsideUp   = 8001
	outsideDown = 8002
	outsideTCP  = 8003
)

// StartTraffic begins all of it: datagrams each millisecond and a long transfer
// both ways, connections through the forward of which every other one is idle,
// and a ping. On an error nothing is left running.
func (p *Pair) StartTraffic(ctx context.Context, o TrafficOptions) (_ *Traffic, err error) {
	t := &Traffic{pair: p}
	defer func() {
		if err != nil {
			t.Stop()
		}
	}()
	public := WANAddress.Addr()
	if p.opt.NoNAT {
		public = Server // routed, so it can be reached as it is
	}
	count := o.Connections
	if o.NoFlows {
		count = 0
	}
	if t.In, err = probe.StartConns(ctx, probe.ConnsOptions{
		Client: p.Outside, Server: p.Inside, Count: count,
		Listen: netip.AddrPortFrom(Server, TCPPort), Target: netip.AddrPortFrom(public, TCPPort),
	}); err != nil {
		return nil, fmt.Errorf("pair: connections through the forward: %w", err)
	}
	at := netip.AddrPortFrom(Outside, outsideTCP)
	if t.Out, err = probe.StartConns(ctx, probe.ConnsOptions{Client: p.Inside, Server: p.Outside, Listen: at, Target: at}); err != nil {
		return nil, fmt.Errorf("pair: connections outwards: %w", err)
	}
	if !o.NoFlows {
		if t.Up, err = p.transfer(ctx, outsideUp, o.Piece, false); err != nil {
			return nil, err
		}
		if t.Down, err = p.transfer(ctx, outsideDown, o.Piece, true); err != nil {
			return nil, err
		}
	}
	at = netip.AddrPortFrom(Outside, outsideUDP)
	if t.UDPOut, err = probe.StartUDP(probe.UDPOptions{Client: p.Inside, Server: p.Outside, Listen: at, Target: at}); err != nil {
		return nil, fmt.Errorf("pair: datagrams outwards: %w", err)
	}
	if t.UDPIn, err = probe.StartUDP(probe.UDPOptions{
		Client: p.Outside, Server: p.Inside,
		Listen: netip.AddrPortFrom(Server, UDPPort), Target: netip.AddrPortFrom(public, UDPPort),
	}); err != nil {
		return nil, fmt.Errorf("pair: datagrams inwards: %w", err)
	}
	if t.Ping, err = probe.StartPing(probe.PingOptions{Client: p.Inside, Target: Outside}); err != nil {
		return nil, fmt.Errorf("pair: ping: %w", err)
	}
	return t, nil
}

// StartMore opens connections outwards, besides the traffic that runs. They can
// be started once.
func (p *Pair) StartMore(ctx context.Context, count int) (*probe.Conns, error) {
	at := netip.AddrPortFrom(Outside, outsideMore)
	c, err := probe.StartConns(ctx, probe.ConnsOptions{Client: p.Inside, Server: p.Outside, Listen: at, Target: at, Count: count})
	if err != nil {
		return nil, fmt.Errorf("pair: more connections: %w", err)
	}
	return c, nil
}

func (p *Pair) transfer(ctx context.Context, port uint16, piece int, down bool) (*probe.Stream, error) {
	at := netip.AddrPortFrom(Outside, port)
	s, err := probe.StartStream(ctx, probe.StreamOptions{Client: p.Inside, Server: p.Outside, Listen: at, Target: at, Down: down, Piece: piece})
	if err != nil {
		return nil, fmt.Errorf("pair: transfer outwards: %w", err)
	}
	return s, nil
}

// Stop ends what runs.
func (t *Traffic) Stop() {
	for _, e := range []*probe.Echo{t.UDPOut, t.UDPIn, t.Ping} {
		if e != nil {
			e.Stop()
		}
	}
	for _, s := range []*probe.Stream{t.Up, t.Down} {
		if s != nil {
			s.Stop()
		}
	}
	for _, c := range []*probe.Conns{t.In, t.Out} {
		if c != nil {
			c.Stop()
		}
	}
}

// Series is one of the probes that are in motion all the time.
type Series struct {
	Name string // udp_out, udp_in, tcp_up, tcp_down or ping
	Measure
}

// Measure is what a [probe.Echo] and a [probe.Stream] have in common.
type Measure interface {
	Gap(from, to time.Time) probe.Gap
	Noise(from, to time.Time) time.Duration
	Since(time.Time) int
	Counts(from time.Time, step time.Duration, n int) []int
}

// Series lists the probes in motion.
func (t *Traffic) Series() []Series {
	list := []Series{{"udp_out", t.UDPOut}, {"udp_in", t.UDPIn}}
	if t.Up != nil {
		list = append(list, Series{"tcp_up", t.Up}, Series{"tcp_down", t.Down})
	}
	return append(list, Series{"ping", t.Ping})
}

// Resumed waits until every probe in motion has had arrivals after since. A
// transfer that is broken is not waited for: that is a result, for [Traffic.Lost].
func (t *Traffic) Resumed(ctx context.Context, since time.Time) error {
	const enough = 10 // a first one alone may be a straggler
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := ""
		for _, s := range t.Series() {
			stream, _ := s.Measure.(*probe.Stream)
			if s.Since(since) < enough && (stream == nil || stream.Err() == nil) {
				waiting = s.Name
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("pair: %s did not come back: %w", waiting, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
