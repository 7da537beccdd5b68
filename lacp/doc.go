// Package lacp models link aggregation (IEEE 802.1AX) as seen from one port:
// LACPDUs of version 1 and later, and Marker PDUs. Bytes in, values out.
//
// It is pure: it opens no socket, knows no bond and decides nothing about links.
//
//	frame ─▶ Classify ─▶ SubtypeLACP   ─▶ Parse       ─▶ PDU
//	            │    └─▶ SubtypeMarker ─▶ ParseMarker ─▶ Marker ─▶ Answer
//	            └─ Reason: why a receiver drops it
//
// A PDU is laid out in octets from the subtype on, which is 14 octets into an
// untagged frame (802.1AX-2008, 5.4.2):
//
//	0  subtype, version            44  TLV 3, length 16: collector
//	2  TLV 1, length 20: actor     58  version 1: terminator (0, 0), 50 octets of pad
//	22 TLV 2, length 20: partner       version 2: more TLVs, then the terminator
//
// The receiver here is the standard's: what a later version may use is not
// looked at. The version number, the types of TLVs, reserved octets and the pad
// are ignored; the three lengths that give the fields their place are not. The
// place of the terminator is fixed in version 1 only.
//
// In a received PDU the actor is the far end, and the partner is what the far
// end believes of us.
//
// All numbers are big-endian on the wire. Delays are in units of 10 µs.
package lacp
