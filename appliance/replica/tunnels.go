package replica

import (
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// tunnels watches over GRE entries that were installed. The kernel would end such
// an entry with its first packet, so its timeout is fixed, and nothing in the kernel
// ends it. What tells whether it is used: it is installed without ASSURED, and the
// next packet sets that. Each dump of the owner looks; a tunnel that was used is
// installed anew, without the bit, and one that was not for the time that the kernel
// gives to GRE is over.
type tunnels struct {
	armed map[session.Key]time.Time // when it was last installed, or first seen, here
	seen  []session.Record          // by the dump under way
}

// isTunnel tells whether the kernel's entry is one that only we end.
func isTunnel(r *session.Record) bool {
	const gre = 47
	return r.Proto == gre && r.Status&session.StatusFixedTimeout != 0
}

// watchTunnels looks after those that a dump has seen.
func (e *Engine) watchTunnels(now time.Time) {
	e.kmu.Lock()
	defer e.kmu.Unlock()
	t := &e.tunnels
	armed := make(map[session.Key]time.Time, len(t.seen))
	for i := range t.seen {
		r := &t.seen[i]
		at, known := t.armed[r.Key]
		switch {
		case !known:
			at = now
		case r.Status&session.StatusAssured != 0:
			e.arm(r)
			at = now
		case now.Sub(at) >= e.cfg.Tunnel:
			e.tunnelOver(now, r)
			continue
		}
		armed[r.Key] = at
	}
	t.armed, t.seen = armed, t.seen[:0]
}

// arm installs the tunnel's entry anew. Should a packet come in between, the kernel
// makes an entry of its own, which needs none of this. Held: e.kmu.
func (e *Engine) arm(r *session.Record) {
	err := e.kernel.Anew(r, conntrack.InstallOptions{Hold: uint32(e.cfg.Hold / time.Second)})
	if err == conntrack.ErrClash {
		return
	}
	if err != nil {
		e.log.Warn("tunnel not installed anew", "session", r.String(), "err", err)
	}
}

// tunnelOver ends a tunnel that nobody uses. Held: e.kmu.
func (e *Engine) tunnelOver(now time.Time, r *session.Record) {
	e.mu.Lock()
	s, ok := e.table.Lookup(&r.Key)
	if ok = ok && e.groups.Active().Has(e.table.Group(s)); ok {
		e.table.Delete(s, e.peerSinks(), now)
		e.counters.Tunnels++
		e.kickSenders()
	}
	e.mu.Unlock()
	if !ok {
		return
	}
	var res [1]error
	if err := e.kernel.Delete([]session.Key{r.Key}, res[:]); err != nil {
		e.log.Warn("tunnel not removed", "session", r.String(), "err", err)
	}
}
