package sim

import "time"

// Shrink makes a schedule that violates a rule smaller, as long as it violates
// the same rule: fewer faults, fewer nodes, rounder and shorter times. It runs
// the schedule at most tries times.
func Shrink(s *Schedule, rule string, tries int) *Schedule {
	x := shrinker{best: s.Clone(), rule: rule, left: tries}
	for before := 0; x.left > 0 && before != x.size(); {
		before = x.size()
		x.acts()
		x.nodes()
		x.plain()
		x.times()
	}
	return x.best
}

type shrinker struct {
	best *Schedule
	rule string
	left int
}

// size is what has to become less for another round.
func (x *shrinker) size() int {
	return len(x.best.Acts)*1000 + len(x.best.Nodes)*100 + len(x.best.String())
}

// try takes c if it still fails.
func (x *shrinker) try(c *Schedule) bool {
	if x.left--; x.left < 0 {
		return false
	}
	if v := New(c).Run(); v == nil || v.Rule != x.rule {
		return false
	}
	x.best = c
	return true
}

// acts leaves out halves, quarters, … and single acts.
func (x *shrinker) acts() {
	for size := max(len(x.best.Acts)/2, 1); size > 0; size /= 2 {
		for from := 0; from < len(x.best.Acts); {
			c := x.best.Clone()
			c.Acts = append(c.Acts[:from], c.Acts[min(from+size, len(c.Acts)):]...)
			if !x.try(c) {
				from += size
			}
		}
	}
}

// nodes leaves out a node and what was done to it.
func (x *shrinker) nodes() {
	for i := len(x.best.Nodes) - 1; i >= 0 && len(x.best.Nodes) > 1; i-- {
		x.try(x.best.without(i))
	}
}

func (s *Schedule) without(node int) *Schedule {
	c := s.Clone()
	c.Nodes = append(c.Nodes[:node], c.Nodes[node+1:]...)
	c.Acts = c.Acts[:0]
	moved := func(i int) int {
		if i > node {
			return i - 1
		}
		return i
	}
	for _, a := range s.Acts {
		gone := false
		for _, arg := range forms[a.Verb].args {
			switch arg {
			case 'n':
				gone = gone || a.A == node
			case 'm':
				gone = gone || a.B == node
			case 'x':
				low := a.N[0] & (1<<node - 1)
				a.N[0] = low | a.N[0]>>(node+1)<<node
			}
		}
		// An argument that the verb does not have must be a node all the same.
		a.A, a.B = min(moved(a.A), len(c.Nodes)-1), min(moved(a.B), len(c.Nodes)-1)
		if !gone {
			c.Acts = append(c.Acts, a)
		}
	}
	return c
}

// plain takes what is unusual away.
func (x *shrinker) plain() {
	change := func(f func(*Schedule)) {
		c := x.best.Clone()
		f(c)
		if c.String() != x.best.String() {
			x.try(c)
		}
	}
	change(func(s *Schedule) { s.Sessions = false })
	change(func(s *Schedule) { s.Tracks = false })
	change(func(s *Schedule) { s.Notify, s.Prepare = false, 0 })
	change(func(s *Schedule) { s.Prepare = 0 })
	change(func(s *Schedule) { s.Exercise = "" })
	change(func(s *Schedule) { s.Watchdog, s.Budget = 2*time.Second, 2*time.Second })
	for i := range x.best.Nodes {
		change(func(s *Schedule) { s.Nodes[i].PPM = 0 })
		change(func(s *Schedule) { s.Nodes[i].Delay = 0 })
		change(func(s *Schedule) { s.Nodes[i].Settle = 0 })
		change(func(s *Schedule) { s.Nodes[i].Preempt = true })
		change(func(s *Schedule) { s.Nodes[i].Interval = s.Nodes[0].Interval })
		change(func(s *Schedule) {
			for r := range s.Nodes[i].Priority {
				s.Nodes[i].Priority[r] = s.Nodes[i].Priority[0]
			}
		})
	}
	if n := len(x.best.Acts); n > 0 {
		change(func(s *Schedule) { s.End = s.Acts[n-1].At })
	}
}

// times halves the pauses between acts and how long they last, and rounds them.
func (x *shrinker) times() {
	for i := range x.best.Acts {
		if i >= len(x.best.Acts) {
			return
		}
		before := time.Duration(0)
		if i > 0 {
			before = x.best.Acts[i-1].At
		}
		x.shift(i, (x.best.Acts[i].At-before)/2)
		for k := range x.best.Acts[i].D {
			if x.best.Acts[i].D[k] > 1 {
				c := x.best.Clone()
				c.Acts[i].D[k] /= 2
				x.try(c)
			}
		}
		for _, unit := range []time.Duration{time.Second, 100 * time.Millisecond, time.Millisecond} {
			if x.shift(i, x.best.Acts[i].At%unit) {
				break
			}
		}
	}
}

// shift brings an act, and all that follow it, nearer.
func (x *shrinker) shift(i int, by time.Duration) bool {
	if by <= 0 {
		return false
	}
	c := x.best.Clone()
	for k := i; k < len(c.Acts); k++ {
		c.Acts[k].At -= by
	}
	c.End = max(c.End-by, c.Acts[len(c.Acts)-1].At)
	return x.try(c)
}
