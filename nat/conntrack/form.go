package conntrack

import "understudy/nat/session"

// Timeouts, in seconds.
const (
	// greTimeout is how long an installed GRE entry lives: its timeout is fixed
	// (see createStatus), so nothing renews it and its owner deletes it.
	greTimeout = 24 * 3600
	// maxTimeout is the kernel's limit (INT_MAX jiffies at HZ=1000).
	maxTimeout = 2147483
)

// hasPorts tells whether the kernel keeps two 16-bit numbers for the protocol
// (GRE: the call keys).
func hasPorts(proto uint8) bool {
	switch proto {
	case protoTCP, protoUDP, protoDCCP, protoGRE, protoSCTP, protoUDPLite:
		return true
	}
	return false
}

func isICMP(proto uint8) bool { return proto == protoICMP || proto == protoICMPv6 }

// Installable returns nil if Install would offer the record to the kernel, else
// [ErrNotInstallable]: TCP before ESTABLISHED (an entry in SYN_SENT kills the
// flow: every later packet is invalid), SCTP without its verification tags,
// ICMP that is no query, a zero tuple.
func Installable(r *session.Record) error {
	ok := r.Family == 4 || r.Family == 6
	switch r.Proto {
	case 0:
		ok = false
	case protoTCP:
		s := r.TCP.State
		ok = ok && s >= session.TCPEstablished && s <= session.TCPClose
	case protoSCTP:
		ok = ok && r.SCTP.State != 0
	case protoICMP:
		_, query := inverseICMP(uint8(r.DstPort >> 8))
		ok = ok && query && r.Family == 4
	case protoICMPv6:
		_, query := inverseICMPv6(uint8(r.DstPort >> 8))
		ok = ok && query && r.Family == 6
	}
	if !ok {
		return ErrNotInstallable
	}
	return nil
}

// inverse returns the tuple of the answer to a packet of tuple k, as if nothing
// were translated.
func inverse(k *session.Key) session.Key {
	inv := *k
	inv.Src, inv.Dst = k.Dst, k.Src
	switch {
	case k.Proto == protoICMP:
		t, _ := inverseICMP(uint8(k.DstPort >> 8))
		inv.DstPort = uint16(t)<<8 | k.DstPort&0xff
	case k.Proto == protoICMPv6:
		t, _ := inverseICMPv6(uint8(k.DstPort >> 8))
		inv.DstPort = uint16(t)<<8 | k.DstPort&0xff
	default:
		inv.SrcPort, inv.DstPort = k.DstPort, k.SrcPort
	}
	return inv
}

// inverseICMP returns the type that answers t (RFC 792, RFC 950); ok is false for
// a type that conntrack does not follow.
func inverseICMP(t uint8) (inv uint8, ok bool) {
	switch t {
	case 8, 13, 15, 17: // echo, timestamp, information, address mask
		if t == 8 {
			return 0, true
		}
		return t + 1, true
	case 0:
		return 8, true
	case 14, 16, 18:
		return t - 1, true
	}
	return 0, false
}

// inverseICMPv6 is the same for ICMPv6 (RFC 4443 echo, RFC 4620 node information).
func inverseICMPv6(t uint8) (inv uint8, ok bool) {
	switch t {
	case 128, 139:
		return t + 1, true
	case 129, 140:
		return t - 1, true
	}
	return 0, false
}

// sameBinding tells whether a and b are the same flow with the same translation.
func sameBinding(a, b *session.Record) bool {
	return a.Key == b.Key &&
		a.ReplySrc == b.ReplySrc && a.ReplyDst == b.ReplyDst &&
		a.ReplySrcPort == b.ReplySrcPort && a.ReplyDstPort == b.ReplyDstPort
}

// translated tells whether the record has any address translation.
func translated(r *session.Record) bool {
	_, _, snat := r.SNAT()
	_, _, dnat := r.DNAT()
	return snat || dnat
}

// natStatus returns the bits that the kernel must have set for the record's
// translation.
func natStatus(r *session.Record) (s session.Status) {
	if _, _, ok := r.SNAT(); ok {
		s |= session.StatusSrcNAT
	}
	if _, _, ok := r.DNAT(); ok {
		s |= session.StatusDstNAT
	}
	return s
}

// createStatus is what a create may say: CONFIRMED always (else EBUSY), never a
// NAT bit, EXPECTED, DYING or HELPER (the kernel sets them, or refuses).
//
// GRE gets FIXED_TIMEOUT: a created GRE entry has no timeout of its own in the
// kernel, so that the first packet would end it. It does not get ASSURED: the next
// packet sets that, which is all there is to tell that the tunnel is in use.
func createStatus(r *session.Record) session.Status {
	s := session.StatusConfirmed | r.Status&(session.StatusSeenReply|session.StatusAssured)
	if r.Proto == protoGRE {
		s = s&^session.StatusAssured | session.StatusFixedTimeout
	}
	return s
}

// entryTimeout is the timeout to give to the kernel: at least hold and 1 s (0
// would be the end of the entry). What a standby does not hold, because nobody has
// answered it, is given what it had.
func entryTimeout(r *session.Record, hold uint32) uint32 {
	if !r.Installable() {
		hold = 0
	}
	t := max(r.Timeout, hold, 1)
	if r.Proto == protoGRE {
		t = max(t, greTimeout)
	}
	return min(t, maxTimeout)
}

// carriedTCPFlags are the flags that mean the same in another kernel. The others
// describe numbers of the sender's kernel that no message carries: with
// MAXACK_SET and without the number, the receiver takes every second RST for
// invalid.
const carriedTCPFlags = session.TCPFlagWindowScale | session.TCPFlagSACK | tcpFlagCloseInit | session.TCPFlagLiberal

const tcpFlagCloseInit = 0x04

// WindowScaleKnown tells whether the kernel can check t's windows strictly: both
// scales were seen in the handshake, or the handshake was seen and did not agree
// on scales. A flow that was picked up in its middle, or a record that never had
// the flags, is not known and stays liberal.
func WindowScaleKnown(t *session.TCP) bool {
	if t.FlagsOrig&t.FlagsReply&session.TCPFlagWindowScale != 0 {
		return true
	}
	if (t.FlagsOrig|t.FlagsReply)&session.TCPFlagLiberal != 0 {
		return false
	}
	return t.FlagsOrig != 0 && t.FlagsReply != 0
}
