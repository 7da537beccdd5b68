package witness

import (
	"encoding/binary"
	"net/netip"
	"time"

	"understudy/vrrp"
)

// ParseHeader reads what comes before the records: who says it, to whom. Nothing of it is to be believed before
// [Beat.Verify]; the records are read by [Beat.ParseRecords]. No allocation.
func (h *Beat) ParseHeader(b []byte) Reason {
	*h = Beat{Groups: h.Groups[:0], routers: h.routers[:0]}
	if len(b) < minSize {
		return ReasonTruncated
	}
	if string(b[:len(magic)]) != magic {
		return ReasonVersion
	}
	switch n := int(binary.BigEndian.Uint16(b[len(magic):])); {
	case n > len(b) || n < minSize:
		return ReasonTruncated
	case n < len(b):
		return ReasonLength
	}
	h.sealed = b
	switch b[6] & (flagKnown | flagUp) {
	case flagKnown:
		h.Neighbour = NeighbourDown
	case flagKnown | flagUp:
		h.Neighbour = NeighbourUp
	}
	h.Incarnation = binary.BigEndian.Uint64(b[offIncarnation:])
	h.Sequence = binary.BigEndian.Uint64(b[offSequence:])
	h.EchoOf = binary.BigEndian.Uint64(b[offEcho:])
	h.Echo = binary.BigEndian.Uint64(b[offEcho+8:])
	h.Interval = time.Duration(binary.BigEndian.Uint32(b[offInterval:])) * time.Microsecond
	rest := b[headerSize : len(b)-codeSize]
	ok := false
	if h.From, rest, ok = name(rest); !ok {
		return ReasonFormat
	}
	if h.To, rest, ok = name(rest); !ok {
		return ReasonFormat
	}
	h.records = rest
	if h.Incarnation == 0 || h.Interval == 0 {
		return ReasonFormat
	}
	return ReasonNone
}

// Verify tells whether the heartbeat ends with the code of the key.
func (h *Beat) Verify(key Key) bool { return newCoder(key).fits(h.sealed) }

func name(b []byte) (name, rest []byte, ok bool) {
	if len(b) == 0 || b[0] == 0 || b[0] > maxName || len(b) < 1+int(b[0]) {
		return nil, nil, false
	}
	n := 1 + int(b[0])
	return b[1:n], b[n:], true
}

// ParseRecords reads the groups and routers. Allocates only while h grows.
func (h *Beat) ParseRecords() Reason {
	for b := h.records; len(b) > 0; {
		if len(b) < recordSize {
			return ReasonFormat
		}
		n := recordSize + int(binary.BigEndian.Uint16(b[1:]))
		if n > len(b) {
			return ReasonFormat
		}
		kind, value := b[0], b[recordSize:n]
		b = b[n:]
		switch {
		case kind&^critical == recordGroup:
			if !h.parseGroup(value) {
				return ReasonFormat
			}
		case kind&^critical == recordRoute:
			if !h.parseRouter(value) {
				return ReasonFormat
			}
		case kind&critical != 0:
			return ReasonCritical
		}
	}
	return ReasonNone
}

func (h *Beat) parseGroup(b []byte) bool {
	if len(b) <= groupSize || len(b) > groupSize+maxName || b[0] > byte(vrrp.Fault) {
		return false
	}
	h.Groups = append(h.Groups, Group{State: vrrp.State(b[0]), Leaving: b[1]&flagLeaving != 0,
		Term: binary.BigEndian.Uint64(b[2:]), Name: b[groupSize:], first: len(h.routers)})
	return true
}

func (h *Beat) parseRouter(b []byte) bool {
	if len(h.Groups) == 0 || len(b) < routerSize {
		return false
	}
	size := 4
	if b[9]&flagIPv6 != 0 {
		size = 16
	}
	if len(b) < routerSize+size || len(b) > routerSize+size+maxIfName {
		return false
	}
	r := Router{ID: binary.BigEndian.Uint64(b), VRID: b[8], Hears: b[9]&flagHears != 0, Priority: b[10], Version: b[11],
		Form: vrrp.ChecksumForm(b[12]), Refuses: vrrp.Reason(b[13]),
		Interval: time.Duration(binary.BigEndian.Uint16(b[14:])) * 10 * time.Millisecond, Interface: b[routerSize+size:]}
	if size == 16 {
		r.Source = netip.AddrFrom16([16]byte(b[routerSize:]))
	} else if a := netip.AddrFrom4([4]byte(b[routerSize:])); !a.IsUnspecified() {
		r.Source = a
	}
	if r.Form > vrrp.FormPseudo {
		r.Form = vrrp.FormPseudo // only to be shown
	}
	h.routers = append(h.routers, r)
	h.Groups[len(h.Groups)-1].count++
	return true
}
