package doctor

import (
	"encoding/binary"
	"net"
	"net/netip"
	"slices"

	"github.com/mdlayher/ndp"
	"golang.org/x/sys/unix"
)

// question is how a neighbour is asked whether it has an address, in the name of a MAC.
type question struct {
	ipv4     bool
	protocol int // EtherType
	// frame is the question, from its Ethernet header on, and the MAC that it goes to.
	frame func(from net.HardwareAddr, a netip.Addr) (to net.HardwareAddr, b []byte)
	// answer is whose address the frame is an answer about; not ok: it is none.
	answer func(frame []byte) (a netip.Addr, ok bool)
}

// byARP leaves the neighbour's cache alone: the question names no address of ours (a probe, RFC 5227).
var byARP = question{ipv4: true, protocol: unix.ETH_P_ARP,
	frame: func(from net.HardwareAddr, a netip.Addr) (net.HardwareAddr, []byte) {
		to := net.HardwareAddr{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		b := binary.BigEndian.AppendUint16(append(slices.Clone(to), from...), unix.ETH_P_ARP)
		b = append(b, 0, 1, 8, 0, 6, 4, 0, 1)
		b = append(append(b, from...), 0, 0, 0, 0)
		return to, append(append(b, 0, 0, 0, 0, 0, 0), a.AsSlice()...)
	},
	answer: func(b []byte) (a netip.Addr, ok bool) {
		if len(b) < 42 || binary.BigEndian.Uint16(b[20:]) != 2 {
			return a, false
		}
		return netip.AddrFromSlice(b[28:32])
	},
}

// byND is neighbour discovery (RFC 4861). It asks from the link-local address that belongs to the MAC, for what
// is asked from none is answered to all (RFC 4861, 7.2.4) and shows only that frames get out: the
// neighbour remembers that address for some minutes.
var byND = question{protocol: unix.ETH_P_IPV6,
	frame: func(from net.HardwareAddr, a netip.Addr) (net.HardwareAddr, []byte) {
		src, to := linkLocal(from), a.As16()
		group := netip.AddrFrom16([16]byte{0: 0xff, 1: 2, 11: 1, 12: 0xff, 13: to[13], 14: to[14], 15: to[15]})
		ns := &ndp.NeighborSolicitation{TargetAddress: a, Options: []ndp.Option{&ndp.LinkLayerAddress{Direction: ndp.Source, Addr: from}}}
		body, err := ndp.MarshalMessageChecksum(ns, src, group)
		if err != nil {
			panic(err) // a MAC of six bytes and an address of IPv6
		}
		mac := net.HardwareAddr{0x33, 0x33, 0xff, to[13], to[14], to[15]}
		b := binary.BigEndian.AppendUint16(append(slices.Clone(mac), from...), unix.ETH_P_IPV6)
		b = append(b, 0x60, 0, 0, 0)
		b = append(binary.BigEndian.AppendUint16(b, uint16(len(body))), unix.IPPROTO_ICMPV6, 255)
		b = append(append(b, src.AsSlice()...), group.AsSlice()...)
		return mac, append(b, body...)
	},
	answer: func(b []byte) (a netip.Addr, ok bool) {
		const header = 14 + 40
		if len(b) < header+24 || binary.BigEndian.Uint16(b[12:]) != unix.ETH_P_IPV6 || b[20] != unix.IPPROTO_ICMPV6 || b[21] != 255 {
			return a, false
		}
		m, err := ndp.ParseMessage(b[header:])
		if err != nil {
			return a, false
		}
		na, ok := m.(*ndp.NeighborAdvertisement)
		if !ok {
			return a, false
		}
		return na.TargetAddress, true
	},
}

// linkLocal is the link-local address of a MAC (RFC 4291, appendix A).
func linkLocal(mac net.HardwareAddr) netip.Addr {
	return netip.AddrFrom16([16]byte{0: 0xfe, 1: 0x80, 8: mac[0] ^ 2, 9: mac[1], 10: mac[2], 11: 0xff, 12: 0xfe, 13: mac[3], 14: mac[4], 15: mac[5]})
}
