package vrrptest

import (
	"container/heap"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"time"

	"understudy/vrrp"
)

// Network is segments, nodes and the clock.
type Network struct {
	// OnStep, if set, sees every step a node has taken.
	OnStep func(n *Node, in vrrp.SetInput, ops []vrrp.Op)
	// OnNotice, if set, hears what a node has noticed; before OnStep.
	OnNotice func(n *Node, what vrrp.Notice)

	now   time.Time
	nodes []*Node
	paths map[path]Path
	queue inFlight
	count uint64 // packets sent: breaks ties of arrival
	rng   *rand.Rand
}

// path is one direction between two nodes on a segment.
type path struct{ from, to, segment string }

// Path is how one direction between two nodes behaves. The zero value is perfect and takes no time.
type Path struct {
	Cut       bool
	Loss      float64       // of a packet, 0 to 1
	Delay     time.Duration // at least
	Jitter    time.Duration // added to it, evenly spread
	Duplicate float64       // chance of a second copy
	Corrupt   float64       // chance of one flipped bit
	DropNext  int           // so many packets are lost next, whatever Loss
}

type packet struct {
	at      time.Time
	order   uint64
	to      *Node
	iface   string
	payload []byte
}

type inFlight []packet

func (q inFlight) Len() int { return len(q) }
func (q inFlight) Less(i, j int) bool {
	if !q[i].at.Equal(q[j].at) {
		return q[i].at.Before(q[j].at)
	}
	return q[i].order < q[j].order
}
func (q inFlight) Swap(i, j int) { q[i], q[j] = q[j], q[i] }
func (q *inFlight) Push(x any)   { *q = append(*q, x.(packet)) }
func (q *inFlight) Pop() any {
	last := (*q)[len(*q)-1]
	*q = (*q)[:len(*q)-1]
	return last
}

// New returns an empty network at the Unix epoch.
func New(seed uint64) *Network {
	return &Network{now: time.Unix(0, 0).UTC(), paths: make(map[path]Path), rng: rand.New(rand.NewPCG(seed, 0))}
}

// Now is the virtual time.
func (w *Network) Now() time.Time { return w.now }

// Elapsed is the virtual time since the beginning.
func (w *Network) Elapsed() time.Duration { return w.now.Sub(time.Unix(0, 0)) }

// Nodes are in the order they were added.
func (w *Network) Nodes() []*Node { return w.nodes }

// Node finds one by name; nil if there is none.
func (w *Network) Node(name string) *Node {
	for _, n := range w.nodes {
		if n.Name == name {
			return n
		}
	}
	return nil
}

// Path returns how a direction behaves.
func (w *Network) Path(from, to, segment string) Path { return w.paths[path{from, to, segment}] }

// SetPath changes one direction.
func (w *Network) SetPath(from, to, segment string, p Path) { w.paths[path{from, to, segment}] = p }

// Cut separates two nodes on a segment, or joins them again, both ways.
func (w *Network) Cut(a, b, segment string, cut bool) {
	for _, d := range []path{{a, b, segment}, {b, a, segment}} {
		p := w.paths[d]
		p.Cut = cut
		w.paths[d] = p
	}
}

// transmit puts a packet on a segment. Interfaces bear the name of their segment.
func (w *Network) transmit(from *Node, segment string, payload []byte) {
	if l := from.links[segment]; !l.up {
		return
	}
	for _, to := range w.nodes {
		if _, attached := to.links[segment]; to == from || !attached {
			continue
		}
		key := path{from.Name, to.Name, segment}
		p := w.paths[key]
		if p.DropNext > 0 {
			p.DropNext--
			w.paths[key] = p
			continue
		}
		if p.Cut || w.chance(p.Loss) {
			continue
		}
		w.deliver(p, to, segment, payload)
		if w.chance(p.Duplicate) {
			w.deliver(p, to, segment, payload)
		}
	}
}

func (w *Network) chance(p float64) bool { return p > 0 && w.rng.Float64() < p }

func (w *Network) deliver(p Path, to *Node, segment string, payload []byte) {
	at := w.now.Add(p.Delay)
	if p.Jitter > 0 {
		at = at.Add(time.Duration(w.rng.Int64N(int64(p.Jitter))))
	}
	b := append([]byte(nil), payload...)
	if w.chance(p.Corrupt) {
		bit := w.rng.IntN(len(b) * 8)
		b[bit/8] ^= 1 << (bit % 8)
	}
	w.count++
	heap.Push(&w.queue, packet{at: at, order: w.count, to: to, iface: segment, payload: b})
}

// Inject puts a packet of an outsider on a segment, for every node to hear now.
func (w *Network) Inject(segment string, payload []byte) {
	for _, to := range w.nodes {
		if _, attached := to.links[segment]; attached {
			w.deliver(Path{}, to, segment, payload)
		}
	}
}

// Settle delivers what is due at this very instant.
func (w *Network) Settle() { w.Advance(0) }

// Advance runs the clock on, stepping whatever comes due.
func (w *Network) Advance(d time.Duration) {
	end := w.now.Add(d)
	for steps := 0; ; steps++ {
		if steps > 5_000_000 {
			panic(fmt.Sprintf("vrrptest: no progress at %v", w.Elapsed()))
		}
		if len(w.queue) > 0 && !w.queue[0].at.After(end) {
			if t, n := w.nextTimer(); n == nil || !w.queue[0].at.After(t) {
				p := heap.Pop(&w.queue).(packet)
				w.clock(p.at)
				p.to.receive(p.iface, p.payload)
				continue
			}
		}
		t, n := w.nextTimer()
		if n == nil || t.After(end) {
			break
		}
		w.clock(t)
		n.Step(vrrp.SetInput{Kind: vrrp.InTick})
	}
	w.clock(end)
}

func (w *Network) clock(t time.Time) {
	if t.After(w.now) {
		w.now = t
	}
}

// nextTimer finds the node whose timer is next. One that is late by configuration counts so much later.
func (w *Network) nextTimer() (time.Time, *Node) {
	var first time.Time
	var who *Node
	for _, n := range w.nodes {
		if n.set == nil || n.frozen {
			continue
		}
		t := n.set.Deadline()
		if t.IsZero() {
			continue
		}
		if t = t.Add(n.Late); who == nil || t.Before(first) {
			first, who = t, n
		}
	}
	return first, who
}

// Owner names the node that has an address; the address itself if none has.
func (w *Network) Owner(a netip.Addr) string {
	for _, n := range w.nodes {
		for _, l := range n.links {
			if l.addr == a {
				return n.Name
			}
		}
	}
	return a.String()
}
