// Package carry takes the connections of one kernel to another that is about to forward
// them, where no program on the first knows them: keepalived has the addresses there, and
// nothing replicates.
//
//	old kernel ── Export: one dump ──▶ stream ──(ssh)──▶ Import ──▶ new kernel
//
// The stream is a journal of one segment ([session.AppendExchange]): it has a checksum a
// frame and an end, so that one that was cut off is not taken for all there is. Who may read
// and write it is for whoever carries it to say.
//
// What ends at one of the two machines stays where it is: its socket is there. What is
// imported has at least Hold to live until its first packet comes by, and no check of TCP
// windows, which nobody has seen.
package carry
