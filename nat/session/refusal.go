package session

import "encoding/binary"

// What a receiver does not take, or its kernel does not, it tells the sender of: a
// crash would lose it. Both ends remember a bounded number of flows by name and
// count the others. A later word about a flow replaces an earlier one.

// Refusal is why a peer does not have a flow that it was sent.
type Refusal uint8

const (
	RefusedNot        Refusal = iota // it has it after all
	RefusedScope                     // it belongs to no address or network of the group there
	RefusedTable                     // its table is full
	RefusedAttribute                 // it does not understand a critical attribute of the record
	RefusedClash                     // another flow of its kernel is in the way
	RefusedKernelFull                // its kernel's table is full
	RefusedKernel                    // its kernel refuses it otherwise
)

// String says it in words.
func (r Refusal) String() string {
	switch r {
	case RefusedNot:
		return "not refused"
	case RefusedScope:
		return "outside its addresses and networks"
	case RefusedTable:
		return "its table is full"
	case RefusedAttribute:
		return "it does not understand the record"
	case RefusedClash:
		return "another flow of its kernel is in the way"
	case RefusedKernelFull:
		return "its kernel's table is full"
	case RefusedKernel:
		return "its kernel refuses it"
	}
	return "for a reason that this version does not know"
}

// maxRefusals is how many refused flows are known by name, refusalsTold how many
// are told in one frame.
const (
	maxRefusals  = 4096
	refusalsTold = 256
)

// refusals is what a receiver has to say of them.
type refusals struct {
	said    map[Key]Refusal // RefusedNot is not in it
	due     []refusal
	unnamed uint64 // refused and not in said
	told    uint64 // of unnamed
}

type refusal struct {
	group int // the peer's number
	key   Key
	id    uint32
	why   Refusal
}

// Refused notes that this node, or its kernel, does not have a flow of group g that
// the peer has sent; of RefusedNot, that it does after all.
func (r *Receiver) Refused(g int, rec *Record, why Refusal) {
	f := &r.refusals
	was, said := f.said[rec.Key]
	switch {
	case !r.connected || was == why:
		return
	case why == RefusedNot:
		delete(f.said, rec.Key)
	case !said && len(f.said) >= maxRefusals:
		f.unnamed++
		return
	default:
		if f.said == nil {
			f.said = make(map[Key]Refusal)
		}
		f.said[rec.Key] = why
	}
	for i, l := range r.local {
		if l == int8(g) && len(f.due) < 2*maxRefusals {
			f.due = append(f.due, refusal{i, rec.Key, rec.ID, why})
			return
		}
	}
}

// taken notes that a flow is in the table; whether the kernel has it is not known
// yet.
func (r *Receiver) taken(g int, rec *Record) {
	if why, ok := r.refusals.said[rec.Key]; ok && why < RefusedClash {
		r.Refused(g, rec, RefusedNot)
	}
}

// tellRefusals appends what is due of them.
func (r *Receiver) tellRefusals(b []byte) []byte {
	f := &r.refusals
	for len(f.due) > 0 || f.unnamed != f.told {
		var first refusal
		if len(f.due) > 0 {
			first = f.due[0]
		}
		start := 0
		b, start = openFrame(b, TypeRefusal)
		b = append(b, byte(first.group), byte(first.why))
		b = binary.AppendUvarint(b, f.unnamed)
		f.told = f.unnamed
		n := 0
		for ; n < len(f.due) && n < refusalsTold; n++ {
			d := &f.due[n]
			if d.group != first.group || d.why != first.why {
				break
			}
			b = AppendDelete(b, &Record{Key: d.key, ID: d.id})
		}
		b = closeFrame(b, start)
		f.due = f.due[:copy(f.due, f.due[n:])]
		if len(b) > MaxFrame/2 {
			return b // the owner asks again
		}
	}
	f.due = nil
	return b
}

// refused is what a sender knows of them.
type refused struct {
	why     map[Key]Refusal
	unnamed uint64
}

// onRefusal takes a REFUSAL.
func (s *Sender) onRefusal(r *reader) error {
	g, why := int(r.u8()), Refusal(r.u8())
	unnamed := r.uvarint()
	if r.bad || g >= s.groups.Len() {
		return ErrMalformed
	}
	s.refused.unnamed = unnamed
	var rec Record
	for len(r.b) > 0 {
		op, err := ParseRecord(r.bytes(), &rec)
		if r.bad || err != nil || op != OpDelete {
			return ErrMalformed
		}
		_, known := s.refused.why[rec.Key]
		switch {
		case why == RefusedNot:
			delete(s.refused.why, rec.Key)
		case known || len(s.refused.why) < maxRefusals:
			if s.refused.why == nil {
				s.refused.why = make(map[Key]Refusal)
			}
			s.refused.why[rec.Key] = why
		}
		if why != RefusedNot {
			s.stats.Refused++
		}
	}
	return nil
}

// slots returns the live flows among the refused ones, and forgets the others.
func (f *refused) slots(t *Table) (out []refusedSlot) {
	for k, why := range f.why {
		if s, ok := t.Lookup(&k); ok {
			out = append(out, refusedSlot{s, why})
		} else {
			delete(f.why, k)
		}
	}
	return out
}

type refusedSlot struct {
	slot Slot
	why  Refusal
}
