package keepalived

import (
	"slices"
	"time"
)

// pace reads a keyword of announcements; word is it without what says that it is global.
func (p *parser) pace(to *Pace, n *Node, word string) {
	switch word {
	case "garp_master_delay":
		if d, ok := p.seconds(n, 0, time.Hour); ok {
			to.Delay = of(d, n.At)
		}
	case "garp_master_refresh":
		if d, ok := p.seconds(n, 0, 24*time.Hour); ok {
			to.Refresh = of(d, n.At)
		}
	case "garp_master_repeat":
		if v, ok := p.number(n, 1, 1<<31-1); ok {
			to.Repeat = of(v, n.At)
		}
	case "garp_master_refresh_repeat":
		if v, ok := p.number(n, 1, 1<<31-1); ok {
			to.RefreshRepeat = of(v, n.At)
		}
	}
}

// leastGap is the least that keepalived takes, and mostGap the most that is one here.
const (
	leastGap = time.Microsecond
	mostGap  = time.Minute
)

func (p *parser) gap(n *Node) Of[time.Duration] {
	if d, ok := p.seconds(n, leastGap, (1<<32-1)*time.Microsecond); ok {
		return of(d, n.At)
	}
	return Of[time.Duration]{}
}

func (p *parser) gapGroup(block *Node) (g GapGroup) {
	for _, n := range block.Children {
		switch n.Word {
		case "garp_interval":
			g.ARP = p.gap(n)
		case "gna_interval":
			g.NA = p.gap(n)
		case "interface":
			g.Interfaces = append(g.Interfaces, n.Args...)
		case "interfaces":
			for _, c := range n.Children {
				g.Interfaces = append(g.Interfaces, c.all()...)
			}
		}
	}
	return g
}

// Defaults of keepalived's announcements, and bounds of router.announce.
const (
	defaultAgain  = 5 * time.Second
	defaultRepeat = 5
	mostRepeat    = 100
)

// announce sets the pace of announcements if anything says one. What it does not say is as
// keepalived has it, but for refreshes, which are not given up unless it says so.
func (c *converter) announce(in *Instance, t *Table, six bool) {
	g := c.file.Global
	pick := func(own, global Of[time.Duration]) Of[time.Duration] {
		if own.Set {
			return own
		}
		return global
	}
	count := func(own, global Of[int]) Of[int] {
		if own.Set {
			return own
		}
		return global
	}
	delay, refresh := pick(in.Pace.Delay, g.Pace.Delay), pick(in.Pace.Refresh, g.Pace.Refresh)
	repeat, more := count(in.Pace.Repeat, g.Pace.Repeat), count(in.Pace.RefreshRepeat, g.Pace.RefreshRepeat)
	gap, gapWord := c.gapOf(in, six)
	if g.MinPace.V {
		if !repeat.Set {
			repeat = of(1, g.MinPace.At)
		}
		if !delay.Set {
			delay = of(time.Duration(0), g.MinPace.At)
		}
		if !refresh.Set {
			refresh = of(time.Duration(0), g.MinPace.At)
		}
	}
	if !delay.Set && !refresh.Set && !repeat.Set && !more.Set && !gap.Set {
		return
	}
	o := Origin{in.At, "vrrp_instance " + in.Name}
	pace := newTable(o)
	pace.set("repeat", c.atMost(repeat, defaultRepeat, mostRepeat, "garp_master_repeat"), origin(repeat, "garp_master_repeat", o))
	pace.set("again", duration(delay.or(defaultAgain)), origin(delay, "garp_master_delay", o))
	if refresh.Set {
		d := refresh.V
		if d > 0 && d < time.Second {
			d = time.Second
		}
		pace.set("refresh", duration(d), Origin{refresh.At, "garp_master_refresh"})
	}
	if more.Set {
		pace.set("refresh_repeat", c.atMost(more, 1, mostRepeat, "garp_master_refresh_repeat"), Origin{more.At, "garp_master_refresh_repeat"})
	}
	if gap.Set {
		if gap.V > mostGap {
			c.say(gap.At, Warning, "%s: %v is cut to %v", gapWord, gap.V, mostGap)
		}
		pace.set("gap", duration(min(gap.V, mostGap)), Origin{gap.At, gapWord})
	}
	t.set("announce", pace, pace.Origin)
}

func (c *converter) atMost(v Of[int], def, most int, word string) int {
	n := v.or(def)
	if n > most {
		c.say(v.At, Warning, "%s: %d is cut to %d", word, n, most)
	}
	return min(n, most)
}

// gapOf is the time between announcements on the instance's interface: of its garp_group,
// else of all.
func (c *converter) gapOf(in *Instance, six bool) (Of[time.Duration], string) {
	for _, g := range c.file.Gaps {
		if !slices.Contains(g.Interfaces, in.Interface.V) {
			continue
		}
		if six && g.NA.Set {
			return g.NA, "gna_interval"
		}
		if !six && g.ARP.Set {
			return g.ARP, "garp_interval"
		}
	}
	if six {
		return c.file.Global.GapNA, "vrrp_gna_interval"
	}
	return c.file.Global.GapARP, "vrrp_garp_interval"
}
