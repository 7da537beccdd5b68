// Package probe finds out whether things work, by trying them, or by hearing what
// they say themselves.
//
//	Check ──▶ Run: one goroutine each ──Result──▶ emit
//	            │ every Every, at most Timeout
//	            ▼
//	          Prober: ICMP · TCP · HTTP · DNS · UDP · SMTP · Heartbeat · File · FileValue · Process · Route · Script
//
//	Source: Receiver (beats of servers) · Watchdog (sd_notify) ──Input──▶ emit
//
//	Watcher: Run and Sources, a health.Check behind each; checks of checks; emits changes only
//
// A [Prober] tries once and says what is wrong. It knows nothing of intervals,
// rise or fall; package health does, and [Watcher] joins the two. New kinds of
// probes are new types with a Probe method. One that has a number to tell is a
// [Measurer] as well. What comes by itself is a [Source]: its arrivals are results
// of a health.Check, and their absence is counted there.
//
// Checks that try the same thing at the same pace are one probe, with a
// health.Check for each of them.
//
// # What it does not do
//
// No probe waits for another. One that does not come back, because it hangs in
// the kernel, takes its own goroutine with it and nothing else; its check goes
// down by silence.
//
// Sockets are opened for each probe anew: an interface that was deleted and
// made again, or an address that moved, is found the next time. They belong to
// the network namespace of the thread that runs the probe. What servers send is
// read up to a bound.
//
// Errors name the probe and what it tried: "tcp 10.0.0.21:8443: connection
// refused". An error for which the time ran out wraps [ErrTimeout].
package probe
