// Package probe finds out whether things work, by trying them.
//
//	Check ──▶ Run: one goroutine each ──Result──▶ emit
//	            │ every Every, at most Timeout
//	            ▼
//	          Prober: ICMP · TCP · File · FileValue · Process · Route · Script
//
//	Watcher: Run, and a health.Check behind each probe; emits changes only
//
// A [Prober] tries once and says what is wrong. It knows nothing of intervals,
// rise or fall; package health does, and [Watcher] joins the two. New kinds of
// probes are new types with a Probe method. One that has a number to tell is a
// [Measurer] as well. What is pushed to us instead of tried (heartbeats,
// watchdogs) needs no Prober: its arrivals are results of a health.Check, and
// their absence is counted there.
//
// # What it does not do
//
// No probe waits for another. One that does not come back, because it hangs in
// the kernel, takes its own goroutine with it and nothing else; its check goes
// down by silence.
//
// Sockets are opened for each probe anew: an interface that was deleted and
// made again, or an address that moved, is found the next time. They belong to
// the network namespace of the thread that runs the probe.
//
// Errors name the probe and what it tried: "tcp 10.0.0.21:8443: connection
// refused". An error for which the time ran out wraps [ErrTimeout].
package probe
