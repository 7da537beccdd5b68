package session

// Groups is what a node knows of who owns the records of each group: the
// highest term heard of and who raised it. Terms are ordered by number, then by
// node name, so two nodes never tie. All links of a node share one Groups.
type Groups struct {
	self string
	list []GroupState
}

// GroupState is the ownership of one group.
type GroupState struct {
	Name   string
	Term   uint64 // the highest known
	Holder string // the Active node of that term; empty: none is known
	Active bool   // this node is Active
	Own    uint64 // its term, lower than Term if another node's claim is better
	// Partial holds back full transfers: this node is Active, but its table has
	// not been compared with its kernel yet, and what a transfer lacks is swept.
	Partial bool
	// Incomplete holds them back as well: this node is Active, but another one
	// may have sessions that it lacks. They are asked for first, see kept.go.
	Incomplete bool
	// Kept: this node was the last to own the group, and no other's set has
	// replaced its records since.
	Kept bool
}

// NewGroups returns the groups of the node self, none of them Active.
func NewGroups(self string, names ...string) *Groups {
	g := &Groups{self: self}
	for _, n := range names {
		g.list = append(g.list, GroupState{Name: n})
	}
	return g
}

// Len is the number of groups.
func (g *Groups) Len() int { return len(g.list) }

// At returns a group's ownership.
func (g *Groups) At(i int) GroupState { return g.list[i] }

// Index finds a group by name, -1 if there is none.
func (g *Groups) Index(name string) int {
	for i := range g.list {
		if g.list[i].Name == name {
			return i
		}
	}
	return -1
}

// Active is the set of the groups this node is Active for.
func (g *Groups) Active() (s GroupSet) {
	for i := range g.list {
		if g.list[i].Active {
			s |= 1 << uint(i)
		}
	}
	return s
}

// SetPartial sets whether full transfers of group i are held back.
func (g *Groups) SetPartial(i int, on bool) { g.list[i].Partial = on }

// SetIncomplete sets whether group i lacks sessions that another node may have.
func (g *Groups) SetIncomplete(i int, on bool) { g.list[i].Incomplete = on }

// Partial is the set of the groups that are Active here and not compared with the
// kernel yet.
func (g *Groups) Partial() (s GroupSet) {
	for i := range g.list {
		if g.list[i].Active && g.list[i].Partial {
			s |= 1 << uint(i)
		}
	}
	return s
}

// whole is the set of the groups that may be transferred.
func (g *Groups) whole() (s GroupSet) {
	for i := range g.list {
		if g.list[i].Active && !g.list[i].Partial && !g.list[i].Incomplete {
			s |= 1 << uint(i)
		}
	}
	return s
}

// All is the set of all groups.
func (g *Groups) All() GroupSet { return 1<<uint(len(g.list)) - 1 }

// Activate makes this node the owner of group i and returns the term: the one
// given, or a higher one if that has been heard of already.
func (g *Groups) Activate(i int, term uint64) uint64 {
	s := &g.list[i]
	if term <= s.Term && !(s.Active && s.Holder == g.self) {
		term = s.Term + 1
	}
	s.Term = max(term, s.Term)
	s.Own, s.Holder, s.Active, s.Kept = s.Term, g.self, true, true
	return s.Own
}

// Deactivate gives group i up. Its term stays.
func (g *Groups) Deactivate(i int) {
	s := &g.list[i]
	s.Incomplete = false
	if s.Active = false; s.Holder == g.self {
		s.Holder = ""
	}
}

// Raise notes a term heard of elsewhere, of whoever.
func (g *Groups) Raise(i int, term uint64) {
	if s := &g.list[i]; term > s.Term {
		s.Term, s.Holder = term, ""
		s.overtop(g.self)
	}
}

// Lost notes that nothing more is heard of node. What it holds it may go on
// holding; but if this node is Active as well, it stops to give way.
func (g *Groups) Lost(node string) (raised GroupSet) {
	for i := range g.list {
		if s := &g.list[i]; s.Active && s.Holder == node {
			s.Holder = ""
			s.overtop(g.self)
			raised |= 1 << uint(i)
		}
	}
	return raised
}

// overtop raises the own term of the only node that is Active above what it has
// heard, or nobody would take its records.
func (s *GroupState) overtop(self string) bool {
	if !s.Active || s.Holder != "" && s.Holder != self || s.Holder == self && s.Own >= s.Term {
		return false
	}
	s.Term++
	s.Own, s.Holder = s.Term, self
	return true
}

// Verdict is what a claim to a group is worth.
type Verdict uint8

const (
	Stale   Verdict = iota // a better claim is known
	Current                // the known owner
	Newer                  // a new owner, or a new term
)

// Hear judges node's word that it is, or is not, Active for group i in term.
// A better claim is adopted, but it does not make this node give the group up:
// that is for the election.
func (g *Groups) Hear(i int, term uint64, node string, active bool) Verdict {
	s := &g.list[i]
	v := Current
	switch {
	case !active:
		if s.Holder == node {
			s.Holder = ""
		}
		if term > s.Term {
			s.Term, v = term, Newer
		}
		if s.overtop(g.self) {
			v = Newer
		}
		return v
	case term < s.Term, term == s.Term && s.Holder > node:
		return Stale
	case term == s.Term && s.Holder == node:
		return Current
	}
	s.Term, s.Holder = term, node
	return Newer
}

// announced is the term this node's frames carry.
func (s *GroupState) announced() uint64 {
	if s.Active {
		return s.Own
	}
	return s.Term
}
