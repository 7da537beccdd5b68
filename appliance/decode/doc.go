// Package decode is the judge of `understudy decode`: Ethernet frames in, the
// verdict that a receiver would give out, and why.
//
//	pcap, pcapng, hex ─▶ Open ─▶ Source.Next ─▶ Frame ─▶ Judge.Frame ─▶ Result ─▶ JSON or text
//	                                                       │
//	                       vrrp · lacp · garp: codecs and their reasons
//
// What is right and wrong is known by the packages of the protocols; here a
// frame finds its protocol, and a reason finds words for a person. Nothing is
// judged twice: the same functions read what arrives on a gateway.
//
// A zero [Judge] knows no configuration and judges what can be judged without
// one. With [Local] it also says what the routers of one interface would.
//
// The package opens no file and no socket. What it is given may be hostile:
// it answers with a verdict or an error, and holds one frame at a time.
//
// Lengths are in octets, intervals in 1/100 s where a field's name ends in _cs.
package decode
