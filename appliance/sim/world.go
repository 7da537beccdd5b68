package sim

import (
	"fmt"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// World is a run of a schedule: nodes, segments, and the one clock that is true.
type World struct {
	sc        *Schedule
	now       int64 // ns since the beginning
	before    int64 // time of the event before
	q         queue
	nodes     []*node
	paths     [Segments][MaxNodes][MaxNodes]path
	pool      pool
	beats     []beatPacket
	freeBeats []int32
	beatBuf   []byte
	keys      [MaxNodes]witness.Key
	duals     [MaxNodes][MaxNodes][MaxGroups]int64

	links [MaxNodes][MaxNodes]session // i < j

	Steps    Steps
	Coverage Coverage
	Trace    func(line string) // nil: nobody reads it
	spin     int               // events since the time moved
	hash     uint64            // of everything that happened

	ends    ending
	slowest int64 // that a packet ever was, at most
	check   checker
	failure *Violation
	done    bool
	advert  vrrp.Advert
	packet  []byte
}

// Steps counts what the machines did.
type Steps struct{ Set, Core uint64 }

// Total is all of them.
func (s Steps) Total() uint64 { return s.Set + s.Core }

// Add adds.
func (s *Steps) Add(o Steps) { s.Set += o.Set; s.Core += o.Core }

// Violation is a rule that did not hold.
type Violation struct {
	Rule string        // S1…S14, L1…, or a word: see the package documentation
	At   time.Duration // of the world
	Text string
}

func (v *Violation) Error() string { return fmt.Sprintf("%v: %s: %s", v.At, v.Rule, v.Text) }

// New prepares a run.
func New(sc *Schedule) *World {
	w := &World{sc: sc, packet: make([]byte, 0, 256), hash: 14695981039346656037}
	for s := range w.paths {
		for i := range w.paths[s] {
			for j := range w.paths[s][i] {
				p := &w.paths[s][i][j]
				p.rng = seeded(sc.Seed, 1, uint64(s), uint64(i), uint64(j))
				p.reset(w.settledDelay())
			}
		}
	}
	if sc.Guard != "" {
		w.guardKeys()
	}
	for i, n := range sc.Nodes {
		w.nodes = append(w.nodes, w.newNode(i, n))
	}
	for i := range sc.Acts {
		w.q.push(event{at: int64(sc.Acts[i].At), kind: evAct, a: int32(i)})
	}
	for _, n := range w.nodes {
		n.start(n.rng.between(0, int64(200*time.Millisecond)))
	}
	w.q.push(event{at: int64(sc.End), kind: evPhase})
	return w
}

// Run plays the schedule to its end and returns what was violated, or nil.
func (w *World) Run() *Violation {
	for !w.done && w.failure == nil {
		w.step()
	}
	return w.failure
}

// step does what comes next.
func (w *World) step() {
	at, who, what := never, -1, 0
	if len(w.q.h) > 0 {
		at = w.q.h[0].at
	}
	for i, n := range w.nodes {
		if n.eWake < at {
			at, who, what = n.eWake, i, 1
		}
		if n.dWake < at {
			at, who, what = n.dWake, i, 2
		}
	}
	if at == never {
		w.fail("stuck", "nothing is going to happen any more")
		return
	}
	w.before = w.now
	if at > w.now {
		w.now, w.spin = at, 0
	}
	if w.spin++; w.spin > 20_000 {
		w.fail("stuck", "no time passes any more")
		return
	}
	w.check.guard(w)
	switch what {
	case 1:
		w.nodes[who].e.turn()
	case 2:
		w.nodes[who].d.turn()
	default:
		w.happen(w.q.pop())
	}
}

func (w *World) happen(e event) {
	n := w.nodes[e.node]
	switch e.kind {
	case evFrame:
		n.arrive(e.a)
	case evBeat:
		n.arriveBeat(e.a)
	case evAct:
		w.act(&w.sc.Acts[e.a])
	case evElection:
		n.electionUp(e.a)
	case evDaemon:
		n.daemonUp(e.a)
	case evHold:
		if n.d != nil && n.d.id == e.a {
			n.d.holdPhase()
		}
	case evDrained:
		if n.d != nil && n.d.id == e.a {
			n.d.drained(int(e.b), e.c != 0)
		}
	case evGuard:
		n.overdue(e)
	case evSynced:
		w.sessionEvent(int(e.node), int(e.a), e.b)
	case evNews:
		n.termHeard(int(e.a), uint64(e.b))
	case evPrepared:
		if n.d != nil && n.d.id == e.a {
			n.d.prepared(int(e.b), uint64(e.c))
		}
	case evWord:
		if n.d != nil && n.d.id == e.a {
			n.tellChecks()
		}
	case evUnit:
		n.unit(e.a)
	case evPhase:
		w.phase()
	}
}

// fail notes the first violation.
func (w *World) fail(rule, format string, args ...any) {
	if w.failure == nil {
		w.failure = &Violation{Rule: rule, At: time.Duration(w.now), Text: fmt.Sprintf(format, args...)}
		w.trace("VIOLATION %s: %s", rule, w.failure.Text)
	}
}

func (w *World) trace(format string, args ...any) {
	if w.Trace != nil {
		w.Trace(fmt.Sprintf("%12v  ", time.Duration(w.now)) + fmt.Sprintf(format, args...))
	}
}

// mix folds what happened into the hash that a second run must repeat.
func (w *World) mix(v uint64) { w.hash = (w.hash ^ v ^ uint64(w.now)<<8) * 1099511628211 }

// Hash is that of everything that happened so far.
func (w *World) Hash() uint64 { return w.hash }

// Elapsed is the virtual time.
func (w *World) Elapsed() time.Duration { return time.Duration(w.now) }

// settledDelay is what a healthy path takes.
func (w *World) settledDelay() int64 {
	least := int64(time.Second)
	for _, n := range w.sc.Nodes {
		least = min(least, int64(n.Interval))
	}
	return least / 200
}
