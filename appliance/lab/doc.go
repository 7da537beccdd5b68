// Package lab builds small networks out of network namespaces, for the tests
// of everything that touches a kernel and for `understudy demo`, which show
// the same topology.
//
// # What is in it
//
//	Net ── a laboratory: nodes and segments, closed together
//	 ├─ Segment ── a switch: one bridge in a namespace of its own
//	 │    └─ port (one end of a veth) ─┐
//	 └─ Node ── a machine              │
//	      ├─ Link (the other end) ─────┘   addresses, Up/Down, Unplug/Plug
//	      ├─ Do ── run a function inside, to open sockets there
//	      └─ cell ── a PID namespace for the node's processes: Start, Freeze, Kill
//
// The sub-package pair is the network of the end-to-end tests and of the demo:
// two gateways on a LAN, a WAN and a sync segment, a host inside and one
// outside. The sub-package probe measures traffic, capture records frames.
//
// # Nothing is left behind
//
// No namespace has a name and nothing is mounted or written outside a node, so
// whatever kills the process that owns a Net (SIGKILL as well) takes the
// namespaces, links, addresses and firewall rules along. Processes of a node
// live in a PID namespace whose first process reads a pipe held by the owner:
// the pipe's end is the end of all of them, also of a daemon that would
// otherwise outlive and restart its parent.
//
// # How a machine dies
//
// Killing a process lets its siblings say goodbye, which a power cut does not.
// [Node.Crash] therefore stops every process of the node by one system call,
// then takes the carrier from all its links, and kills last. After that,
// [Node.Reboot] gives the node a fresh kernel (a new namespace with the same
// MAC addresses, static addresses and sysctls, and nothing else) whereas
// [Node.PlugAll] alone returns it with the stale one: connection table,
// firewall and addresses as they were.
//
// # Threads
//
// A socket belongs to the namespace of the thread that created it, for as long
// as it lives. So sockets are opened inside [Node.Do] and used anywhere; a
// goroutine started inside Do is not in the namespace.
package lab
