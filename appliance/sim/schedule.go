package sim

import "time"

// Bounds of a schedule: arrays in the simulator have these sizes.
const (
	MaxNodes   = 5
	MaxRouters = 4
	MaxGroups  = 3
	// Segments are the networks every node is on. The last one carries sessions.
	Segments = 3
	syncLink = Segments - 1
)

// segmentNames are the words of a scenario file.
var segmentNames = [Segments]string{"lan", "wan", "sync"}

// Schedule is everything a run depends on. The same schedule runs the same way,
// to the nanosecond.
type Schedule struct {
	Seed      uint64 // of what is left to chance: losses, latencies
	Routers   []Router
	Groups    []Group
	Nodes     []Node
	Sessions  bool          // sessions are replicated, so readiness counts
	Tracks    bool          // checks and an interface are tracked
	Notify    bool          // programs are told of states
	Prepare   time.Duration // … and an activation waits for them so long, at most
	Watchdog  time.Duration // of the election over the daemon
	Budget    time.Duration
	Acts      []Act         // in the order of At
	End       time.Duration // the faults stop: everything is repaired
	Exercise  string        // what happens to the Active when all is calm: one of exercises, or nothing
	Guard     string        // alarm, hold, or "": no heartbeats
	HoldLimit time.Duration // of hold
}

// Router is a virtual router, the same on every node.
type Router struct {
	Name    string
	Segment int
	VRID    uint8
	Family  uint8 // 4 or 6
	Version uint8 // 2 or 3
}

// Group names routers by their index.
type Group struct {
	Name    string
	Routers []int
}

// Node is what a node begins with.
type Node struct {
	Priority [MaxRouters]uint8
	Interval time.Duration
	Preempt  bool
	Delay    time.Duration // before it preempts
	Settle   time.Duration // of a link that has come up
	PPM      int64         // its clock is so much too fast
}

// Act is something done to the world at a time. Which fields count is said by
// the verb's form.
type Act struct {
	At   time.Duration
	Verb Verb
	A, B int // nodes
	Seg  int // segment
	G    int // group
	D    [2]time.Duration
	N    [3]int64
	Word string
}

// nodeName is a, b, c…
func nodeName(i int) string { return string(rune('a' + i)) }

// Clone copies the schedule so that its acts can be changed.
func (s *Schedule) Clone() *Schedule {
	c := *s
	c.Routers = append([]Router(nil), s.Routers...)
	c.Nodes = append([]Node(nil), s.Nodes...)
	c.Acts = append([]Act(nil), s.Acts...)
	c.Groups = nil
	for _, g := range s.Groups {
		c.Groups = append(c.Groups, Group{g.Name, append([]int(nil), g.Routers...)})
	}
	return &c
}
