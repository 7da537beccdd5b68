// Package interop holds the tests of the election on the wire: the real program
// beside other people's routers, and against packets made by hand. There is
// nothing in it to import.
//
//	   ours            theirs           host
//	understudy run   keepalived, FRR   a packet socket
//	     │ lan0           │ lan0          │ lan0
//	─────┴────────────────┴───────────────┴───── lan      (package appliance/lab)
//
//	matrix_test.go    {keepalived, FRR} x {version, family, ...} x every scenario, in both roles
//	scenario_test.go  what happens in them: election, preemption, release, crash, ...
//	checksum_test.go  the form of the checksum that they require, and what becomes of the other one
//	group_test.go     a group of ours against routers of theirs that do not move together
//	owner_test.go     priority 255, with the address on the interface
//	version2_test.go  what version 2 insists on
//	unicast_test.go   what a router with peers listens to, and whom it tells
//	disagree_test.go  version 2 beside peers that are set up otherwise
//	vectors_test.go   the vectors of package vrrp, as frames: what is counted, what moves
//	vectors6_test.go  the same over IPv6
//	differential_test.go  two lives by one keepalived.conf, keepalived's and ours: what is in the kernel, what was told
//	  corpus_test.go      the configurations; state_test.go: what a kernel has; life_test.go: one of the lives
//	  mixed_test.go       the two on one segment, by one file; mixed_disagree_test.go: by files that differ
//	  namespaces_test.go  many of ours on one machine
//	  servers_test.go     those of virtual servers, in the guest; farm_test.go: servers and clients of theirs
//	  difference_test.go  what may differ, and why; docs/keepalived.md has it
//	rules_*_test.go   the rules of RFC 9568 that a packet can show, see docs/conformance.md
//
// # How a test sees
//
// What is asserted was on the wire or is in a kernel: [wire] records the segment
// with the kernel's time stamps, and a contender holds an address if its kernel
// has it. Of ours, `understudy status --json` is read too; of theirs, no log and
// no state file. Conditions are waited for with a bound far beyond what they
// take. Times between two frames are asserted from below, where a protocol timer
// guarantees them, and from above only to tell one timer from another.
//
// # A row of the matrix
//
// A [variant] says how a virtual router is written down for the three programs.
// IPv6 and unicast are rows: add one, and every scenario runs with it.
//
// The program is taken from UNDERSTUDY_BINARY, or built once. keepalived and
// FRR come from .ci/tools.
package interop
