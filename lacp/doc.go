// Package lacp models link aggregation (IEEE 802.1AX): LACPDUs of version 1 and
// later and Marker PDUs; a [Monitor], which says what is wrong with a bond; an
// [Actor], which is one end of aggregated links. Section numbers are those of
// 802.1AX-2008.
//
// It is pure: it opens no socket, asks no kernel and has no clock. The machines are
// values with Step(now, input) and Deadline().
//
//	frame ─▶ Classify ─▶ SubtypeLACP   ─▶ Parse       ─▶ PDU
//	            │    └─▶ SubtypeMarker ─▶ ParseMarker ─▶ Marker ─▶ Answer
//	            └─ Reason: why a receiver drops it
//
// # The monitor
//
//	frames seen on members ──┐  wire                   ┌─▶ Finding raised, cleared
//	                         ├──▶ Monitor ─▶ rules ────┤
//	kernel's word (snapshot) ┘  member by member       └─▶ BondState
//
// It sees a link from the host that has it. The Receive machine of each member runs
// along (current, expired, defaulted, at the standard's times); what the far end says
// of itself and of us, what we say, and what the kernel knows go through one rule for
// each [Kind]. What a rule sees has to last to become a [Finding], and to be gone for
// a while to be over. docs/link-aggregation.md lists them.
//
// # The actor
//
//	        ┌ Receive ─▶ Selection Logic ─▶ Mux ┐
//	frame ─▶│ Periodic ─▶ Transmit ◀────────────│─▶ frames to send
//	        └ Churn      Marker responder       ┘   what each port may do
//
// It is the other end in tests, and what `understudy lacp` runs.
//
// # On the wire
//
// A PDU is laid out in octets from the subtype on, which is 14 octets into an
// untagged frame (5.4.2):
//
//	0  subtype, version            44  TLV 3, length 16: collector
//	2  TLV 1, length 20: actor     58  version 1: terminator (0, 0), 50 octets of pad
//	22 TLV 2, length 20: partner       version 2: more TLVs, then the terminator
//
// The receiver here is the standard's: what a later version may use is not
// looked at. The version number, the types of TLVs, reserved octets and the pad
// are ignored; the three lengths that give the fields their place are not. The
// place of the terminator is fixed in version 1 only. What version 2 adds is read
// from [PDU.TLVs] by who wants it; what nobody knows is skipped.
//
// In a received PDU the actor is the far end, and the partner is what the far
// end believes of us.
//
// All numbers are big-endian on the wire. Delays are in units of 10 µs.
package lacp
