package election

import (
	"math/bits"
	"net/netip"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
)

// What the kernel's filter keeps from a port is counted all the same. In a flood
// not packet by packet: a random sample is looked at, and each packet of it counts
// for many. It is looked at in turns that happen anyway; nothing wakes the loop
// for it.
const (
	sampleEvery = 100 * time.Millisecond
	sampleBound = 64 // packets of a port, in one turn
	// sampleRounds empties the queue when the rate of the sample changes: what is in
	// it counts as before.
	sampleRounds = 4
	rarest       = 16 // one packet in 2^16
)

// refusal is a packet that does not count.
type refusal struct {
	router int // -1: of no router of ours
	reason vrrp.Reason
	src    netip.Addr
}

// judge finds the router that the packet in l.frame is for, and why it is refused.
func (l *loop) judge(p *port) (r refusal, d vrrp.Datagram) {
	d, r.reason = vrrp.ParseDatagram(l.frame.Packet)
	r.router, r.src = -1, d.Src
	if len(d.Payload) > 1 {
		r.router = int(p.vrids[d.Payload[1]])
	}
	switch {
	case r.reason != vrrp.ReasonNone:
	case r.router >= 0:
		r.reason = l.set.Parse(r.router, d, &l.advert)
	default:
		if r.reason = vrrp.ParseAdvert(d, &l.advert); r.reason == vrrp.ReasonNone {
			r.reason = vrrp.ReasonVRID
		}
	}
	return r, d
}

// refused counts packets of a kind, at a time.
func (l *loop) refused(p *port, r refusal, times uint32, at time.Time) {
	if r.router < 0 {
		p.drops.count(r.reason, uint64(times))
	}
	l.step(vrrp.SetInput{Kind: vrrp.InRefused, Router: r.router, Interface: p.name, Src: r.src,
		Refused: r.reason, Times: times})
	if r.router >= 0 {
		l.guard.Refused(at, r.router, r.src, r.reason)
	}
}

// sample looks at what the filter of a port has kept away.
func (l *loop) sample(p *port) {
	since := l.now.Sub(p.sampled)
	if p.port == nil {
		return
	}
	n := l.look(p)
	if since < sampleEvery {
		p.seen += n
		return
	}
	n, p.seen, p.sampled = n+p.seen, 0, l.now
	shift := p.port.Sampled()
	next := shift
	if n > sampleBound {
		next = min(shift+uint8(bits.Len(n/sampleBound)), rarest)
	} else if n < sampleBound/8 && shift > 0 {
		next--
	}
	if next != shift {
		for i := 0; i < sampleRounds && l.look(p) > 0; i++ {
		}
		p.port.Sample(next)
	}
}

// look counts a part of the sample, and returns how many packets were in it.
func (l *loop) look(p *port) uint {
	n := 0
	for n < sampleBound && p.port.Refused(&l.frame) {
		r, _ := l.judge(p)
		if r.reason == vrrp.ReasonNone {
			r.reason = vrrp.ReasonVRID // it came before the configuration that wants it
		}
		l.refusals[n] = r
		n++
	}
	if n == 0 {
		return 0 // then the queue was not full either
	}
	seen := uint64(n)
	unseen := p.port.RefusedUnseen()
	shift := p.port.Sampled()
	p.estimated += (seen+unseen)<<shift - seen
	for i, r := range l.refusals[:n] {
		times := 1 + unseen/seen
		if uint64(i) < unseen%seen {
			times++
		}
		l.refused(p, r, uint32(min(times<<shift, 1<<31)), l.now)
	}
	return uint(seen + unseen)
}

// samples does so where it was not done lately.
func (l *loop) samples() {
	for _, p := range l.ports {
		if l.now.Sub(p.sampled) >= sampleEvery {
			l.sample(p)
		}
	}
}

// wanted is what the port's routers are to hear.
func (p *port) wanted(cfg vrrp.SetConfig) (w vrrpnet.Wanted) {
	for vrid, router := range p.vrids {
		switch {
		case router < 0:
		case len(cfg.Routers[router].Peers) > 0 || cfg.Routers[router].Multicast.IsValid():
			w.Single.Add(uint8(vrid))
		default:
			w.Group.Add(uint8(vrid))
		}
	}
	return w
}
