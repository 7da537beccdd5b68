package probe

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"

	"understudy/health"
	"understudy/health/heartbeat"
)

// Sender is a server whose beats are expected.
type Sender struct {
	Server string
	Keys   []heartbeat.Key
	Check  int // its index
}

// Heard remembers which beats have been heard, and counts what was refused, for
// longer than a [Receiver] lives: a reload must not let a recorded beat pass. It
// is safe for concurrent use.
type Heard struct {
	mu    sync.Mutex
	peers map[heardKey]*heartbeat.Peer
	drops map[netip.AddrPort]*heartbeat.Drops
	by    map[heardKey]*heartbeat.Drops
}

type heardKey struct {
	listen netip.AddrPort
	server string
}

// NewHeard has heard nothing.
func NewHeard() *Heard {
	return &Heard{peers: map[heardKey]*heartbeat.Peer{}, drops: map[netip.AddrPort]*heartbeat.Drops{}, by: map[heardKey]*heartbeat.Drops{}}
}

// Drops are the refusals by reason at an address, of packets of which nobody knows
// whose they are.
func (h *Heard) Drops(listen netip.AddrPort) map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return at(h.drops, listen).Map()
}

// DropsOf are those of packets in the name of a server.
func (h *Heard) DropsOf(listen netip.AddrPort, server string) map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return at(h.by, heardKey{listen, server}).Map()
}

func at[K comparable, V any](m map[K]*V, k K) *V {
	v := m[k]
	if v == nil {
		v = new(V)
		m[k] = v
	}
	return v
}

// Keep forgets everything that is not of these servers.
func (h *Heard) Keep(listen map[netip.AddrPort][]string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	stays := map[heardKey]bool{}
	for a, servers := range listen {
		for _, s := range servers {
			stays[heardKey{a, s}] = true
		}
	}
	for k := range h.peers {
		if !stays[k] {
			delete(h.peers, k)
			delete(h.by, k)
		}
	}
	for a := range h.drops {
		if _, ok := listen[a]; !ok {
			delete(h.drops, a)
		}
	}
}

// Receiver hears the beats that servers push to an address of this node. What it
// keeps is of the servers that it was told of, whoever sends whatever.
type Receiver struct {
	listen  netip.AddrPort
	senders map[string]Sender
	heard   *Heard
}

var _ Source = (*Receiver)(nil)

// NewReceiver returns a receiver.
func NewReceiver(listen netip.AddrPort, senders []Sender, heard *Heard) *Receiver {
	r := &Receiver{listen: listen, senders: map[string]Sender{}, heard: heard}
	for _, s := range senders {
		r.senders[s.Server] = s
	}
	return r
}

// again is how long an address that cannot be had is waited for: by a reload for
// the receiver before to let go of it, else for the address to come.
const (
	again     = 20 * time.Millisecond
	againMost = time.Second
)

// Run hears until ctx is done. While it cannot listen, that is the failure of
// all of its servers.
func (r *Receiver) Run(ctx context.Context, emit func(check int, in health.Input)) {
	conn := open(ctx, func() (*net.UDPConn, error) {
		return net.ListenUDP("udp", net.UDPAddrFromAddrPort(r.listen))
	}, func(err error) {
		for _, s := range r.senders {
			emit(s.Check, health.Input{Kind: health.InResult, Why: fmt.Sprintf("heartbeats at %v: %v", r.listen, plain(err))})
		}
	})
	if conn == nil {
		return
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf := make([]byte, heartbeat.MaxSize+1)
	for {
		n, _, err := conn.ReadFromUDPAddrPort(buf)
		if ctx.Err() != nil {
			return
		}
		if err != nil { // of the network: what is wrong with it shows by the silence
			time.Sleep(again)
			continue
		}
		if i, in, ok := r.take(time.Now(), buf[:n]); ok {
			emit(i, in)
		}
	}
}

// take judges a packet; false: it was refused.
func (r *Receiver) take(now time.Time, b []byte) (check int, in health.Input, ok bool) {
	m, reason := heartbeat.Parse(b)
	from, known := r.senders[m.Name]
	if reason == heartbeat.ReasonNone && !known {
		reason = heartbeat.ReasonUnknown
	}
	h := r.heard
	h.mu.Lock()
	defer h.mu.Unlock()
	if reason != heartbeat.ReasonNone {
		at(h.drops, r.listen).Add(reason)
		return 0, in, false
	}
	key := heardKey{r.listen, from.Server}
	if reason = heartbeat.ReasonForged; fits(from.Keys, b) {
		reason = at(h.peers, key).Admit(now, m)
	}
	if reason != heartbeat.ReasonNone {
		at(h.by, key).Add(reason)
		return 0, in, false
	}
	in = health.Input{Kind: health.InResult, OK: true, Took: max(now.Sub(m.Time), 0)}
	switch {
	case m.Leaving:
		in = health.Input{Kind: health.InResult, Certain: true, Why: fmt.Sprintf("%s says that it stops", m.Name)}
	case m.Failing:
		in = health.Input{Kind: health.InResult, Why: fmt.Sprintf("%s says that its own check failed", m.Name)}
	}
	return from.Check, in, true
}

// open tries until it can, or ctx is done: then it returns nil. After the first
// few times each failure is told.
func open[T any](ctx context.Context, try func() (*T, error), failed func(error)) *T {
	wait := again
	for {
		v, err := try()
		if err == nil {
			return v
		}
		if wait >= againMost {
			failed(err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		wait = min(2*wait, againMost)
	}
}
