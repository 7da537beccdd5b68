// Package replica is the session plane of a node: it keeps the established flows
// of the gateway that is Active in the kernels of those that stand by.
//
//	 owner of a group                                   standby
//
//	kernel ── events each 1 ms ──► Table ─► Sender ── TLS ──► Receiver ─► Table
//	   ▲         (harvest.go)       ▲     (outgoing.go)   (incoming.go)    │
//	   └── dump each 60 s ──────────┘                                      ▼
//	        (reconcile.go)                                 kernel (install.go)
//
// The decisions are in package [understudy/nat/session], which is pure; the
// kernel's interface in [understudy/nat/conntrack]. Here are the sockets, the
// goroutines, the clock, and one lock.
//
//	config.go     what an engine is made of
//	keys.go       who may talk: a key for each node, out of the cluster secret
//	tap.go        a connection that can tell that it is read empty
//	peer.go, outgoing.go, incoming.go, frames.go
//	paths.go      several addresses of a peer: which one, and how the link moves
//	harvest.go    events of this kernel: our sessions, and what the standby lost;
//	              await.go waits for the first of them
//	reconcile.go  dumps: the owner's table follows its kernel, the standby's
//	              kernel follows its table
//	install.go    the standby's kernel; strict.go: window checks after a takeover;
//	              loose.go: none after another's turn; tunnels.go: GRE entries,
//	              which only we end; scope.go: whose sessions are whose;
//	              heralds.go: what is told of a flow before it has a record;
//	              expects.go: what helpers expect; ready.go: what this kernel
//	              can hold; offload.go: what it hides
//	modes.go      what the mode changes of all that, and what a hand-over does
//	activate.go   taking a group over
//	departure.go  giving one up
//	salvage.go    what the last owner has and a new one does not
//	disk.go       when sessions are written to disk; restore.go: what becomes of
//	              them after a power cut. The files are package journal's
//	reconfigure.go  other addresses, while flows go on
//	status.go, notify.go; unprotected.go: what a crash now would lose; diff.go: what
//	              a peer lacks, flow by flow; refusals.go: what we do not take;
//	              takeover.go: what an activation did
//
// A group is owned by the node that is Active for it, which is decided elsewhere
// and told by Activate and Deactivate. Both are quick: a takeover has nothing to
// install, as the kernel has it all, unless it is configured to get it only then
// ([Config.Cold]).
//
// # Locks
//
// mu guards table, senders and receivers, and is held for a batch at most. kmu
// is held around changes to the kernel's table, from the decision to the answer,
// so that a deletion decided later is carried out later. Order: kmu, mu.
package replica
