package witness

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"understudy/vrrp"
)

// Kind is the alarm that a finding belongs to.
type Kind string

// The kinds.
const (
	KindSplitBrain   Kind = "split-brain"       // two nodes are Active at once
	KindIncompatible Kind = "peer-incompatible" // ... because one refuses the other's adverts
	KindUnheard      Kind = "adverts-unheard"   // they do not all arrive: two nodes may be Active soon
	KindNoHeartbeat  Kind = "no-heartbeat"      // the guard is to hold, and hears nothing
)

// Finding is something that an operator should know, for as long as it is so.
type Finding struct {
	Kind   Kind
	Group  string
	Peer   string // "": unknown
	Since  time.Time
	Detail string
}

// maxFindings bounds the list: whoever has more has seen enough.
const maxFindings = 32

// Findings are as the last Judge found them. The slice is not written to again.
func (g *Guard) Findings() []Finding { return g.findings }

func (g *Guard) find(now time.Time, set *vrrp.Set) (out []Finding) {
	add := func(kind Kind, group int, peer string, since time.Time, format string, args ...any) {
		f := Finding{Kind: kind, Peer: peer, Since: since, Detail: fmt.Sprintf(format, args...)}
		if group >= 0 {
			f.Group = g.groups[group].name
		}
		if len(out) < maxFindings {
			out = append(out, f)
		}
	}
	for i := range g.groups {
		ours := &g.groups[i]
		for _, p := range g.peers {
			if w := &p.groups[i]; w.both.on {
				add(KindSplitBrain, i, p.Name, w.both.since, "%s is active too, its heartbeats say; %s", p.Name, g.sights(now, p, i))
			}
			for _, r := range ours.members {
				own, c := &g.routers[r], &p.routers[r]
				if c.unheard.on {
					held := ""
					if set.Group(i).Held {
						held = "; the takeover is held"
					}
					add(KindUnheard, i, p.Name, c.unheard.since, "%s is active, its heartbeats say, but its adverts of %s are not heard on %s%s",
						p.Name, own.name, own.iface, held)
				}
				if c.deaf.on && !c.refusing.on {
					add(KindUnheard, i, p.Name, c.deaf.since, "%s does not hear our adverts of %s on its %s", p.Name, own.name, c.interfaceName())
				}
				if c.refusing.on {
					add(KindIncompatible, i, p.Name, c.refusing.since, "%s refuses our adverts of %s on its %s: %s", p.Name, own.name, c.interfaceName(), c.refuses)
				}
			}
		}
		for _, r := range ours.members {
			g.findRouter(now, set, r, add)
		}
	}
	for _, p := range g.peers {
		if p.silent.on {
			add(KindNoHeartbeat, -1, p.Name, p.silent.since, "no heartbeat from %s (%v): nothing is held", p.Name, p.Address)
		}
	}
	return out
}

type adder func(kind Kind, group int, peer string, since time.Time, format string, args ...any)

func (g *Guard) findRouter(now time.Time, set *vrrp.Set, i int, add adder) {
	r := &g.routers[i]
	view := set.Router(i)
	if r.lower.on {
		for k := range r.rivals {
			if v := &r.rivals[k]; !v.first.IsZero() {
				peer := g.who(i, v.src)
				add(KindSplitBrain, r.group, peer, v.first, "%s keeps advertising %s with priority %d on %s and does not yield to our %d: it does not hear us",
					named(peer, v.src), r.name, v.priority, r.iface, view.Priority)
			}
		}
	}
	if r.incompatible.on {
		f := &r.refused
		peer := g.who(i, f.src)
		add(KindIncompatible, r.group, peer, f.first, "adverts of %s from %s on %s are refused while we are active: %s",
			r.name, named(peer, f.src), r.iface, f.reason)
	}
	if r.forms.on && r.auto {
		add(KindIncompatible, r.group, "", r.forms.since, "%s: checksums of both forms are heard on %s; we send %s", r.name, r.iface, view.Form)
	} else if r.forms.on {
		add(KindIncompatible, r.group, "", r.forms.since, "%s: we send checksums of %s on %s, and who does not yield sends the other form: it may refuse ours",
			r.name, view.Form, r.iface)
	}
}

// who is the peer that has the address; "" if none said so.
func (g *Guard) who(router int, src netip.Addr) string {
	for _, p := range g.peers {
		if c := &p.routers[router]; c.source == src && src.IsValid() {
			return p.Name
		}
	}
	return ""
}

func named(peer string, src netip.Addr) string {
	switch {
	case !src.IsValid():
		return "somebody"
	case peer == "":
		return src.String()
	}
	return peer + " (" + src.String() + ")"
}

func (c *claim) interfaceName() string { return string(c.iface[:c.ifLen]) }

// sights says what of a group is heard where.
func (g *Guard) sights(now time.Time, p *peer, group int) string {
	var parts []string
	for _, r := range g.groups[group].members {
		own, c := &g.routers[r], &p.routers[r]
		here, there := "heard", "heard"
		if !own.hears(now, c.source) {
			here = "not heard"
		}
		if !c.hears {
			there = "not heard"
		}
		parts = append(parts, fmt.Sprintf("%s: its adverts are %s on %s, ours %s on its %s", own.name, here, own.iface, there, c.interfaceName()))
	}
	return strings.Join(parts, "; ")
}
