// Package appliance decides what a gateway does; it does none of it.
//
// [Core] is a value with Step and Deadline, like every control-plane machine of
// the house. It hears what happened as events and answers with actions. It
// never elects (the election process does, package vrrp), never reads a clock
// and never touches the kernel:
//
//	election ──Transition──▶ ┌──────┐ ──Hold{Want}──▶ holder lane ─▶ sessions, gate, addresses
//	replica  ──Synced──────▶ │ Core │ ──Elect…──────▶ election process
//	kernel   ──Drifted─────▶ │      │ ──Announce────▶ gratuitous ARP schedule
//	probes   ──CheckChanged▶ │      │
//	bonds    ──BondChanged─▶ │      │
//	operator ──Failover────▶ └──────┘ ──Reply───────▶ control socket
//	                            ▲─────────Applied{Gen, Err}──────────┘
//
// What the box should hold is one value, [Want]: the latest wins, there is no
// queue of commands, and an answer that carries an old generation is ignored.
//
// [Status] is what all of this looks like from outside: the JSON of
// `understudy status`, composed from plain facts.
//
// The package is pure: no goroutine, no channel, no clock, no I/O. The loop that
// drives it is package runner; the edges are joined to it in package daemon.
package appliance
