package nft

import (
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// The vocabulary of our rules: each function is one condition or one action, and
// a rule reads as a sentence of them.

// word is the register of 32-bit word i, in the form in which the kernel reports
// it: where a 128-bit register begins, it names that one. Rules are compared with
// what the kernel holds, so they are written in its own spelling.
func word(i uint32) uint32 {
	if i%4 == 0 {
		return unix.NFT_REG_1 + i/4
	}
	return unix.NFT_REG32_00 + i
}

// Loads into word i. Fields shorter than a word are padded with zeros on the right.

func metaKey(key expr.MetaKey, i uint32) expr.Any { return &expr.Meta{Key: key, Register: word(i)} }
func l4proto(i uint32) expr.Any                   { return metaKey(expr.MetaKeyL4PROTO, i) }
func oifname(i uint32) expr.Any                   { return metaKey(expr.MetaKeyOIFNAME, i) } // four words
func iifname(i uint32) expr.Any                   { return metaKey(expr.MetaKeyIIFNAME, i) } // four words
func saddr(i uint32) expr.Any                     { return network(12, 4, i) }
func daddr(i uint32) expr.Any                     { return network(16, 4, i) }
func daddr6(i uint32) expr.Any                    { return network(24, 16, i) } // four words
func sport(i uint32) expr.Any                     { return transport(0, 2, i) }
func dport(i uint32) expr.Any                     { return transport(2, 2, i) }
func icmpType(i uint32) expr.Any                  { return transport(0, 1, i) }
func icmpID(i uint32) expr.Any                    { return transport(4, 2, i) }
func recordType(i uint32) expr.Any                { return transport(8, 1, i) }  // the first of an MLDv2 report
func ndTarget(i uint32) expr.Any                  { return transport(8, 16, i) } // of a solicitation; four words

func network(offset, n, i uint32) expr.Any {
	return &expr.Payload{DestRegister: word(i), Base: expr.PayloadBaseNetworkHeader, Offset: offset, Len: n}
}

func transport(offset, n, i uint32) expr.Any {
	return &expr.Payload{DestRegister: word(i), Base: expr.PayloadBaseTransportHeader, Offset: offset, Len: n}
}

func equal(i uint32, data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpEq, Register: word(i), Data: data}
}

func differ(i uint32, data ...byte) expr.Any {
	return &expr.Cmp{Op: expr.CmpOpNeq, Register: word(i), Data: data}
}

func masked(i uint32, mask ...byte) expr.Any {
	return &expr.Bitwise{SourceRegister: word(i), DestRegister: word(i), Len: uint32(len(mask)), Mask: mask, Xor: make([]byte, len(mask))}
}

// within asks whether the words from 0 are an element of the set, notWithin
// whether they are not, and mapped replaces them by what the map holds for them.

func within(set string) expr.Any { return &expr.Lookup{SetName: set, SourceRegister: word(0)} }
func notWithin(set string) expr.Any {
	return &expr.Lookup{SetName: set, SourceRegister: word(0), Invert: true}
}
func mapped(m string) expr.Any {
	return &expr.Lookup{SetName: m, SourceRegister: word(0), DestRegister: word(0), IsDestRegSet: true}
}

// Conditions.

func ipv4() []expr.Any {
	return []expr.Any{metaKey(expr.MetaKeyNFPROTO, 0), equal(0, unix.NFPROTO_IPV4)}
}

func ipv6() []expr.Any {
	return []expr.Any{metaKey(expr.MetaKeyNFPROTO, 0), equal(0, unix.NFPROTO_IPV6)}
}

func protocol(p byte) []expr.Any { return []expr.Any{l4proto(0), equal(0, p)} }
func withPorts() []expr.Any      { return []expr.Any{l4proto(0), within(setTransports)} }

func ctState(bits uint32) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: expr.CtKeySTATE, Register: word(0)},
		masked(0, binaryutil.NativeEndian.PutUint32(bits)...), // a number of the host, not of the wire
		differ(0, 0, 0, 0, 0),
	}
}

// notSYN is tcp flags & (fin|syn|rst|ack) != syn.
func notSYN() []expr.Any {
	return []expr.Any{transport(13, 1, 0), masked(0, 0x17), differ(0, 0x02)}
}

// synACK is tcp flags & (fin|syn|rst|ack) == syn|ack.
func synACK() []expr.Any {
	return []expr.Any{transport(13, 1, 0), masked(0, 0x17), equal(0, 0x12)}
}

// solicitation is an ICMPv6 Neighbor Solicitation (RFC 4861 section 4.3).
func solicitation() []expr.Any {
	return []expr.Any{l4proto(0), equal(0, protoICMPv6), icmpType(0), equal(0, 135)}
}

// discovery is router and neighbour discovery: ICMPv6 types 133 to 136 (RFC 4861 section 4).
func discovery() []expr.Any {
	return []expr.Any{l4proto(0), equal(0, protoICMPv6), icmpType(0),
		&expr.Cmp{Op: expr.CmpOpGte, Register: word(0), Data: []byte{133}},
		&expr.Cmp{Op: expr.CmpOpLte, Register: word(0), Data: []byte{136}}}
}

// Actions.

func count(counter string) expr.Any {
	return &expr.Objref{Type: unix.NFT_OBJECT_COUNTER, Name: counter}
}
func drop() expr.Any             { return &expr.Verdict{Kind: expr.VerdictDrop} }
func accept() expr.Any           { return &expr.Verdict{Kind: expr.VerdictAccept} }
func jump(chain string) expr.Any { return &expr.Verdict{Kind: expr.VerdictJump, Chain: chain} }
func tcpReset() expr.Any         { return &expr.Reject{Type: unix.NFT_REJECT_TCP_RST} }

func bigEndian(port uint16) []byte { return binaryutil.BigEndian.PutUint16(port) }
