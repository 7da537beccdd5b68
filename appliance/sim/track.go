package sim

import (
	"time"

	"understudy/appliance"
	"understudy/health"
)

// Two checks and an interface are tracked where the schedule says so: one check
// and the interface move priorities, the other check is a fault.
const (
	soft = iota
	hard
	numChecks
)

var checkNames = [numChecks]string{"soft", "hard"}

const (
	softWeight = -60
	linkWeight = -25
	tracked    = 1 // segment
)

// health is what every node tracks.
func (w *World) health() (c health.Config) {
	link := health.Source{Kind: health.KindInterface, Name: segmentNames[tracked]}
	tracks := []health.Track{{Source: link, Weight: linkWeight}}
	c.Sources = append(c.Sources, health.SourceConfig{Source: link})
	for k, name := range checkNames {
		s := health.Source{Kind: health.KindCheck, Name: name}
		t := health.Track{Source: s}
		if k == soft {
			t.Weight = softWeight
		}
		tracks = append(tracks, t)
		c.Sources = append(c.Sources, health.SourceConfig{Source: s})
	}
	for _, g := range w.sc.Groups {
		hg := health.GroupConfig{Name: g.Name}
		for _, r := range g.Routers {
			hg.Routers = append(hg.Routers, health.RouterConfig{Name: w.sc.Routers[r].Name, Priority: 100, Track: tracks})
		}
		c.Groups = append(c.Groups, hg)
	}
	return c
}

// firstWords come a while after a daemon has started.
func (n *node) firstWords() {
	if n.w.sc.Tracks {
		after := n.rng.between(0, int64(300*time.Millisecond))
		n.w.q.push(event{at: n.w.now + after, kind: evWord, node: int8(n.id), a: n.d.id})
	}
}

func (n *node) tellChecks() {
	n.d.probed = true
	for k := range n.checks {
		n.tellCheck(k)
	}
	n.tellLink(tracked)
}

func (n *node) tellCheck(k int) {
	if n.d != nil && n.d.probed {
		n.d.post(appliance.CheckChanged{Name: checkNames[k], State: n.checks[k], Why: "it says so"})
	}
}

func (n *node) tellLink(segment int) {
	if n.d != nil && n.d.probed && segment == tracked {
		n.d.post(appliance.LinkChanged{Name: segmentNames[segment], Up: n.linkUp[segment]})
		// A bond has the link as its only member. It is in no group's list: what is told
		// of it comes in every state, and changes nothing.
		bond := appliance.BondChanged{Name: "bond0", State: health.Up}
		if !n.linkUp[segment] {
			bond.State, bond.Lost = health.Down, 1
		}
		n.d.post(bond)
	}
}

// setCheck is a check that comes out otherwise.
func (n *node) setCheck(name, state string) {
	for k := range checkNames {
		if checkNames[k] == name {
			n.checks[k] = health.Up
			if state == "down" {
				n.checks[k] = health.Down
			}
			n.tellCheck(k)
		}
	}
}
