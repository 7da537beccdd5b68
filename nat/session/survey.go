package session

import (
	"encoding/binary"
	"errors"
	"slices"
)

// A survey finds which flows two nodes do not have alike. The one that asks tells
// the sums of its buckets (DIGEST with a number); the other answers with its flows
// in those that differ (INVENTORY). What is in question then, and cannot be more
// than a bounded number, it is asked of again by name (QUERY): its answer is of
// that position of the stream, at which the asker knows what it must have.
//
// Nothing is changed by it, nobody's claim counts, and it is not acknowledged.

// Difference is a flow that two nodes do not have alike.
type Difference struct {
	Key   Key
	Group int
	What  DifferenceKind
	Stand Standing // of a flow that the peer lacks
	Why   Refusal  // StandRefused
	ours  uint64
}

// DifferenceKind is how.
type DifferenceKind uint8

const (
	PeerLacks   DifferenceKind = iota // the peer does not have it
	PeerDiffers                       // it has it in another state
	PeerExtra                         // it has it, and we do not
	PeerKernel                        // it has it, but not in its kernel
)

// String is the word for it.
func (k DifferenceKind) String() string {
	switch k {
	case PeerLacks:
		return "lacks"
	case PeerDiffers:
		return "differs"
	case PeerExtra:
		return "extra"
	case PeerKernel:
		return "not-installed"
	}
	return "unknown"
}

// ErrSurvey: the peer is from before there was one, or not connected.
var ErrSurvey = errors.New("session: the peer cannot be asked what it has")

// Bounds of a survey: flows in one answer, in one query, and in question. What is
// beyond is counted as truncated.
const (
	surveyFlows = 1 << 16
	queryFlows  = 512
	queryRoom   = markRoom + 48*8
)

// Survey is one under way; its owner may look at it while nobody works with its
// sender.
type Survey struct {
	s      *Sender
	id     uint64
	groups GroupSet // to be compared yet
	group  int      // of them, under way
	phase  surveyPhase
	bits   uint8
	from   int
	differ bucketSet

	theirs    map[Key]uint64 // flows of the peer in buckets that differ: their sums
	cursor    Slot
	question  []Difference // what is to be asked of by name
	asked     int          // of them, so far
	inQuery   int          // under way
	found     []Difference
	truncated bool
}

type surveyPhase uint8

const (
	surveyDigests surveyPhase = iota
	surveyAnswer              // waiting for the inventory of the group
	surveyOwn                 // looking for what of ours is in question: Step
	surveyQuery
	surveyReply // waiting for the answer to a query
	surveyOver
)

// Survey asks the peer what it has of the groups. An earlier survey of this peer is
// over.
func (s *Sender) Survey(groups GroupSet) (*Survey, error) {
	if !s.connected || !s.peerKnown || !s.peer.Has(FeatureSurvey) {
		return nil, ErrSurvey
	}
	id := uint64(1)
	if s.survey != nil {
		id = s.survey.id + 1
	}
	s.survey = &Survey{s: s, id: id, groups: groups & s.groups.All()}
	s.survey.nextGroup()
	return s.survey, nil
}

// Over tells whether the survey is; Broken, whether it never will be, for the
// connection is another one or somebody else asks.
func (v *Survey) Over() bool   { return v.phase == surveyOver }
func (v *Survey) Broken() bool { return v.s.survey != v || !v.s.connected }

// Found is what was found, and whether there is more.
func (v *Survey) Found() (found []Difference, truncated bool) { return v.found, v.truncated }

func (v *Survey) nextGroup() {
	for g := range v.s.groups.list {
		if v.groups.Has(g) {
			v.groups &^= 1 << uint(g)
			n, _ := v.s.table.Tally(g)
			v.phase, v.group, v.bits, v.from, v.cursor = surveyDigests, g, coarseness(n), 0, 0
			v.theirs, v.differ = make(map[Key]uint64), bucketSet{}
			return
		}
	}
	v.theirs = nil
	v.ask()
}

// ask begins to query what is in question.
func (v *Survey) ask() {
	v.asked = 0
	if v.phase = surveyQuery; len(v.question) == 0 {
		v.phase = surveyOver
	}
}

// Idle tells whether the survey has nothing to send now.
func (v *Survey) Idle() bool { return v.phase != surveyDigests && v.phase != surveyQuery }

func (v *Survey) fill(b []byte) []byte {
	switch v.phase {
	case surveyDigests:
		total := 1 << v.bits
		n := min((cap(b)-len(b)-markRoom)/8, total-v.from)
		if n < min(1<<minBucketBits, total-v.from) {
			return b
		}
		b = appendDigests(b, v.s.table, v.group, 0, v.id, v.bits, v.from, n)
		if v.from += n; v.from == total {
			v.phase = surveyAnswer
		}
	case surveyQuery:
		b = v.query(b)
	}
	return b
}

// Step looks through the next n slots for flows that the peer did not name in its
// inventory. It returns false when there is nothing to do before an answer comes.
func (v *Survey) Step(n int) (more bool) {
	if v.phase != surveyOwn {
		return false
	}
	t := v.s.table
	end := min(v.cursor+Slot(n), t.Slots())
	t.Range(v.cursor, end, 1<<uint(v.group), func(s Slot) bool {
		e := t.at(s)
		w := t.wide.at(e.wide)
		if e.bits&bitYoung != 0 || !v.differ.has(e.bucket(w)>>(bucketBits-v.bits)) {
			return true
		}
		var k Key
		e.unpackKey(&k, w)
		theirs, has := v.theirs[k]
		delete(v.theirs, k)
		if !has || theirs != e.hashContent(w, t.aside.at(e.aside)) {
			v.doubt(k)
		}
		return true
	})
	if v.cursor = end; end < t.Slots() {
		return true
	}
	for k := range v.theirs {
		v.doubt(k)
	}
	v.nextGroup()
	return false
}

func (v *Survey) doubt(k Key) {
	if len(v.question) == surveyFlows {
		v.truncated = true
		return
	}
	v.question = append(v.question, Difference{Key: k, Group: v.group})
}

// query asks of flows by name and notes what we have of them at this position of
// the stream.
func (v *Survey) query(b []byte) []byte {
	if cap(b)-len(b) < queryRoom {
		return b
	}
	g := v.question[v.asked].Group
	b, start := openFrame(b, TypeQuery)
	b = binary.AppendUvarint(append(b, byte(g)), v.id)
	n := 0
	for v.asked+n < len(v.question) && n < queryFlows && cap(b)-len(b) >= 48 {
		d := &v.question[v.asked+n]
		if d.Group != g {
			break
		}
		b = AppendDelete(b, &Record{Key: d.Key})
		v.note(d)
		n++
	}
	v.inQuery, v.phase = n, surveyReply
	return closeFrame(b, start)
}

// note notes what this node has of the flow.
func (v *Survey) note(d *Difference) {
	t := v.s.table
	d.ours, d.Stand = 0, Told
	s, ok := t.Lookup(&d.Key)
	if !ok || t.Group(s) != d.Group {
		return
	}
	e := t.at(s)
	d.ours = e.hashContent(t.wide.at(e.wide), t.aside.at(e.aside))
	switch {
	case e.bits&bitYoung != 0:
		d.ours, d.Stand = 0, StandYoung
	case e.dirty&v.s.Sink() != 0:
		d.Stand = StandDirty
	}
	if why, ok := v.s.refused.why[d.Key]; ok {
		d.Stand, d.Why = StandRefused, why
	}
}

// Bits of INVENTORY's flags, and of what it says of a flow.
const (
	inventoryLast    = 1 << 0 // nothing more comes in answer to this question
	inventoryCut     = 1 << 1 // there were more flows than an answer may have
	inventoryBuckets = 1 << 2 // the payload goes on with buckets that differ, else with flows

	flowHere      = 1 << 0
	flowInstalled = 1 << 1 // in the kernel
	flowYoung     = 1 << 2
	flowUntold    = 1 << 3 // its last change is not yet sent to who asks
)

// onInventory takes an answer.
func (v *Survey) onInventory(r *reader) error {
	g, id, flags := int(r.u8()), r.uvarint(), r.u8()
	if r.bad || g >= v.s.groups.Len() {
		return ErrMalformed
	}
	if id != v.id {
		return nil // to an earlier question
	}
	switch {
	case v.phase == surveyAnswer && g == v.group:
		return v.onFlows(flags, r)
	case v.phase == surveyReply:
		return v.onReply(r)
	}
	return nil
}

func (v *Survey) onFlows(flags uint8, r *reader) error {
	if flags&inventoryBuckets != 0 {
		if bits, err := r.buckets(&v.differ); err != nil || bits != v.bits {
			return ErrMalformed
		}
	} else {
		for len(r.b) > 0 {
			k, _, sum, ok := r.flow()
			if !ok || len(v.theirs) >= surveyFlows {
				return ErrMalformed
			}
			v.theirs[k] = sum
		}
	}
	v.truncated = v.truncated || flags&inventoryCut != 0
	if flags&inventoryLast != 0 {
		if v.phase = surveyOwn; v.differ == (bucketSet{}) {
			v.nextGroup()
		}
	}
	return nil
}

// flow reads what an INVENTORY says of one.
func (r *reader) flow() (k Key, state uint8, sum uint64, ok bool) {
	var rec Record
	op, err := ParseRecord(r.bytes(), &rec)
	state, sum = r.u8(), r.u64()
	return rec.Key, state, sum, !r.bad && err == nil && op == OpDelete
}

// onReply compares the answer to a query with what was noted then. What is not
// alike is asked of once more, some time later, for what is on its way from the
// peer is not told from what is missing.
func (v *Survey) onReply(r *reader) error {
	for i := range v.inQuery {
		d := &v.question[v.asked+i]
		k, state, sum, ok := r.flow()
		if !ok || k != d.Key {
			return ErrMalformed
		}
		if d.compare(state, sum) {
			v.found = append(v.found, *d)
		}
	}
	if v.asked += v.inQuery; v.asked < len(v.question) {
		v.phase = surveyQuery
		return nil
	}
	v.phase = surveyOver
	return nil
}

// compare tells whether the flow is a difference, and of which kind.
func (d *Difference) compare(state uint8, sum uint64) bool {
	here := state&flowHere != 0 && state&flowYoung == 0
	switch {
	case d.ours != 0 && !here:
		d.What = PeerLacks
	case d.ours == 0 && here && d.Stand != StandYoung:
		d.What = PeerExtra
		if state&flowUntold != 0 {
			d.Stand = StandDirty
		}
	case d.ours != 0 && sum != d.ours:
		d.What = PeerDiffers
	case here && d.Stand == StandRefused && state&flowInstalled == 0:
		d.What = PeerKernel
	default:
		return false
	}
	return true
}

// Again asks once more about what was found, and tells whether there is anything.
func (v *Survey) Again() bool {
	if v.phase != surveyOver || len(v.found) == 0 {
		return false
	}
	v.question, v.found = v.found, nil
	slices.SortFunc(v.question, func(a, b Difference) int { return a.Group - b.Group })
	v.ask()
	return true
}
