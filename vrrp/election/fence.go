package election

import (
	"errors"
	"slices"
	"time"
)

// fences holds for each group how to take it out of service.
type fences struct {
	exec   *Executor
	groups map[string]*fence
	slow   []slowBatch // to be done when there is nothing better to do
	stats  FenceStats
}

type fence struct {
	gate, remove, lower []NetlinkBatch
	next                *fence // being received
}

// slowBatch is a part of a fence that nobody waits for.
type slowBatch struct {
	group string
	batch NetlinkBatch
}

// FenceStats counts what was executed.
type FenceStats struct {
	GateCloses uint64
	Fences     uint64
	Messages   uint64
	Absent     uint64 // was to be removed, was not there
	Failed     uint64
	LastError  string `json:",omitempty"`
	LastRun    time.Duration
}

// tries is how often something is attempted on the spot, before a packet that
// must follow it goes out regardless.
const tries = 3

func newFences(exec *Executor) *fences {
	return &fences{exec: exec, groups: make(map[string]*fence)}
}

// set takes in a Fence; the last one of a series makes it valid.
func (f *fences) set(m Fence) {
	g := f.groups[m.Group]
	if g == nil {
		g = &fence{}
		f.groups[m.Group] = g
	}
	if g.next == nil {
		g.next = &fence{}
	}
	g.next.gate = append(g.next.gate, m.GateClose...)
	g.next.remove = append(g.next.remove, m.Remove...)
	g.next.lower = append(g.next.lower, m.Lower...)
	if !m.More {
		g.gate, g.remove, g.lower, g.next = g.next.gate, g.next.remove, g.next.lower, nil
	}
}

// keep forgets the groups that are not in names.
func (f *fences) keep(names map[string]int) {
	for name := range f.groups {
		if _, ok := names[name]; !ok {
			delete(f.groups, name)
		}
	}
}

// forget is for a kernel in which nothing of ours is left.
func (f *fences) forget() { clear(f.groups) }

// closeGate stops traffic to a group's addresses at once. Closing a closed gate
// is no error.
func (f *fences) closeGate(group string) error {
	g := f.groups[group]
	if g == nil {
		return nil
	}
	f.stats.GateCloses++
	return f.try(g.gate)
}

// remove takes a group's addresses away, and plans the slow rest.
func (f *fences) remove(group string) error {
	g := f.groups[group]
	if g == nil {
		return nil
	}
	f.spare(group) // once is enough
	for _, b := range g.lower {
		f.slow = append(f.slow, slowBatch{group, b})
	}
	return f.try(g.remove)
}

// spare forgets what is still to be done of a group's fence: it serves again.
func (f *fences) spare(group string) {
	f.slow = slices.DeleteFunc(f.slow, func(s slowBatch) bool { return s.group == group })
}

// slowly does one batch of the slow rest.
func (f *fences) slowly() error {
	if len(f.slow) == 0 {
		return nil
	}
	s := f.slow[0]
	f.slow = f.slow[1:]
	return f.try([]NetlinkBatch{s.batch})
}

// outcome is what became of a fence.
type outcome struct {
	gate, remove error
	shut         bool // there is a gate, and it is closed
}

// serving tells that a group is as much in service as before: nothing worked.
func (o outcome) serving() bool { return !o.shut && o.remove != nil }

func (o outcome) err() error { return errors.Join(o.gate, o.remove) }

// run executes the whole fence: the gate, then the addresses even if the gate
// would not close.
func (f *fences) run(group string) (o outcome) {
	start := time.Now()
	f.stats.Fences++
	o.gate = f.closeGate(group)
	o.remove = f.remove(group)
	o.shut = o.gate == nil && f.groups[group] != nil && len(f.groups[group].gate) > 0
	f.stats.LastRun = time.Since(start)
	return o
}

func (f *fences) try(batches []NetlinkBatch) error {
	var r Result
	for range tries {
		r = f.exec.Run(batches)
		f.stats.Messages += uint64(r.Messages)
		f.stats.Absent += uint64(r.Absent)
		if r.Err == nil {
			return nil
		}
		f.stats.Failed++
		f.stats.LastError = r.Err.Error()
	}
	return r.Err
}
