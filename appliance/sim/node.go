package sim

import (
	"time"

	"understudy/health"
	"understudy/vrrp"
)

// node is a box: two processes, what lies between them, and a kernel.
type node struct {
	w     *World
	id    int
	clock clock
	rng   rng
	cfg   *setup // the file, as last accepted

	running bool // the service manager wants it to
	e       *election
	d       *daemon
	eHung   bool // stopped processes: nothing of them is dead
	dHung   bool
	deaf    bool // while the election is stopped, what comes is lost
	pids    int32

	checks   [numChecks]health.State
	linkUp   [Segments]bool
	bare     [Segments]bool // up, but without an address
	linkNews [Segments]bool
	inbox    [Segments][]int32
	beatbox  []int32 // heartbeats that wait

	kernel kernel
	board  board
	up     fifo // daemon to election
	down   fifo // election to daemon

	late     int64 // the election's turns come so much late, at most
	lag      int64 // a message takes so long
	stalled  int64 // ... and none before this time of the world
	noSpawn  int64 // until when no process can be started
	transfer int64 // what a full transfer of sessions to or from it takes; 0: anything
	slow     int64 // what the kernel takes for an application

	worst        int64 // see applyBound
	wokenAt      int64
	poked        bool  // with a fault that nobody but the end lifts
	eWake, dWake int64 // of the world
	disturbed    int64 // last time something was wrong with the node; see guard
	incapable    int64 // last time its election could not act alone, or had no need to
	unitID       int32

	plane plane // what the daemon's session plane knows
	truth nodeTruth
}

func (w *World) newNode(i int, n Node) *node {
	node := &node{w: w, id: i, clock: clock{epoch: int64(time.Hour) * int64(100+37*i), ppm: n.PPM},
		rng: seeded(w.sc.Seed, 2, uint64(i)), eWake: never, dWake: never, slow: int64(time.Millisecond)}
	node.cfg = w.newSetup(nodeName(i), n, 0)
	for s := range node.linkUp {
		node.linkUp[s] = true
	}
	for k := range node.checks {
		node.checks[k] = health.Up
	}
	return node
}

func (n *node) name() string { return nodeName(n.id) }

// local is what the node's clock shows.
func (n *node) local() int64 { return n.clock.at(n.w.now) }

func (n *node) pid() int32 {
	n.pids++
	return n.pids
}

// start has the service manager start the node after a while.
func (n *node) start(after int64) {
	n.running = true
	n.unitID++
	n.w.q.push(event{at: n.w.now + after, kind: evUnit, node: int8(n.id), a: n.unitID})
}

// unit is the service manager: it starts the election, which starts the daemon.
func (n *node) unit(id int32) {
	if id != n.unitID || !n.running || n.e != nil || n.d != nil {
		return
	}
	if n.kernel.dirty {
		n.kernel.clean(n)
		n.w.check.kernel(n)
	}
	if n.w.now < n.noSpawn {
		n.start(n.noSpawn - n.w.now)
		return
	}
	n.board = board{}
	n.truth.fresh()
	n.e = n.newElection(nil)
	n.e.configure(n.cfg)
	n.e.restartAt = n.local()
	n.wakeElection()
}

// bothDead is for when nobody is left: the service manager cleans up, then
// starts anew.
func (n *node) bothDead() {
	if n.e != nil || n.d != nil || !n.running {
		return
	}
	n.kernel.dirty = true
	n.start(int64(100 * time.Millisecond))
}

// crash is the power cord.
func (n *node) crash() {
	n.w.trace("%s crash", n.name())
	n.killElection()
	n.killDaemon()
	n.running, n.eHung, n.dHung, n.deaf = false, false, false, false
	n.kernel = kernel{}
	n.plane = plane{}
	n.unitID++
	n.w.sessionsChanged()
}

func (n *node) killElection() {
	if n.e == nil {
		return
	}
	n.w.trace("%s election dies", n.name())
	n.endElection()
	if n.d != nil {
		n.d.linkLost(n.w.now)
	}
	n.bothDead()
}

// endElection is what the death of the process does by itself.
func (n *node) endElection() {
	n.e, n.eHung, n.eWake = nil, false, never
	for s := range n.inbox {
		for _, i := range n.inbox[s] {
			n.w.pool.put(i)
		}
		n.inbox[s] = n.inbox[s][:0]
	}
	n.w.freeBeats = append(n.w.freeBeats, n.beatbox...)
	n.beatbox = n.beatbox[:0]
	n.truth.electionGone()
	n.w.check.kernel(n)
}

func (n *node) killDaemon() {
	if n.d == nil {
		return
	}
	n.w.trace("%s daemon dies", n.name())
	n.d, n.dHung, n.dWake = nil, false, never
	n.plane = plane{}
	n.up.flush()
	n.w.sessionsChanged()
	if n.e != nil {
		n.e.daemonExited()
		n.wakeElection()
	}
	n.bothDead()
}

// hang stops a process (SIGSTOP); wake goes on.
func (n *node) hang(which string) {
	if which != "daemon" && n.e != nil && !n.eHung {
		n.eHung, n.eWake = true, never
		if n.d != nil {
			n.wakeDaemon(n.w.now) // it looks back at the election
		}
	}
	if which != "election" && n.d != nil && !n.dHung {
		if n.e != nil && n.e.daemon != nil {
			n.e.daemon.silent(n.local())
		}
		n.dHung, n.dWake = true, never
		if n.e != nil {
			n.wakeElection()
		}
		n.w.sessionsChanged()
	}
}

func (n *node) wake() {
	was := n.eHung || n.dHung
	n.wokenAt = n.w.now
	n.eHung, n.dHung, n.deaf = false, false, false
	if !was {
		return
	}
	if n.e != nil {
		n.wakeElection()
	}
	if n.d != nil {
		n.wakeDaemon(n.w.now)
	}
	n.w.sessionsChanged()
}

// wakeElection gives the election a turn, as soon as it is not late.
func (n *node) wakeElection() {
	if n.e == nil || n.eHung {
		return
	}
	at := n.w.now
	if n.late > 0 {
		at += n.rng.below(n.late)
	}
	n.eWake = min(n.eWake, at)
}

func (n *node) wakeDaemon(at int64) {
	if n.d != nil && !n.dHung {
		n.dWake = min(n.dWake, at)
	}
}

// setLink changes a link and tells the election, which reads it in its turn.
func (n *node) setLink(segment int, state string) {
	n.linkUp[segment], n.bare[segment] = state != "down", state == "bare"
	n.linkNews[segment] = true
	n.wakeElection()
	n.w.sessionsChanged()
	n.tellLink(segment)
}

// link is how the election finds an interface.
func (n *node) link(segment int) vrrp.SetInput {
	in := vrrp.SetInput{Kind: vrrp.InLink, Interface: segmentNames[segment], Up: n.linkUp[segment]}
	if !n.bare[segment] {
		in.Primary, in.LinkLocal = source(segment, n.id, 4), source(segment, n.id, 6)
	}
	return in
}
