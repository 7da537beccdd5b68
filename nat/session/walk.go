package session

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// NextGeneration begins a round of marking: every record upserted from now on
// with the number it returns is seen; [Table.Sweep] finds the others.
func (t *Table) NextGeneration() uint16 {
	if t.gen++; t.gen == 0 {
		t.gen = 1
	}
	return t.gen
}

// Sweep calls fn for each session of the groups that was last seen before
// generation gen. fn may delete it.
func (t *Table) Sweep(groups GroupSet, gen uint16, fn func(Slot)) {
	t.Each(groups, func(s Slot) bool {
		if int16(t.at(s).gen-gen) < 0 { // generations wrap
			fn(s)
		}
		return true
	})
}

// Each calls fn for each session of the groups until it returns false. fn may
// delete the session it is given.
func (t *Table) Each(groups GroupSet, fn func(Slot) bool) {
	t.Range(0, Slot(t.used), groups, fn)
}

// Slots is the end of the table's slots; see [Table.Range].
func (t *Table) Slots() Slot { return Slot(t.used) }

// Range is Each for the slots from up to, without, to: the means to go over the
// table in slices.
func (t *Table) Range(from, to Slot, groups GroupSet, fn func(Slot) bool) {
	if groups == 0 {
		return // as a takeover asks that has nothing to install; a million entries are 6 ms
	}
	for s := from; s < to && s < Slot(t.used); s++ {
		if e := t.at(s); e.bits&bitLive != 0 && groups.Has(int(e.group)) && !fn(s) {
			return
		}
	}
}

// Record copies the session at s.
func (t *Table) Record(s Slot, r *Record) {
	e := t.at(s)
	e.unpack(r, t.wide.at(e.wide), t.aside.at(e.aside))
}

// Group is the group of the session at s.
func (t *Table) Group(s Slot) int { return int(t.at(s).group) }

// See marks the session at s as seen in generation gen.
func (t *Table) See(s Slot, gen uint16) { t.at(s).gen = gen }

// Compare orders keys: family, protocol, addresses, ports, zone.
func (k *Key) Compare(o *Key) int {
	return cmp.Or(cmp.Compare(k.Family, o.Family), cmp.Compare(k.Proto, o.Proto),
		bytes.Compare(k.Src[:], o.Src[:]), cmp.Compare(k.SrcPort, o.SrcPort),
		bytes.Compare(k.Dst[:], o.Dst[:]), cmp.Compare(k.DstPort, o.DstPort), cmp.Compare(k.Zone, o.Zone))
}

// Dump writes the sessions in order, a line each: for tests and for people.
func (t *Table) Dump() string {
	recs := make([]Record, 0, t.live)
	groups := make(map[Key]int, t.live)
	t.Each(^GroupSet(0), func(s Slot) bool {
		var r Record
		t.Record(s, &r)
		recs = append(recs, r)
		groups[r.Key] = t.Group(s)
		return true
	})
	slices.SortFunc(recs, func(a, b Record) int { return a.Compare(&b.Key) })
	var b strings.Builder
	for i := range recs {
		fmt.Fprintf(&b, "%d %s\n", groups[recs[i].Key], recs[i].String())
	}
	return b.String()
}

// String writes the record on one line: protocol, original tuple, reply tuple,
// what follows from them, and the state.
func (r *Record) String() string {
	var b strings.Builder
	end := func(a Addr, p uint16) string {
		if r.Family == 6 {
			return fmt.Sprintf("[%s]:%d", a.Netip(6), p)
		}
		return fmt.Sprintf("%s:%d", a.Netip(4), p)
	}
	fmt.Fprintf(&b, "proto %d %s > %s reply %s > %s", r.Proto, end(r.Src, r.SrcPort), end(r.Dst, r.DstPort),
		end(r.ReplySrc, r.ReplySrcPort), end(r.ReplyDst, r.ReplyDstPort))
	if r.Zone != 0 {
		fmt.Fprintf(&b, " zone %d", r.Zone)
	}
	if r.Mark != 0 {
		fmt.Fprintf(&b, " mark %d", r.Mark)
	}
	fmt.Fprintf(&b, " status %#x id %d", uint32(r.Status), r.ID)
	if r.TCP != (TCP{}) {
		fmt.Fprintf(&b, " tcp %d scale %d/%d flags %#x/%#x", r.TCP.State, r.TCP.WScaleOrig, r.TCP.WScaleReply, r.TCP.FlagsOrig, r.TCP.FlagsReply)
	}
	if r.SCTP != (SCTP{}) {
		fmt.Fprintf(&b, " sctp %d tags %#x/%#x", r.SCTP.State, r.SCTP.VTagOrig, r.SCTP.VTagReply)
	}
	if r.SeqAdj != ([2]SeqAdj{}) {
		fmt.Fprintf(&b, " seqadj %v", r.SeqAdj)
	}
	if r.Labels != (Labels{}) {
		fmt.Fprintf(&b, " labels %x", r.Labels)
	}
	if r.Helper != (Name{}) {
		fmt.Fprintf(&b, " helper %s", r.Helper)
	}
	if m := &r.Master; m.Family != 0 {
		fmt.Fprintf(&b, " master proto %d %s > %s", m.Proto, end(m.Src, m.SrcPort), end(m.Dst, m.DstPort))
	}
	return b.String()
}

// Dead tells whether a tombstone stands at s.
func (t *Table) Dead(s Slot) bool { return t.at(s).bits&bitDead != 0 }
