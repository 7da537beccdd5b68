package sim

import "understudy/vrrp"

// path is one direction between two nodes on a segment.
type path struct {
	cut            bool
	loss, dup, bad int64 // percent: lost, delivered twice, one bit flipped
	delay, jitter  int64
	rng            rng
}

func (p *path) reset(delay int64) {
	p.cut, p.loss, p.dup, p.bad, p.delay, p.jitter = false, 0, 0, 0, delay, 0
}

// frame is a packet on its way, or in a socket.
type frame struct {
	b       [112]byte
	n       uint8
	segment int8
	from    int8
	rx      int64 // the receiver's clock when it came in
}

// pool keeps frames; they are named by their index.
type pool struct {
	all  []frame
	free []int32
}

func (p *pool) get() int32 {
	if n := len(p.free); n > 0 {
		i := p.free[n-1]
		p.free = p.free[:n-1]
		return i
	}
	p.all = append(p.all, frame{})
	return int32(len(p.all) - 1)
}

func (p *pool) put(i int32) { p.free = append(p.free, i) }

// transmit puts a packet on a segment. from is -1 for an outsider.
func (w *World) transmit(from, segment int, packet []byte) {
	for to := range w.nodes {
		if to == from {
			continue
		}
		p := &w.paths[segment][max(from, 0)][to]
		if from < 0 {
			w.deliver(p, from, to, segment, packet)
			continue
		}
		if p.cut || p.rng.percent(p.loss) {
			continue
		}
		w.deliver(p, from, to, segment, packet)
		if p.rng.percent(p.dup) {
			w.deliver(p, from, to, segment, packet)
		}
	}
}

func (w *World) deliver(p *path, from, to, segment int, packet []byte) {
	i := w.pool.get()
	f := &w.pool.all[i]
	f.n = uint8(copy(f.b[:], packet))
	f.segment, f.from = int8(segment), int8(from)
	if p.rng.percent(p.bad) {
		bit := p.rng.below(int64(f.n) * 8)
		f.b[bit/8] ^= 1 << (bit % 8)
	}
	at := w.now + p.delay
	if p.jitter > 0 {
		at += p.rng.below(p.jitter)
	}
	w.q.push(event{at: at, kind: evFrame, node: int8(to), a: i})
}

// socketRoom is how many packets wait in a socket that nobody reads.
const socketRoom = 32

// arrive is a packet at a node's interface.
func (n *node) arrive(i int32) {
	f := &n.w.pool.all[i]
	s := f.segment
	if n.e == nil || !n.linkUp[s] || n.deaf && n.eHung || len(n.inbox[s]) >= socketRoom {
		n.w.pool.put(i)
		return
	}
	f.rx = n.clock.at(n.w.now)
	n.inbox[s] = append(n.inbox[s], i)
	n.wakeElection()
}

// outsider makes a packet that no node sent.
func (w *World) outsider(r int, priority uint8, interval int64) []byte {
	rt := &w.sc.Routers[r]
	a := vrrp.Advert{Version: rt.Version, VRID: rt.VRID, Priority: priority, Interval: stamp(interval).Sub(stamp(0)), Form: vrrp.FormPseudo}
	w.packet = vrrp.AppendPacket(w.packet[:0], &a, w.nodes[0].cfg.set.Routers[r].Addresses[:1], source(rt.Segment, 19, rt.Family))
	return w.packet
}
