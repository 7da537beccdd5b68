// Package health decides what the outcome of many probes means: whether
// something is up, and what that does to a virtual router.
//
// It is pure: results and time come in, states and weights come out. It probes
// nothing, opens nothing and never reads the clock; package probe does.
//
//	probe result ─▶ Check: rise, fall ──state──▶ Tracker ─▶ Effect of each group
//	                  ▲ silence                    ▲          fault | weight | pending
//	                  └ Deadline       interface ──┘ debounce
//
// # A check
//
//	            success                 Fall failures in a row
//	Unknown ────────────────▶ Up ───────────────────────────────▶ Down
//	   │                      ▲                                    │
//	   │ Fall failures        └──────── Rise successes in a row ───┘
//	   └──────────────────────────────────────────────────────────▶
//
// One success is enough out of Unknown, for there is nothing to be careful
// about yet; going down always takes Fall failures, so that one lost packet
// after a reload moves no gateway. A timeout is a failure, and so is a result
// that does not come at all ([Check.Deadline]): a probe that hangs in the kernel
// cannot keep a check up, and a check that is only ever told of heartbeats needs
// nothing else ([CheckConfig.Pushed]).
//
// A check that goes up and down can be held Down for a while ([Damp]); it is judged
// all the same. One that is made of others ([Combine], [Order]) is told when these
// change, and follows at once ([CheckConfig.Derived]).
//
// # What a state does
//
//	tracked without a weight   Down: the group is in fault
//	weight -50                 Down: priority 50 lower
//	weight +50                 Up: priority 50 higher
//	a value, weight W          value times W; -254 and less: fault
//	a value, no weight         anything but 0, or unreadable: fault
//	a count, weight -20        priority 20 lower for each part that is lost
//	a count, no weight         Down: fault
//
// Unknown moves nothing: no fault, no weight in either direction. A group that
// waits for the first word of something that could put it in fault is Pending:
// the caller holds its election back, and that ends, because a check is Down
// after Fall results that failed or did not come, and a source with a Grace is
// Down when that has passed.
//
// A weight moves all members of a group. Groups are Active as a whole: a peer
// that outranked us on one segment only would wait for the others for ever. An
// owner (priority 255) is not moved, everyone else stays within 1 to 254.
package health
