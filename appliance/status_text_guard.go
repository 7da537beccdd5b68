package appliance

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// writeText prints what the peers' heartbeats say.
func (s GuardStatus) writeText(t io.Writer, now time.Time) {
	if len(s.Peers) == 0 {
		return
	}
	mode := s.Mode
	if s.Mode == "hold" {
		mode += fmt.Sprintf(", at most %v, while check %s is up there", time.Duration(s.LimitSeconds*float64(time.Second)), s.Check)
	}
	fmt.Fprintf(t, "\nGUARD\t%s\n", mode)
	for _, p := range s.Peers {
		if p.Last == nil {
			fmt.Fprintf(t, "heartbeats of %s\tnone yet\n", p.Name)
			continue
		}
		text := ago(now, p.Last) + ", neighbour " + p.Neighbour
		for _, g := range p.Groups {
			state := g.State
			if g.Leaving {
				state += " (leaving)"
			}
			text += fmt.Sprintf("; %s %s term %d%s", g.Name, state, g.Term, g.hearing())
		}
		fmt.Fprintf(t, "heartbeats of %s\t%s\n", p.Name, text)
	}
}

// hearing says whose adverts arrive: only an Active sends any.
func (g GuardGroup) hearing() string {
	var here, there []string
	for _, r := range g.Routers {
		if r.Heard {
			here = append(here, r.Name)
		}
		if r.HearsUs {
			there = append(there, r.Name)
		}
	}
	out := ""
	if len(here) > 0 {
		out += ", heard on " + strings.Join(here, " ")
	}
	if len(there) > 0 {
		out += ", hears us on " + strings.Join(there, " ")
	}
	return out
}
