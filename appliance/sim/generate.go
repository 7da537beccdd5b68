package sim

import (
	"slices"
	"time"

	"understudy/vrrp"
)

// Bounds of what Generate makes.
const (
	minFaults    = 10
	minIntervals = 20 // Active_Down_Intervals
)

// Generate makes the schedule of a seed: 2 to 5 nodes, at least 10 faults, and at
// least 20 Active_Down_Intervals until they stop.
func Generate(seed uint64) *Schedule {
	r := seeded(seed, 4)
	s := &Schedule{Seed: seed}
	g := generator{r: &r, s: s}
	g.topology()
	g.nodes()
	s.Sessions = r.percent(60)
	s.Tracks = r.percent(50)
	if s.Notify = r.percent(30); s.Notify && r.percent(50) {
		s.Prepare = pick(&r, time.Millisecond, 50*time.Millisecond, time.Second)
	}
	s.Watchdog = pick(&r, 400*time.Millisecond, time.Second, 2*time.Second)
	s.Budget = pick(&r, 300*time.Millisecond, time.Second, 2*time.Second)
	down := time.Duration(0)
	for _, n := range s.Nodes {
		for i, rt := range s.Routers {
			down = max(down, vrrp.ActiveDown(rt.Version, n.Priority[i], n.Interval))
		}
	}
	s.End = down * time.Duration(r.between(minIntervals, minIntervals*3/2))
	g.down = down
	for i, n := int64(0), r.between(minFaults, 2*minFaults); i < n; i++ {
		g.fault()
	}
	slices.SortStableFunc(s.Acts, func(a, b Act) int { return int(a.At - b.At) })
	s.Exercise = pick(&r, "", "crash", "stop", "link", "failover", "split", "return")
	if r.percent(30) {
		s.Guard = pick(&r, "alarm", "hold", "hold")
	}
	if s.Guard == "hold" {
		s.HoldLimit = pick(&r, 500*time.Millisecond, 2*time.Second, 10*time.Second)
		if s.Exercise == "split" { // nobody would take over in time
			s.Exercise = "crash"
		}
	}
	return s
}

func pick[T any](r *rng, of ...T) T { return of[r.below(int64(len(of)))] }

type generator struct {
	r    *rng
	s    *Schedule
	down time.Duration
	base time.Duration
}

func (g *generator) topology() {
	lan := Router{Name: "lan", Segment: 0, VRID: 51, Family: 4, Version: 3}
	wan := Router{Name: "wan", Segment: 1, VRID: 52, Family: 4, Version: 3}
	lan6 := Router{Name: "lan6", Segment: 0, VRID: 51, Family: 6, Version: 3}
	switch {
	case g.r.percent(8):
		lan.Version, wan.Version = 2, 2
		g.s.Routers, g.s.Groups = []Router{lan, wan}, []Group{{"gw", []int{0, 1}}}
	case g.r.percent(10):
		g.s.Routers, g.s.Groups = []Router{lan}, []Group{{"gw", []int{0}}}
	case g.r.percent(16):
		g.s.Routers, g.s.Groups = []Router{lan, wan}, []Group{{"in", []int{0}}, {"out", []int{1}}}
	case g.r.percent(12): // two on one segment: what is for one must not touch the other
		more := Router{Name: "more", Segment: 0, VRID: 53, Family: 4, Version: 3}
		g.s.Routers, g.s.Groups = []Router{lan, wan, more}, []Group{{"gw", []int{0, 1}}, {"alone", []int{2}}}
	case g.r.percent(18):
		g.s.Routers, g.s.Groups = []Router{lan, wan, lan6}, []Group{{"gw", []int{0, 1, 2}}}
	default:
		g.s.Routers, g.s.Groups = []Router{lan, wan}, []Group{{"gw", []int{0, 1}}}
	}
}

func (g *generator) nodes() {
	r := g.r
	intervals := []time.Duration{10 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond, 100 * time.Millisecond,
		300 * time.Millisecond, time.Second, time.Second}
	if g.s.Routers[0].Version == 2 {
		intervals = []time.Duration{time.Second}
	}
	g.base = pick(r, intervals...)
	mixed, uniform, preempt := r.percent(30), r.percent(65), r.percent(70)
	owner := r.percent(5)
	for i := range r.between(2, MaxNodes) {
		n := Node{Interval: g.base, Preempt: preempt || r.percent(50)}
		if mixed && r.percent(60) {
			n.Interval = pick(r, intervals...)
			n.Interval = min(max(n.Interval, g.base/5), 5*g.base)
		}
		p := g.priority()
		for k := range n.Priority {
			if !uniform && r.percent(50) {
				p = g.priority()
			}
			n.Priority[k] = p
			if owner && i == 0 {
				n.Priority[k] = 255
			}
		}
		if r.percent(15) {
			n.Delay = time.Duration(r.between(0, 6*int64(g.base)))
		}
		if r.percent(50) {
			n.Settle = pick(r, g.base, 5*g.base, 15*g.base)
		}
		if r.percent(60) {
			n.PPM = r.between(-200, 200)
		}
		g.s.Nodes = append(g.s.Nodes, n)
	}
}

func (g *generator) priority() uint8 {
	if g.r.percent(50) {
		return pick(g.r, uint8(100), 100, 150, 200)
	}
	return uint8(g.r.between(1, 254))
}

// some is a time that matters to timers of this schedule.
func (g *generator) some(most time.Duration) time.Duration {
	return time.Duration(g.r.between(0, int64(most)))
}

func (g *generator) add(a Act) { g.s.Acts = append(g.s.Acts, a) }

// undo adds what ends a fault, mostly.
func (g *generator) undo(a Act, after time.Duration) {
	if a.At += g.some(after); a.At < g.s.End && g.r.percent(85) {
		g.add(a)
	}
}

// fault adds one fault and what ends it.
func (g *generator) fault() {
	r, s := g.r, g.s
	n := len(s.Nodes)
	a := Act{At: g.some(s.End), A: int(r.below(int64(n))), B: int(r.below(int64(n - 1))), Seg: int(r.below(Segments)), G: int(r.below(int64(len(s.Groups))))}
	if a.B >= a.A {
		a.B++
	}
	while := 4 * g.down
	process := time.Duration(r.between(int64(50*time.Millisecond), int64(3*time.Second)))
	if r.percent(15) {
		process *= 4 // beyond every bound
	}
	switch k := r.below(100); {
	case k < 8:
		a.Verb = Cut
		g.undo(Act{At: a.At, Verb: Join, A: a.A, B: a.B, Seg: a.Seg}, while)
	case k < 13:
		a.Verb = Mute
		g.undo(Act{At: a.At, Verb: Join, A: a.A, B: a.B, Seg: a.Seg}, while)
	case k < 21:
		a.Verb = Noise
		a.N = [3]int64{r.between(0, 60), r.between(0, 30), r.between(0, 20)}
		a.D = [2]time.Duration{g.some(g.base / 4), g.some(g.base)}
		g.undo(Act{At: a.At, Verb: Heal, Seg: a.Seg}, 2*while)
	case k < 27:
		a.Verb, a.N[0] = Split, r.between(1, 1<<n-2)
		g.undo(Act{At: a.At, Verb: Heal, Seg: a.Seg}, while)
	case k < 34:
		a.Verb, a.Word = LinkState, pick(r, "down", "down", "bare")
		g.undo(Act{At: a.At, Verb: LinkState, A: a.A, Seg: a.Seg, Word: "up"}, while)
	case k < 40:
		a.Verb = Crash
		g.undo(Act{At: a.At, Verb: Start, A: a.A}, while)
	case k < 43:
		a.Verb = StopUnit
		g.undo(Act{At: a.At, Verb: Start, A: a.A}, while)
	case k < 50:
		a.Verb, a.Word = Kill, pick(r, "election", "election", "daemon", "daemon", "both")
		if r.percent(40) {
			g.add(Act{At: a.At, Verb: NoSpawn, A: a.A, D: [2]time.Duration{process}})
		}
	case k < 58:
		a.Verb, a.Word = Hang, pick(r, "election", "election", "daemon", "both")
		g.undo(Act{At: a.At, Verb: Wake, A: a.A}, pick(r, g.down, while, process))
	case k < 60:
		a.Verb = Deaf
		g.undo(Act{At: a.At, Verb: Wake, A: a.A}, while)
	case k < 63:
		a.Verb, a.D[0] = Slow, g.some(200*time.Millisecond)
	case k < 64:
		a.Verb, a.D[0] = Resync, pick(r, process, time.Millisecond)
	case k < 67:
		a.Verb, a.Word, a.D[0] = Refuse, pick(r, "addresses", "addresses", "gate", "fence"), g.some(while)
		if r.percent(30) { // while it leaves
			g.add(Act{At: a.At - min(a.At, g.base/5), Verb: Failover, A: a.A, G: a.G, Word: "force"})
			g.add(Act{At: a.At, Verb: Drift, A: a.A, G: a.G})
		}
	case k < 69:
		a.Verb = Drift
	case k < 71:
		a.Verb, a.D[0] = Delay, g.some(g.base)
		g.undo(Act{At: a.At, Verb: Delay, A: a.A}, while)
	case k < 73:
		a.Verb, a.D[0] = Stall, process
	case k < 76:
		a.Verb, a.D[0] = Late, g.some(g.base/2)
		g.undo(Act{At: a.At, Verb: Late, A: a.A}, while)
	default:
		g.operator(&a, int(k-76), process)
	}
	g.add(a)
}

// operator makes what people, peers and strangers do.
func (g *generator) operator(a *Act, k int, process time.Duration) {
	r := g.r
	switch {
	case k < 6:
		a.Verb, a.Word = Failover, pick(r, "ready", "force", "all")
	case k < 10:
		a.Verb, a.N[0] = Priority, int64(g.priority())
	case k < 13 && g.s.Tracks:
		a.Verb = Check
		a.Word = pick(r, "soft", "soft", "hard")
		g.undo(Act{At: a.At, Verb: Check, A: a.A, Word: a.Word + "-up"}, 4*g.down)
		a.Word += "-down"
	case k < 14:
		a.Verb, a.Word = Preempt, pick(r, "yes", "no")
	case k < 17 && g.s.Routers[0].Version == 2: // has to be the same everywhere
		a.Verb = Drift
	case k < 16:
		a.Verb, a.N[0] = Addresses, r.between(0, perRouter-1)
	case k < 17:
		a.Verb, a.D[0] = Interval, pick(r, g.base, 2*g.base)
	case k < 18:
		a.Verb = Reclaim
	case k < 19:
		a.Verb, a.N[0] = Raise, r.between(0, 9)
	case k < 20:
		a.Verb, a.D[0] = Absence, process
	case k < 21:
		a.Verb, a.Word = Poke, pick(r, "start", "tick", "fault", "fault-fence", "fault-off", "resume", "eligible", "overlap", "weight", "vouch", "unvouch", "hand-over", "stop", "stop-fence")
		if a.Word == "fault" || a.Word == "fault-fence" {
			g.undo(Act{At: a.At, Verb: Poke, A: a.A, G: a.G, Word: "fault-off"}, g.down)
		}
		if r.percent(30) { // while the group is being left
			g.add(Act{At: a.At - min(a.At, g.base/5), Verb: Failover, A: a.A, G: a.G, Word: "force"})
		}
	case k < 22:
		a.Verb, a.N, a.D[0] = Rogue, [3]int64{r.below(256), 1}, pick(r, g.base, 2*g.base, 5*g.base)
	case k < 23:
		a.Verb, a.Word = Event, pick(r, forms[Event].words...)
		if a.Word == "refused" {
			a.Word = "stale" // the kernel's refusals are worth more, and do not last for ever
		}
	default:
		a.Verb, a.N[0] = Junk, r.between(1, 20)
	}
}
