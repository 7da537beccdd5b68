package decode

import (
	"encoding/binary"
	"fmt"

	"understudy/lacp"
	"understudy/vrrp"
)

const (
	etherIPv4 = 0x0800
	etherARP  = 0x0806
	etherIPv6 = 0x86dd
	tagVLAN   = 0x8100 // 802.1Q
	tagStack  = 0x88a8 // 802.1ad, outer tag
	maxLength = 0x05dc // up to here the field is 802.3's length, not an EtherType

	ethernetHeader = 14
	tagLen         = 4
)

// Frame is an Ethernet frame, without frame check sequence, as it was recorded.
type Frame struct {
	Data []byte
	Wire int // octets it had on the wire; more than len(Data) if the recording cut it
}

// Local is what a receiver knows: the routers of one interface.
type Local struct {
	Interface string
	Routers   []vrrp.RouterConfig // complete: Version, Interval and Family are set
}

// Judge gives verdicts, counting the frames it is shown. The zero value is ready
// and knows no configuration.
type Judge struct {
	Local *Local // nil: nothing is configured
	n     int
}

// ethernet is a frame without its tags.
type ethernet struct {
	dst, src  lacp.MAC
	etherType uint16
	body      []byte
	vlans     []int // outermost first
}

// Frame judges one frame. The result does not alias it.
func (j *Judge) Frame(f Frame) Result {
	j.n++
	r := Result{N: j.n, Protocol: Other, Fields: Fields{}}
	e, whole := parseEthernet(f.Data)
	if !whole {
		r.Detail = fmt.Sprintf("%d octets: shorter than its Ethernet header", len(f.Data))
		return r
	}
	r.Fields.add("eth_source", e.src.String())
	r.Fields.add("eth_destination", e.dst.String())
	if e.vlans != nil {
		r.Fields.add("vlan", e.vlans)
	}
	switch {
	case e.isVRRP():
		j.vrrp(&r, e)
	case e.etherType == etherARP:
		judgeARP(&r, e)
	case e.isNA():
		judgeNA(&r, e)
	case e.etherType == lacp.EtherType || e.dst == lacp.Group:
		judgeSlow(&r, e)
	default:
		r.Detail = e.describe()
	}
	short := r.Reason == vrrp.ReasonTruncated.String() || r.Reason == vrrp.ReasonLength.String()
	if short && f.Wire > len(f.Data) {
		r.note(fmt.Sprintf("the recording holds %d of the frame's %d octets: record with a larger snap length", len(f.Data), f.Wire))
	}
	return r
}

// parseEthernet takes tags off; it reports false if the header is cut.
func parseEthernet(b []byte) (e ethernet, whole bool) {
	if len(b) < ethernetHeader {
		return e, false
	}
	e.dst, e.src = lacp.MAC(b), lacp.MAC(b[6:])
	at := ethernetHeader
	for e.etherType = binary.BigEndian.Uint16(b[12:]); e.etherType == tagVLAN || e.etherType == tagStack; at += tagLen {
		if len(b) < at+tagLen {
			return e, false
		}
		const id = 0x0fff // below priority and drop eligible
		e.vlans = append(e.vlans, int(binary.BigEndian.Uint16(b[at:])&id))
		e.etherType = binary.BigEndian.Uint16(b[at+2:])
	}
	e.body = b[at:]
	return e, true
}

// isVRRP finds VRRP by the IP protocol, and by the Ethernet group of VRRP where
// the packet ends before its protocol.
func (e ethernet) isVRRP() bool {
	const protocol = 112
	switch e.etherType {
	case etherIPv4:
		if len(e.body) < 10 {
			return e.dst == lacp.MAC{0x01, 0x00, 0x5e, 0, 0, 0x12}
		}
		if d, reason := vrrp.ParseDatagram(e.body); reason == vrrp.ReasonNone && d.Sealed != nil {
			return d.Protocol == protocol
		}
		return e.body[0]>>4 == 4 && e.body[9] == protocol
	case etherIPv6:
		if len(e.body) < 7 {
			return e.dst == lacp.MAC{0x33, 0x33, 0, 0, 0, 0x12}
		}
		if d, reason := vrrp.ParseDatagram(e.body); reason == vrrp.ReasonNone {
			return d.Protocol == protocol // behind options
		}
		return e.body[0]>>4 == 6 && e.body[6] == protocol
	}
	return false
}

func (e ethernet) isNA() bool {
	const icmpv6, advertisement = 58, 136
	return e.etherType == etherIPv6 && len(e.body) > 40 && e.body[0]>>4 == 6 && e.body[6] == icmpv6 && e.body[40] == advertisement
}

// describe says what the frame is instead.
func (e ethernet) describe() string {
	switch {
	case e.etherType == etherIPv4 && len(e.body) >= 10:
		return fmt.Sprintf("IPv4, protocol %d", e.body[9])
	case e.etherType == etherIPv6 && len(e.body) > 40 && e.body[6] == 58:
		return fmt.Sprintf("IPv6, ICMPv6 type %d", e.body[40])
	case e.etherType == etherIPv6 && len(e.body) >= 7:
		return fmt.Sprintf("IPv6, next header %d", e.body[6])
	case e.etherType <= maxLength:
		return "an 802.3 frame with a length in place of the EtherType"
	}
	return fmt.Sprintf("EtherType 0x%04x", e.etherType)
}
