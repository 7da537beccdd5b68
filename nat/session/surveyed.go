package session

import "encoding/binary"

// surveyed is the answer to a survey, as far as it has come.
type surveyed struct {
	on      bool
	id      uint64
	g       int // ours; -1: there is no such group
	theirs  int
	bits    uint8
	next    int // the first bucket that is not compared yet
	differ  bucketSet
	ready   bool // all are compared
	listed  bool
	cursor  Slot
	flows   int
	answers []byte // to queries
}

// surveySlots is how many slots one answer looks through, answerSize how long it
// may become.
const (
	surveySlots = 1 << 14
	answerSize  = 16 << 10
)

// SetSink tells which sink of the table the peer is, so that a survey can be told
// what it does not know yet.
func (r *Receiver) SetSink(n int) { r.sink = n }

// onSurvey compares sums with those of a peer that wants to know the difference.
func (r *Receiver) onSurvey(id uint64, g, theirs int, rd *reader) error {
	bits, from := rd.u8(), rd.uvarint()
	n := len(rd.b) / 8
	if rd.bad || bits > bucketBits || from > Buckets || from+uint64(n) > 1<<bits || len(rd.b)%8 != 0 {
		return ErrMalformed
	}
	v := &r.surveyed
	if from == 0 {
		*v = surveyed{on: true, id: id, g: g, theirs: theirs, bits: bits, answers: v.answers}
	}
	if !v.on || v.ready || v.id != id || v.theirs != theirs || v.bits != bits || v.next != int(from) {
		return nil
	}
	for range n {
		sum := uint64(0)
		if g >= 0 {
			sum = r.table.digest(g, bits, v.next)
		}
		if rd.u64() != sum {
			v.differ.add(v.next)
		}
		v.next++
	}
	v.ready = v.next == 1<<bits
	return nil
}

// onQuery answers what this node has of some flows, now.
func (r *Receiver) onQuery(g, theirs int, rd *reader) error {
	id := rd.uvarint()
	if rd.bad {
		return ErrMalformed
	}
	b, start := r.openInventory(r.surveyed.answers[:0], theirs, id, inventoryLast) // one is asked at a time
	var rec Record
	for n := 0; len(rd.b) > 0; n++ {
		op, err := ParseRecord(rd.bytes(), &rec)
		if rd.bad || err != nil || op != OpDelete || n == queryFlows {
			return ErrMalformed
		}
		if s, ok := r.table.Lookup(&rec.Key); ok && r.table.Group(s) == g {
			b = r.inventory(b, s)
		} else {
			b = append(AppendDelete(b, &Record{Key: rec.Key}), 0)
			b = binary.BigEndian.AppendUint64(b, 0)
		}
	}
	r.surveyed.answers = closeFrame(b, start)
	return nil
}

func (r *Receiver) openInventory(b []byte, theirs int, id uint64, flags uint8) ([]byte, int) {
	b, start := openFrame(b, TypeInventory)
	return append(binary.AppendUvarint(append(b, byte(theirs)), id), flags), start
}

// inventory appends what this node has of the flow at s.
func (r *Receiver) inventory(b []byte, s Slot) []byte {
	t := r.table
	e := t.at(s)
	w := t.wide.at(e.wide)
	var rec Record
	e.unpackKey(&rec.Key, w)
	b = AppendDelete(b, &rec)
	state := uint8(flowHere)
	if e.bits&bitInstalled != 0 {
		state |= flowInstalled
	}
	if e.bits&bitYoung != 0 {
		state |= flowYoung
	}
	if r.sink != SinkKernel && e.dirty&Sink(r.sink) != 0 {
		state |= flowUntold
	}
	return binary.BigEndian.AppendUint64(append(b, state), e.hashContent(w, t.aside.at(e.aside)))
}

// tellInventory appends the next part of the answer. A part may be empty: the
// owner asks for the next one after it was written.
func (r *Receiver) tellInventory(b []byte) []byte {
	v := &r.surveyed
	b = append(b, v.answers...)
	v.answers = v.answers[:0]
	if !v.on || !v.ready {
		return b
	}
	if !v.listed {
		v.listed = true
		flags := uint8(inventoryBuckets)
		if v.g < 0 || v.differ == (bucketSet{}) {
			flags |= inventoryLast
			v.on = false
		}
		start := 0
		b, start = r.openInventory(b, v.theirs, v.id, flags)
		b, _ = appendBuckets(b, v.bits, &v.differ, 0, Buckets)
		return closeFrame(b, start)
	}
	b, start := r.openInventory(b, v.theirs, v.id, 0)
	flagsAt := len(b) - 1
	t := r.table
	end := min(v.cursor+surveySlots, t.Slots())
	for ; v.cursor < end && len(b)-start < answerSize && v.flows < surveyFlows; v.cursor++ {
		e := t.at(v.cursor)
		if e.bits&(bitLive|bitYoung) == bitLive && int(e.group) == v.g && v.differ.has(e.bucket(t.wide.at(e.wide))>>(bucketBits-v.bits)) {
			b = r.inventory(b, v.cursor)
			v.flows++
		}
	}
	if done := v.cursor >= t.Slots(); done || v.flows >= surveyFlows {
		b[flagsAt] |= inventoryLast
		if !done {
			b[flagsAt] |= inventoryCut
		}
		v.on = false
	}
	return closeFrame(b, start)
}
