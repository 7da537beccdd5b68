// Package bytelog is the passive log of protected connections of TCP: what clients said to a
// server, byte for byte, and what the server answered, so that another one can be brought to
// where it was when it dies (FT-TCP: log and replay).
//
//	captured segments, both ways ─▶ Log.Take ─▶ Record ─┬─ Client: its stream, to be said again
//	packets were lost            ─▶ Log.Lost           ├─ Server: its stream, to be compared with
//	time                         ─▶ Log.Expire         └─ Refusal: why it cannot be replayed
//
// A segment is believed if its checksum is right (or has still to be made: it has never been on
// a wire), if its data are in the window that the other end has announced (RFC 9293 section
// 3.10.7.4), and if it acknowledges nothing that the other end was not allowed to send. What the
// log missed is seen by the numbers: a gap that the other end has acknowledged is filled by
// nobody. So a record is either whole, or refused with a [Reason]; it is never wrong.
//
// # What is remembered
//
// Of the client: all that it said, from its first byte or from where [Record.Forget] was told to,
// in chunks of [ChunkSize]. Of the server: the bytes that the client has not acknowledged, and of
// whole chunks of older ones a digest of 8 bytes; so output that is regenerated from the beginning
// can be compared all the way ([Check]), for 4 KiB a megabyte.
//
// # Bounds
//
// [Config] bounds the memory of one connection and of all, and the age. If all together have too
// much, the one that began first is given up, as it takes longest to replay and is next to be too
// old. Connections whose handshake is not over have a bound of their own, so that a flood of SYNs
// displaces only such.
//
// The package is pure: no sockets, no clock, no goroutine. Offsets count bytes of a stream from 0,
// the one behind the SYN; sequence numbers are of 32 bits, in the server's own numbers (those that
// it sees and sends, before the gateway adds anything to them).
package bytelog
