package witness

import (
	"encoding/binary"
	"time"
)

// Append appends h with all its groups to dst, and the code of the key. What is read again is h, as long as nothing is
// longer than it can be; see [Guard.Append] for how a node that has more to say than fits divides it.
func Append(dst []byte, h *Beat, key Key) []byte { return appendBeat(dst, h, newCoder(key)) }

func appendBeat(dst []byte, h *Beat, code *coder) []byte {
	start := len(dst)
	b := appendNames(appendHeader(dst, h), h.From, h.To)
	for i := range h.Groups {
		g := &h.Groups[i]
		b = appendGroup(b, g, g.Name)
		for _, r := range h.Routers(g) {
			b = appendRouter(b, &r, r.Interface)
		}
	}
	return seal(b, start, code)
}

// text is a name, wherever it comes from.
type text interface{ ~string | ~[]byte }

func appendNames[T text](b []byte, from, to T) []byte {
	b = append(append(b, byte(len(from))), from...)
	return append(append(b, byte(len(to))), to...)
}

func appendGroup[T text](b []byte, g *Group, name T) []byte {
	b = append(b, recordGroup|critical)
	b = binary.BigEndian.AppendUint16(b, uint16(groupSize+len(name)))
	flags := byte(0)
	if g.Leaving {
		flags = flagLeaving
	}
	b = append(b, byte(g.State), flags)
	b = binary.BigEndian.AppendUint64(b, g.Term)
	return append(b, name...)
}

func appendRouter[T text](b []byte, r *Router, iface T) []byte {
	size := 4
	flags := byte(0)
	if r.Source.Is6() {
		size, flags = 16, flagIPv6
	}
	if r.Hears {
		flags |= flagHears
	}
	b = append(b, recordRoute)
	b = binary.BigEndian.AppendUint16(b, uint16(routerSize+size+len(iface)))
	b = binary.BigEndian.AppendUint64(b, r.ID)
	b = append(b, r.VRID, flags, r.Priority, r.Version, byte(r.Form), byte(r.Refuses))
	b = binary.BigEndian.AppendUint16(b, uint16(min(r.Interval/(10*time.Millisecond), 1<<16-1)))
	switch {
	case size == 16:
		a := r.Source.As16()
		b = append(b, a[:]...)
	case r.Source.IsValid():
		a := r.Source.As4()
		b = append(b, a[:]...)
	default:
		b = append(b, 0, 0, 0, 0)
	}
	return append(b, iface...)
}

// seal writes the length and the code of a heartbeat that begins at start.
func seal(b []byte, start int, code *coder) []byte {
	binary.BigEndian.PutUint16(b[start+len(magic):], uint16(len(b)-start+codeSize))
	return append(b, code.of(b[start:])...)
}
