package session

import (
	"cmp"
	"slices"
)

// Standing is what a peer has of a flow of this node's.
type Standing uint8

const (
	Told       Standing = iota // all of it, applied
	StandYoung                 // nothing: its class keeps it back
	StandDirty                 // not the last change: it was not sent yet
	StandSent                  // sent, and not acknowledged as the knobs' Ack has it
	StandRefused
	StandUnsynced // unknown: no full transfer has been applied on this connection
)

// String is the word for it.
func (s Standing) String() string {
	switch s {
	case Told:
		return "told"
	case StandYoung:
		return "young"
	case StandDirty:
		return "dirty"
	case StandSent:
		return "in-flight"
	case StandRefused:
		return "refused"
	case StandUnsynced:
		return "unsynced"
	}
	return "unknown"
}

// Standings counts flows by what a peer has of them.
type Standings [StandUnsynced + 1]int

// Lacking is the number of those that the peer does not have as they are.
func (n *Standings) Lacking() (sum int) {
	for i, v := range n {
		if Standing(i) != Told {
			sum += v
		}
	}
	return sum
}

// Census goes over the flows of this node's groups and says what a peer has of
// each, in slices. What is on its way counts as it was when the census began.
type Census struct {
	s       *Sender
	groups  GroupSet
	synced  bool
	sent    []Slot // sorted
	refused []refusedSlot
	next    Slot
}

// Census begins one of the groups that this node is Active for.
func (s *Sender) Census() *Census {
	c := &Census{s: s, groups: s.groups.Active(), refused: s.refused.slots(s.table)}
	c.synced, _ = s.Synced()
	s.eachUnsafe(func(sent []Slot) { c.sent = append(c.sent, sent...) })
	slices.Sort(c.sent)
	slices.SortFunc(c.refused, func(a, b refusedSlot) int { return cmp.Compare(a.slot, b.slot) })
	return c
}

// Step looks at the next n slots and calls fn for each flow that the peer lacks as
// it is. It returns false when it has seen all.
func (c *Census) Step(n int, counts *Standings, fn func(Slot, Standing, Refusal)) (more bool) {
	t := c.s.table
	end := min(c.next+Slot(n), t.Slots())
	t.Range(c.next, end, c.groups, func(s Slot) bool {
		st, why := c.standing(s)
		counts[st]++
		if st != Told && fn != nil {
			fn(s, st, why)
		}
		return true
	})
	c.next = end
	return end < t.Slots()
}

func (c *Census) standing(s Slot) (Standing, Refusal) {
	e := c.s.table.at(s)
	for len(c.refused) > 0 && c.refused[0].slot < s {
		c.refused = c.refused[1:]
	}
	for len(c.sent) > 0 && c.sent[0] < s {
		c.sent = c.sent[1:]
	}
	switch {
	case e.bits&bitYoung != 0:
		return StandYoung, 0
	case !c.synced:
		return StandUnsynced, 0
	case len(c.refused) > 0 && c.refused[0].slot == s:
		return StandRefused, c.refused[0].why
	case e.dirty&c.s.Sink() != 0:
		return StandDirty, 0
	case len(c.sent) > 0 && c.sent[0] == s:
		return StandSent, 0
	}
	return Told, 0
}

// HasAll tells, without a census, that the peer lacks nothing.
func (s *Sender) HasAll() bool {
	synced, _ := s.Synced()
	return synced && s.table.young == 0 && s.Dirty() == 0 && s.Unapplied() == 0 && len(s.refused.why) == 0
}

// Unapplied is how many changes were sent and are not safe at the peer: not
// acknowledged as applied, or as the knobs' Ack has it.
func (s *Sender) Unapplied() (n int) {
	s.eachUnsafe(func(sent []Slot) { n += len(sent) })
	return n
}

// eachUnsafe calls fn with what each flight has carried that is not safe.
func (s *Sender) eachUnsafe(fn func([]Slot)) {
	for i := range s.beyond(s.safe()) {
		fn(s.carried[(s.first+s.flights-1-i)%window])
	}
}

// Youngsters is the number of young sessions.
func (t *Table) Youngsters() int { return t.young }
