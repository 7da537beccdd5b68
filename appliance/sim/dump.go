package sim

import (
	"fmt"
	"strings"
	"time"
)

// Dump describes every node, for whoever looks for the reason of a violation.
func (w *World) Dump() string {
	var b strings.Builder
	for _, n := range w.nodes {
		fmt.Fprintf(&b, "%s running %v hung %v/%v wakes %v/%v addresses %b\n", n.name(), n.running, n.eHung, n.dHung, after(n.eWake, w.now),
			after(n.dWake, w.now), n.kernel.addrs)
		if e := n.e; e != nil && e.set != nil {
			fmt.Fprintf(&b, "  election %d: started %v stage %d daemon %+v lost %v queued %d/%d\n", e.id, e.started, e.stage, e.daemon, e.lost, len(n.up.q), len(n.down.q))
			for g := range w.sc.Groups {
				fmt.Fprintf(&b, "  %s %+v gate %v\n", w.sc.Groups[g].Name, e.set.Group(g), n.kernel.gate[g])
			}
			for r := range w.sc.Routers {
				v := e.set.Router(r)
				fmt.Fprintf(&b, "  %s %v ready %v timer %v learned %v held %v priority %d preempt %v\n", w.sc.Routers[r].Name, v.State, v.Ready,
					time.Duration(nano(v.Timer)-n.local()), v.Learned, v.Held, e.priority(r), e.cfg.Preempt)
			}
		}
		if d := n.d; d != nil {
			fmt.Fprintf(&b, "  daemon %d: mode %s lost %v failing %v events %d out of sync %v holder phase %d\n", d.id, modeNames[d.mode], d.lost, d.failing,
				len(d.events), d.syncedOut, d.holder.phase)
			for _, g := range d.core.Groups() {
				fmt.Fprintf(&b, "  core %+v\n", g)
			}
		}
	}
	return b.String()
}

func after(at, now int64) string {
	if at == never {
		return "never"
	}
	return time.Duration(at - now).String()
}
