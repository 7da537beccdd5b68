package conntrack_test

import (
	"net/netip"

	"understudy/nat/session"
)

// key builds a key from addresses and ports in text.
func key(proto uint8, src, dst string) session.Key {
	s, d := netip.MustParseAddrPort(src), netip.MustParseAddrPort(dst)
	family := uint8(4)
	if s.Addr().Is6() {
		family = 6
	}
	return session.Key{
		Src: session.AddrFrom(s.Addr()), Dst: session.AddrFrom(d.Addr()),
		SrcPort: s.Port(), DstPort: d.Port(), Proto: proto, Family: family,
	}
}

// flow builds a record: a flow from src to dst whose answers go from replySrc to
// replyDst.
func flow(proto uint8, src, dst, replySrc, replyDst string) session.Record {
	reply := key(proto, replySrc, replyDst)
	r := session.Record{
		Key:      key(proto, src, dst),
		ReplySrc: reply.Src, ReplyDst: reply.Dst,
		ReplySrcPort: reply.SrcPort, ReplyDstPort: reply.DstPort,
		Status:  session.StatusSeenReply | session.StatusAssured | session.StatusConfirmed,
		Timeout: 300,
	}
	if proto == tcp {
		r.TCP = session.TCP{State: session.TCPEstablished, WScaleOrig: 7, WScaleReply: 8, FlagsOrig: 0x23, FlagsReply: 0x23}
	}
	return r
}

const (
	icmp, tcp, udp, gre, icmp6, sctp = 1, 6, 17, 47, 58, 132
	ospf                             = 89
)

// snatFlow is a TCP flow from 10.0.0.2 to 198.51.100.80:443 behind 203.0.113.1
// with another port.
func snatFlow() session.Record {
	return flow(tcp, "10.0.0.2:40000", "198.51.100.80:443", "198.51.100.80:443", "203.0.113.1:20001")
}
