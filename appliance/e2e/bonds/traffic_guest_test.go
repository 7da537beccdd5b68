//go:build guest

package bonds

import (
	"context"
	"fmt"
	"maps"
	"net"
	"slices"
	"sync"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/capture"
)

// traffic is flows from the client to the server and back, and what is seen of them
// and of adverts where they pass.
type traffic struct {
	s *scene

	mu      sync.Mutex
	adverts []advert
	answers map[uint16]seen // by the client's port: how the last answer came to the LAN
	asked   map[uint16]seen // and how the last question came to the switch
}

type advert struct {
	at       time.Time
	from     string
	priority uint8
}

// seen is a frame: when, and from which node or by which port.
type seen struct {
	at   time.Time
	from string
}

// Flows have consecutive ports: the drivers' hashes give them to every link.
const (
	flows     = 16
	firstFlow = 5000
	echoPort  = 7
	pace      = 500 * time.Millisecond
)

// ports is the switch as what a capture listens to: its ports, each under its name.
type ports struct {
	*lab.Node
	names map[int]string
}

func (p ports) PortOwner(index int) string { return p.names[index] }

// startTraffic sends from now on until the test ends.
func startTraffic(s *scene, lan *lab.Segment) *traffic {
	s.t.Helper()
	n := &traffic{s: s, answers: map[uint16]seen{}, asked: map[uint16]seen{}}
	sw := ports{s.sw, map[int]string{}}
	for _, name := range append(names(port, s.links), "w0") {
		l, err := s.sw.Netlink().LinkByName(name)
		s.must(err)
		sw.names[l.Attrs().Index] = name
	}
	filter := capture.Protocols(112, 17)
	for _, c := range []struct {
		at   capture.Segment
		keep func(capture.Frame) bool
	}{{lan, n.onLAN}, {sw, n.atSwitch}} {
		c, err := capture.Start(c.at, capture.Options{Filter: filter, Keep: c.keep})
		s.must(err)
		s.t.Cleanup(func() { _ = c.Stop() })
	}
	var conns []*net.UDPConn
	open := func(at *lab.Node, from, to *net.UDPAddr) *net.UDPConn {
		s.t.Helper()
		var c *net.UDPConn
		s.must(at.Do(func() (err error) {
			if to == nil {
				c, err = net.ListenUDP("udp4", from)
			} else {
				c, err = net.DialUDP("udp4", from, to)
			}
			return err
		}))
		conns = append(conns, c)
		return c
	}
	echo := open(s.sw, &net.UDPAddr{Port: echoPort}, nil)
	clients := make([]*net.UDPConn, flows)
	for i := range clients {
		clients[i] = open(s.client, &net.UDPAddr{Port: firstFlow + i}, &net.UDPAddr{IP: net.ParseIP(server), Port: echoPort})
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wait sync.WaitGroup
	s.t.Cleanup(func() {
		cancel()
		for _, c := range conns {
			c.Close()
		}
		wait.Wait()
	})
	wait.Go(func() {
		var b [16]byte
		for {
			n, from, err := echo.ReadFromUDPAddrPort(b[:])
			if ctx.Err() != nil {
				return
			}
			if err == nil { // else it is about an earlier answer
				_, _ = echo.WriteToUDPAddrPort(b[:n], from)
			}
		}
	})
	wait.Go(func() {
		tick := time.NewTicker(pace)
		defer tick.Stop()
		for ctx.Err() == nil {
			for _, c := range clients {
				_, _ = c.Write([]byte("?")) // there may be no gateway
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
			}
		}
	})
	return n
}

// onLAN notes an advert or an answer.
func (n *traffic) onLAN(f capture.Frame) bool {
	p := capture.Decode(f.Data)
	n.mu.Lock()
	defer n.mu.Unlock()
	switch {
	case p.Kind == capture.VRRP:
		n.adverts = append(n.adverts, advert{f.At, f.From, p.Priority})
	case p.Kind == capture.UDP && p.SrcPort == echoPort:
		n.answers[p.DstPort] = seen{f.At, f.From}
	}
	return false
}

// atSwitch notes a question, and by which port it came.
func (n *traffic) atSwitch(f capture.Frame) bool {
	if p := capture.Decode(f.Data); p.Kind == capture.UDP && p.DstPort == echoPort {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.asked[p.SrcPort] = seen{f.At, f.From}
	}
	return false
}

// wait waits for a condition on what was seen.
func (n *traffic) wait(what string, met func() error) {
	n.s.t.Helper()
	for deadline := time.Now().Add(patience); ; time.Sleep(100 * time.Millisecond) {
		n.mu.Lock()
		err := met()
		n.mu.Unlock()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.s.t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// advertised waits for an advert of a node with a priority of low to high, sent after
// since.
func (n *traffic) advertised(from string, low, high uint8, since time.Time) {
	n.s.t.Helper()
	n.wait(fmt.Sprintf("an advert of %s with priority %d to %d", from, low, high), func() error {
		var last advert
		for _, a := range n.adverts {
			if a.from != from || !a.at.After(since) {
				continue
			}
			if last = a; low <= a.priority && a.priority <= high {
				return nil
			}
		}
		return fmt.Errorf("the last one has %d, of %v", last.priority, last.at)
	})
}

// passes waits until every flow is answered through that gateway, and by exactly those
// ports of the switch are the questions coming in.
func (n *traffic) passes(via string, by ...string) {
	n.s.t.Helper()
	n.passesBy(via, fmt.Sprintf("by %q", by), func(ports []string) bool { return slices.Equal(ports, by) })
}

// passesBy is passes where which ports those are is not all that is right; what says it.
func (n *traffic) passesBy(via, what string, right func(ports []string) bool) {
	n.s.t.Helper()
	since := time.Now()
	n.wait(fmt.Sprintf("every flow through %s %s", via, what), func() error {
		came := map[string]bool{}
		for i := range uint16(flows) {
			answer, asked := n.answers[firstFlow+i], n.asked[firstFlow+i]
			if !answer.at.After(since) || answer.from != via || !asked.at.After(since) {
				return fmt.Errorf("flow %d was asked by %q %v, answered by %q %v after", i, asked.from, asked.at.Sub(since), answer.from, answer.at.Sub(since))
			}
			came[asked.from] = true
		}
		if got := slices.Sorted(maps.Keys(came)); !right(got) {
			return fmt.Errorf("they come by %q", got)
		}
		return nil
	})
}
