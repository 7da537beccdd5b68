package session

import (
	"net/netip"
	"time"
)

// Addr is an IP address in network byte order. An IPv4 address fills the first
// four bytes and leaves the rest zero; [Key.Family] tells which it is. Unlike
// netip.Addr it holds no pointer, so a table of a million records is one piece
// of memory that the collector never walks.
type Addr [16]byte

// AddrFrom returns a in the form a [Record] holds; 4-in-6 addresses are
// unmapped first.
func AddrFrom(a netip.Addr) (out Addr) {
	a = a.Unmap()
	if a.Is4() {
		b := a.As4()
		copy(out[:], b[:])
		return out
	}
	return Addr(a.As16())
}

// Netip returns the address as the standard library's type. family is 4 or 6.
func (a Addr) Netip(family uint8) netip.Addr {
	if family == 6 {
		return netip.AddrFrom16(a)
	}
	return netip.AddrFrom4([4]byte(a[:4]))
}

// Key names a flow: the tuple of its original direction, as its first packet
// had it before any translation, and the zone it was tracked in.
type Key struct {
	Src, Dst Addr
	// SrcPort and DstPort are in host byte order. For ICMP, SrcPort is the
	// identifier and DstPort is type<<8 | code; for GRE they are the call keys.
	SrcPort, DstPort uint16
	Zone             uint16
	Proto            uint8 // IP protocol number
	Family           uint8 // 4 or 6
}

// Record is everything one gateway must know to go on with a flow that another
// gateway began. It is a plain value: comparable, without pointers.
type Record struct {
	Key

	// The reply tuple as the kernel shows it, so already translated. What the
	// translation is follows from it: see SNAT and DNAT.
	ReplySrc, ReplyDst         Addr
	ReplySrcPort, ReplyDstPort uint16

	// ID is CTA_ID on the gateway that tracks the flow, a hash of the kernel's
	// memory address and the tuple: another ID is another incarnation of the Key,
	// but a flow that ends and begins again at once mostly gets the same one.
	ID      uint32
	Status  Status
	Timeout uint32 // seconds left in the kernel when the record was made
	Mark    uint32
	TCP     TCP
	SCTP    SCTP
	SeqAdj  [2]SeqAdj // original, reply direction
	Labels  Labels
	Helper  Name // of the protocol helper that reads the flow; empty: none
	// Master is the flow that expected this one (RELATED); its Family is 0 if none
	// did. It is in the same zone.
	Master Key
}

// Labels are the bits that rules set on a flow (nft: ct label), as the kernel has
// them.
type Labels [16]byte

// Name is a word of the kernel's, padded with zeros.
type Name [16]byte

// NameFrom returns s up to a zero as a Name, cut to 15 bytes as the kernel does.
func NameFrom(s string) (n Name) {
	putWord(n[:], s)
	return n
}

// putWord copies s to where it ends and leaves a zero behind it.
func putWord(w []byte, s string) {
	for i := 0; i < len(s) && i < len(w)-1 && s[i] != 0; i++ {
		w[i] = s[i]
	}
}

func (n Name) String() string {
	for i, c := range n {
		if c == 0 {
			return string(n[:i])
		}
	}
	return string(n[:])
}

// Status holds the conntrack status bits (linux/nf_conntrack_common.h) that
// matter between gateways.
type Status uint32

const (
	StatusExpected     Status = 1 << 0
	StatusSeenReply    Status = 1 << 1
	StatusAssured      Status = 1 << 2
	StatusConfirmed    Status = 1 << 3
	StatusSrcNAT       Status = 1 << 4
	StatusDstNAT       Status = 1 << 5
	StatusSeqAdjust    Status = 1 << 6
	StatusDying        Status = 1 << 9
	StatusFixedTimeout Status = 1 << 10
	StatusHelper       Status = 1 << 13
	StatusOffload      Status = 1 << 14
	StatusHWOffload    Status = 1 << 15
)

// TCPState is the kernel's TCP conntrack state (enum tcp_conntrack).
type TCPState uint8

const (
	TCPNone TCPState = iota
	TCPSynSent
	TCPSynRecv
	TCPEstablished
	TCPFinWait
	TCPCloseWait
	TCPLastAck
	TCPTimeWait
	TCPClose
	TCPSynSent2
)

// TCP is the part of the TCP tracking state that ctnetlink can carry. A gateway
// that lacks the scales stalls the flow (the window check runs with scale 0).
type TCP struct {
	State                   TCPState
	WScaleOrig, WScaleReply uint8
	FlagsOrig, FlagsReply   uint8 // IP_CT_TCP_FLAG_*; 0x01 window scale known, 0x08 be liberal
}

// TCP tracking flags (linux/nf_conntrack_tcp.h).
const (
	TCPFlagWindowScale uint8 = 0x01
	TCPFlagSACK        uint8 = 0x02
	TCPFlagLiberal     uint8 = 0x08
)

// SCTPClosed is the last of the kernel's SCTP conntrack states that an association is
// in before its first chunk or behind its last.
const SCTPClosed = 1

// SCTPEstablished is the first of the kernel's SCTP conntrack states (enum
// sctp_conntrack) in which an association can carry data; those behind it are of
// its end.
const SCTPEstablished = 4

// SCTP is the SCTP tracking state; all three must be given or none.
type SCTP struct {
	State               uint8
	VTagOrig, VTagReply uint32
}

// SeqAdj is a TCP sequence adjustment of one direction (bytes added to the
// stream by a helper, or by a connection that was moved to another server).
type SeqAdj struct {
	CorrectionPos             uint32
	OffsetBefore, OffsetAfter int32
}

// SNAT tells whether the flow's source is translated, and to what.
func (r *Record) SNAT() (Addr, uint16, bool) {
	if r.isICMP() {
		// The identifier stands in SrcPort of both tuples; DstPort holds the type.
		return r.ReplyDst, r.ReplySrcPort, r.ReplyDst != r.Src || r.ReplySrcPort != r.SrcPort
	}
	return r.ReplyDst, r.ReplyDstPort, r.ReplyDst != r.Src || r.ReplyDstPort != r.SrcPort
}

// DNAT tells whether the flow's destination is translated, and to what.
func (r *Record) DNAT() (Addr, uint16, bool) {
	if r.isICMP() {
		return r.ReplySrc, 0, r.ReplySrc != r.Dst
	}
	return r.ReplySrc, r.ReplySrcPort, r.ReplySrc != r.Dst || r.ReplySrcPort != r.DstPort
}

func (r *Record) isICMP() bool { return r.Proto == 1 || r.Proto == 58 }

// Hold is how long a standby's kernel keeps a flow that it hears nothing about,
// and HoldRenew how often the standby renews it: a standby sees no packets, so
// its kernel would let silent flows expire that are alive on the other gateway.
const (
	Hold      = 600 * time.Second
	HoldRenew = 300 * time.Second
)
