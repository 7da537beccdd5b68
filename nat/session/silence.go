package session

import "slices"

// Calls are the flows of protocols First to Last that call one of the ports:
// a box in the plane of protocols and ports.
type Calls struct {
	First, Last uint8
	Ports       Ports
}

// Silent says of which flows a kernel need not tell, by the classes of p: of the
// first never, of the second not before they are assured. The boxes of both
// together do not overlap.
//
// Only of datagrams can a kernel tell so late and leave nothing out: of a
// connection it tells that it is assured as it is established, which is early.
func (p Policy) Silent() (never, late []Calls) {
	var edges []uint16 // where a class begins to match, or ends to
	for i := range p {
		for _, r := range p[i].Ports {
			edges = append(edges, r.First)
			if r.Last < 65535 {
				edges = append(edges, r.Last+1)
			}
		}
	}
	slices.Sort(edges)
	edges = slices.Compact(edges)
	for proto := range 256 {
		n, l := p.silentOf(uint8(proto), edges)
		never, late = stack(never, n), stack(late, l)
	}
	return never, late
}

// silentOf is that for one protocol.
func (p Policy) silentOf(proto uint8, edges []uint16) (never, late []Calls) {
	note := func(list []Calls, first, last uint16) []Calls {
		if k := len(list); k > 0 && int(list[k-1].Ports.Last)+1 == int(first) {
			list[k-1].Ports.Last = last
			return list
		}
		return append(list, Calls{proto, proto, Ports{first, last}})
	}
	first := uint16(0)
	for i := 0; ; i++ {
		last := uint16(65535)
		if i < len(edges) {
			if edges[i] == 0 {
				continue
			}
			last = edges[i] - 1
		}
		c := p.ClassOf(&Key{Proto: proto, DstPort: first})
		switch {
		case c < 0:
		case p[c].Never:
			never = note(never, first, last)
		case p[c].MinAge > 0 && connectionless(proto):
			late = note(late, first, last)
		}
		if i >= len(edges) {
			return never, late
		}
		first = edges[i]
	}
}

// stack adds the boxes of one protocol to those of lower ones: where these of the
// protocol before it are the same, they become higher.
func stack(list, boxes []Calls) []Calls {
	if len(boxes) == 0 {
		return list
	}
	k := len(list) - len(boxes)
	// All boxes of the protocol before it: they are the last, and no others of it.
	same := k >= 0 && (k == 0 || list[k-1].Last != boxes[0].First-1)
	for i := range boxes {
		same = same && list[k+i].Last == boxes[i].First-1 && list[k+i].Ports == boxes[i].Ports && list[k+i].First == list[k].First
	}
	if !same {
		return append(list, boxes...)
	}
	for i := range boxes {
		list[k+i].Last = boxes[i].Last
	}
	return list
}

// connectionless tells whether flows of the protocol become assured by lasting.
func connectionless(proto uint8) bool { return proto == protoUDP || proto == protoUDPLite }

// TooEarly tells whether a flow of the class is not worth a word yet, because the
// kernel tells late of such flows ([Policy.Silent]): a question that is answered and
// forgotten is never worth one, and stays in the kernel for longer than most
// classes' MinAge. Others depend on one that a helper reads.
func (p Policy) TooEarly(class int, r *Record) bool {
	return class >= 0 && p[class].MinAge > 0 && connectionless(r.Proto) &&
		r.Status&StatusAssured == 0 && r.Helper == (Name{})
}
