package demo

import (
	"context"
	"fmt"
	"net/netip"
	"time"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// traffic is everything that passes through the gateways.
type traffic struct {
	udpOut, udpIn, ping *probe.Echo
	up, down            *probe.Stream // nil where flows are not expected to survive
	in, out             *probe.Conns  // through the forward; outwards (new connections only)
}

// Ports of the outside host.
const (
	outsideUDP  = 7
	outsideUp   = 8001
	outsideDown = 8002
	outsideTCP  = 8003
)

// start begins all traffic, in the order in which it is least disturbed by what
// comes next.
func (d *demo) startTraffic(ctx context.Context) (err error) {
	t := &d.traffic
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	inside, outside := d.pair.Inside, d.pair.Outside
	public := pair.WANAddress.Addr()
	if d.opt.NoNAT {
		public = pair.Server // routed, so it can be reached as it is
	}
	connections := d.opt.Connections
	if d.opt.NoSessions {
		connections = 0
	}
	if t.in, err = probe.StartConns(ctx, probe.ConnsOptions{
		Client: outside, Server: inside, Count: connections,
		Listen: netip.AddrPortFrom(pair.Server, pair.TCPPort), Target: netip.AddrPortFrom(public, pair.TCPPort),
	}); err != nil {
		return fmt.Errorf("connections through the forward: %w", err)
	}
	at := netip.AddrPortFrom(pair.Outside, outsideTCP)
	if t.out, err = probe.StartConns(ctx, probe.ConnsOptions{Client: inside, Server: outside, Listen: at, Target: at}); err != nil {
		return fmt.Errorf("connections outwards: %w", err)
	}
	if !d.opt.NoSessions {
		for _, s := range []struct {
			stream **probe.Stream
			port   uint16
			down   bool
		}{{&t.up, outsideUp, false}, {&t.down, outsideDown, true}} {
			at := netip.AddrPortFrom(pair.Outside, s.port)
			if *s.stream, err = probe.StartStream(ctx, probe.StreamOptions{Client: inside, Server: outside, Listen: at, Target: at, Down: s.down}); err != nil {
				return fmt.Errorf("transfer outwards: %w", err)
			}
		}
	}
	at = netip.AddrPortFrom(pair.Outside, outsideUDP)
	if t.udpOut, err = probe.StartUDP(probe.UDPOptions{Client: inside, Server: outside, Listen: at, Target: at}); err != nil {
		return fmt.Errorf("datagrams outwards: %w", err)
	}
	if t.udpIn, err = probe.StartUDP(probe.UDPOptions{
		Client: outside, Server: inside,
		Listen: netip.AddrPortFrom(pair.Server, pair.UDPPort), Target: netip.AddrPortFrom(public, pair.UDPPort),
	}); err != nil {
		return fmt.Errorf("datagrams inwards: %w", err)
	}
	if t.ping, err = probe.StartPing(probe.PingOptions{Client: inside, Target: pair.Outside}); err != nil {
		return fmt.Errorf("ping: %w", err)
	}
	return nil
}

// stop ends what runs.
func (t *traffic) stop() {
	for _, e := range []*probe.Echo{t.udpOut, t.udpIn, t.ping} {
		if e != nil {
			e.Stop()
		}
	}
	for _, s := range []*probe.Stream{t.up, t.down} {
		if s != nil {
			s.Stop()
		}
	}
	for _, c := range []*probe.Conns{t.in, t.out} {
		if c != nil {
			c.Stop()
		}
	}
}

// series is what an Echo and a Stream have in common.
type series interface {
	Gap(from, to time.Time) probe.Gap
	Noise(from, to time.Time) time.Duration
	Since(time.Time) int
}

// named lists the series that run, by the names they have in the report.
func (t *traffic) named() []namedSeries {
	list := []namedSeries{{"udp_out", t.udpOut}, {"udp_in", t.udpIn}}
	if t.up != nil {
		list = append(list, namedSeries{"tcp_up", t.up}, namedSeries{"tcp_down", t.down})
	}
	return append(list, namedSeries{"ping", t.ping})
}

type namedSeries struct {
	name string
	series
}

// resumed waits until every series has had arrivals after t, for at most a
// while: a transfer that is dead is a result, not an error.
func (t *traffic) resumed(ctx context.Context, since time.Time) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		waiting := ""
		for _, s := range t.named() {
			stream, _ := s.series.(*probe.Stream)
			if s.Since(since) < 10 && (stream == nil || stream.Err() == nil) {
				waiting = s.name
			}
		}
		if waiting == "" {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come back: %w", waiting, context.Cause(ctx))
		case <-tick.C:
		}
	}
}
