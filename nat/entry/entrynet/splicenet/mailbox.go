package splicenet

import (
	"net/netip"
	"slices"
	"sync"

	"understudy/nat/splice"
)

// mailBytes bounds what has been heard of partners and was not read yet. What is more is lost, and
// said again.
const mailBytes = 16 << 20

// letterKind is what a letter is about.
type letterKind uint8

const (
	news    letterKind = iota // more was logged of the connection
	words                     // of the new server's
	foreign                   // somebody else begins a connection in the name of the client
)

// letter is what the log has heard that matters to a shadow.
type letter struct {
	of      *shadow
	kind    letterKind
	segment splice.Segment
}

// address is a shadow, and what it means to it that a packet goes some way.
type address struct {
	of   *shadow
	kind letterKind
}

// mailbox takes what the log hears of connections that are replayed all along. It is a leaf: the log
// is locked when it is told, and nothing is waited for.
type mailbox struct {
	wake chan struct{} // holds one

	mu   sync.Mutex
	ways map[[2]netip.AddrPort]address
	box  []letter
	size int
}

func (m *mailbox) ring() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// heard takes a segment, which is valid during the call.
func (m *mailbox) heard(p *splice.Packet) {
	m.mu.Lock()
	defer m.mu.Unlock()
	a, ok := m.ways[[2]netip.AddrPort{p.From, p.To}]
	if !ok {
		return
	}
	l := letter{of: a.of, kind: a.kind}
	switch a.kind {
	case news:
		if a.of.dirty {
			return
		}
		a.of.dirty = true
	case foreign:
		if p.Segment.Flags&(splice.SYN|splice.ACK) != splice.SYN || p.Segment.Seq == a.of.isn {
			return // it is ours
		}
	default:
		if m.size += len(p.Segment.Data) + 128; m.size > mailBytes {
			m.size -= len(p.Segment.Data) + 128
			return
		}
		l.segment = p.Segment
		l.segment.Data = slices.Clone(p.Segment.Data)
	}
	if m.box = append(m.box, l); len(m.box) == 1 {
		m.ring()
	}
}

// take returns what has come.
func (m *mailbox) take() []letter {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.box
	m.box, m.size = nil, 0
	for i := range out {
		out[i].of.dirty = false
	}
	return out
}

func (m *mailbox) open(h *shadow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ways == nil {
		m.ways = map[[2]netip.AddrPort]address{}
	}
	m.ways[[2]netip.AddrPort{h.ends.Client, h.ends.Server}] = address{h, news}
	m.ways[[2]netip.AddrPort{h.ends.Server, h.ends.Client}] = address{h, news}
	m.ways[[2]netip.AddrPort{h.with.Server, h.with.Client}] = address{h, words}
	m.ways[[2]netip.AddrPort{h.with.Client, h.with.Server}] = address{h, foreign}
}

func (m *mailbox) close(h *shadow) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, way := range [][2]netip.AddrPort{{h.ends.Client, h.ends.Server}, {h.ends.Server, h.ends.Client}, {h.with.Server, h.with.Client}, {h.with.Client, h.with.Server}} {
		if m.ways[way].of == h {
			delete(m.ways, way)
		}
	}
}
