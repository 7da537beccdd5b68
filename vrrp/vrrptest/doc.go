// Package vrrptest runs several vrrp.Sets on one virtual clock, on network segments that lose, delay, duplicate and
// cut, and records what happens.
//
//	node a   node b   node c        each a vrrp.Set, its links, and what its kernel would do ("serving")
//	 |  |     |  |     |  |
//	-+--|-----+--|-----+--|---- lan     adverts are bytes on the way: encoded by the sender's Set,
//	----+--------+--------+---- wan     parsed by the receiver, in order of arrival
//
// Everything is deterministic: same seed and same calls give the same trace. Packets that arrive at the instant of a
// timer come first, as they do in a process that drains its sockets before it believes a clock.
//
// Script drives a Network by text, one command a line, for scenario transcripts.
package vrrptest
