// Package daemon joins the edges of a gateway to its decisions. It is the only
// package that knows all others, and it decides nothing itself:
//
//	election.Client ──▶ readElection ──▶ runner.Post ──▶ appliance.Core
//	kernel.Watcher  ──▶ Drifted ───────┘                     │
//	replica.Engine  ──▶ Synced, TermHeard ┤                  │
//	probe.Watcher   ──▶ CheckChanged ─────┤                  │
//	lacpnet.Watcher ──▶ BondChanged ──────┘                  ▼
//	                    holder (sessions → gate → addresses), announcer, electionEdge
//
// [Run] is the daemon process. It is started by the election process (package
// election), and starts a new one if that dies. [Clean] removes what a dead one
// left, by our marks.
package daemon
