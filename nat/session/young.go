package session

import "time"

// A young session is one that is too short-lived so far to be told to peers: it
// is in the table, and in no transfer, no tally and no queue of a peer.

// SetYoung makes the session at s young: nobody has been told of it yet.
func (t *Table) SetYoung(s Slot) {
	e := t.at(s)
	if e.bits&(bitLive|bitYoung) != bitLive || e.dirty&^Sink(SinkKernel) != 0 {
		return // it is, or a peer has yet to hear that it once ended: it may hear this as well
	}
	t.delist(e)
	e.bits |= bitYoung
	t.enlist(e)
}

// Mature makes the session at s one like the others and tells whether it was
// young. The caller tells the peers.
func (t *Table) Mature(s Slot) bool {
	e := t.at(s)
	if e.bits&(bitLive|bitYoung) != bitLive|bitYoung {
		return false
	}
	t.delist(e)
	e.bits &^= bitYoung
	t.enlist(e)
	return true
}

// HasHelper tells whether a protocol helper reads the session at s: others depend on
// it, so it is not kept back.
func (t *Table) HasHelper(s Slot) bool {
	a := t.aside.at(t.at(s).aside)
	return a != nil && a.helper != (Name{})
}

// HasMaster tells whether another session expected the one at s.
func (t *Table) HasMaster(s Slot) bool {
	a := t.aside.at(t.at(s).aside)
	return a != nil && a.master.Family != 0
}

// Young tells whether the session at s is young.
func (t *Table) Young(s Slot) bool { return t.at(s).bits&bitYoung != 0 }

// Nursery remembers when young sessions come of age. Those of a class do so in
// the order in which they began, so it is a queue for each.
type Nursery struct {
	policy Policy
	queues [][]young
	heads  []int
}

// young is a session and when it is old enough. The id tells it from another one
// that has its slot since.
type young struct {
	due  time.Time
	slot Slot
	id   uint32
}

// NewNursery returns an empty nursery for the classes of p.
func NewNursery(p Policy) *Nursery {
	return &Nursery{policy: p, queues: make([][]young, len(p)), heads: make([]int, len(p))}
}

// Add notes that the session at s, of the given class, is young from now on.
func (n *Nursery) Add(now time.Time, t *Table, s Slot, class int) {
	t.SetYoung(s)
	n.queues[class] = append(n.queues[class], young{now.Add(n.policy[class].MinAge), s, t.at(s).id})
}

// Len is the number of sessions that are waited for; some of them have ended.
func (n *Nursery) Len() (sum int) {
	for i := range n.queues {
		sum += len(n.queues[i]) - n.heads[i]
	}
	return sum
}

// Count is how many of those waited for are young, by class.
func (n *Nursery) Count(t *Table) []int {
	count := make([]int, len(n.queues))
	for i := range n.queues {
		for _, y := range n.queues[i][n.heads[i]:] {
			if e := t.at(y.slot); e.id == y.id && e.bits&bitYoung != 0 {
				count[i]++
			}
		}
	}
	return count
}

// Due makes those sessions of age whose time has come, and tells to of them.
func (n *Nursery) Due(now time.Time, t *Table, to Sinks) (matured int) {
	return n.mature(now, t, to, false)
}

// All makes all sessions of age, whatever their time.
func (n *Nursery) All(now time.Time, t *Table, to Sinks) (matured int) {
	return n.mature(now, t, to, true)
}

func (n *Nursery) mature(now time.Time, t *Table, to Sinks, all bool) (matured int) {
	for i := range n.queues {
		q, h := n.queues[i], n.heads[i]
		for ; h < len(q) && (all || !now.Before(q[h].due)); h++ {
			if y := q[h]; t.at(y.slot).id == y.id && t.Mature(y.slot) {
				t.Mark(y.slot, to, now)
				matured++
			}
		}
		switch {
		case h == len(q):
			q, h = q[:0], 0
			if cap(q) > 4096 { // a burst is over
				q = nil
			}
		case h > 1024 && h > len(q)/2:
			q, h = q[:copy(q, q[h:])], 0
		}
		n.queues[i], n.heads[i] = q, h
	}
	return matured
}
