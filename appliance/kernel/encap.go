package kernel

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// Numbers of linux/lwtunnel.h, linux/mpls_iptunnel.h and linux/ila.h, which x/sys does
// not name. Those of IPv6 are the same as of IPv4.
const (
	encapMPLS = 1
	encapIP   = 2
	encapILA  = 3
	encapIP6  = 4

	encapID    = 1 // 64 bits, in network byte order
	encapTo    = 2
	encapFrom  = 3
	encapTTL   = 4
	encapTOS   = 5
	encapFlags = 6 // 16 bits, in network byte order

	encapLabels  = 1 // of MPLS: label stack entries of RFC 3032
	encapLocator = 1 // of ILA: 64 bits

)

// encapsulation is what the kernel says of one: kind and attributes, in any order.
type encapsulation struct {
	kind uint16
	of   []byte
}

func (e *encapsulation) read(typ uint16, v []byte) {
	switch {
	case typ == unix.RTA_ENCAP:
		e.of = v
	case len(v) == 2:
		e.kind = binary.NativeEndian.Uint16(v)
	}
}

// encap is as an identity has it. A kind that none can have is kept as another, so that
// it equals none.
func (e encapsulation) encap() (out identity.Encap) {
	switch e.kind {
	case 0:
		return out
	case encapIP:
		out.Kind = identity.EncapIP
	case encapIP6:
		out.Kind = identity.EncapIP6
	case encapMPLS:
		out.Kind = identity.EncapMPLS
	case encapILA:
		out.Kind = identity.EncapILA
	default:
		out.Kind = identity.EncapKind("kind " + strconv.Itoa(int(e.kind)))
	}
	for typ, v := range attributes(e.of) {
		switch {
		case e.kind == encapMPLS && typ == encapLabels:
			out.Labels = labelsText(v)
		case e.kind == encapILA && typ == encapLocator && len(v) == 8:
			out.ILA = binary.BigEndian.Uint64(v)
		case e.kind != encapIP && e.kind != encapIP6:
		case typ == encapID && len(v) == 8:
			out.ID = binary.BigEndian.Uint64(v)
		case typ == encapTo:
			out.To = specified(v)
		case typ == encapFrom:
			out.From = specified(v)
		case typ == encapTTL && len(v) == 1:
			out.TTL = v[0]
		case typ == encapTOS && len(v) == 1:
			out.TOS = v[0]
		case typ == encapFlags && len(v) == 2:
			out.Flags = binary.BigEndian.Uint16(v)
		}
	}
	return out
}

// specified is an address that is one.
func specified(v []byte) netip.Addr {
	if a, ok := netip.AddrFromSlice(v); ok && !a.IsUnspecified() {
		return a
	}
	return netip.Addr{}
}

// encapAttributes are RTA_ENCAP_TYPE and RTA_ENCAP of a hop; none if it wraps nothing.
func encapAttributes(e identity.Encap) []*nl.RtAttr {
	all := nl.NewRtAttr(unix.RTA_ENCAP, nil)
	kind := uint16(0)
	switch e.Kind {
	case "":
		return nil
	case identity.EncapMPLS:
		kind = encapMPLS
		all.AddRtAttr(encapLabels, labels(e.Labels))
	case identity.EncapILA:
		kind = encapILA
		all.AddRtAttr(encapLocator, binary.BigEndian.AppendUint64(nil, e.ILA))
	default:
		if kind = encapIP; e.Kind == identity.EncapIP6 {
			kind = encapIP6
		}
		all.AddRtAttr(encapID, binary.BigEndian.AppendUint64(nil, e.ID))
		if e.To.IsValid() {
			all.AddRtAttr(encapTo, e.To.AsSlice())
		}
		if e.From.IsValid() {
			all.AddRtAttr(encapFrom, e.From.AsSlice())
		}
		if e.TTL != 0 {
			all.AddRtAttr(encapTTL, []byte{e.TTL})
		}
		if e.TOS != 0 {
			all.AddRtAttr(encapTOS, []byte{e.TOS})
		}
		if e.Flags != 0 {
			all.AddRtAttr(encapFlags, binary.BigEndian.AppendUint16(nil, e.Flags))
		}
	}
	return []*nl.RtAttr{nl.NewRtAttr(unix.RTA_ENCAP_TYPE, binary.NativeEndian.AppendUint16(nil, kind)), all}
}

// labels are the entries of a stack of labels (RFC 3032): 20 bits of label, the bottom
// of the stack marked. The kernel fills in the rest.
func labels(text string) (b []byte) {
	list := strings.Split(text, "/")
	for i, l := range list {
		n, _ := strconv.ParseUint(l, 10, 20)
		entry := uint32(n) << 12
		if i == len(list)-1 {
			entry |= 1 << 8
		}
		b = binary.BigEndian.AppendUint32(b, entry)
	}
	return b
}

// labelsText is the reverse.
func labelsText(b []byte) string {
	var list []string
	for ; len(b) >= 4; b = b[4:] {
		list = append(list, strconv.Itoa(int(binary.BigEndian.Uint32(b)>>12)))
	}
	return strings.Join(list, "/")
}

// expires is what is left of the time of a route (struct rta_cacheinfo), in seconds, at
// least 1; 0: it does not expire.
func expires(v []byte) uint32 {
	const at, hertz = 8, 100 // rta_expires, in USER_HZ
	if len(v) < at+4 {
		return 0
	}
	left := int32(binary.NativeEndian.Uint32(v[at:]))
	if left == 0 {
		return 0
	}
	return max(1, uint32(max(left, 0)+hertz-1)/hertz)
}
