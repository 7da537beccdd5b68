// Package notify tells programs of the operator's in which state routers and groups
// are.
//
//	Set ─▶ a lane for each router and group that has commands
//	Tell(what, Event) ─▶ lane: the latest event ─▶ its commands, in the order of the file, one at a time
//	Before(ctx, …) ────▶ lane: only the commands that an activation waits for; returns when they have ended
//	Finish(ctx) ───────▶ every lane has told the last event, or its program is ended
//
// # Order
//
// A lane runs one program at a time, so that those of one router or group never
// overlap and never come in another order than the states they are about. The
// latest event counts: what has changed while a program ran is told once, as it is
// in the end, even if it is then as it was before; the last state is always told.
// Lanes know nothing of each other: a program that fails or hangs, which is bounded
// by its timeout, delays only its own router or group.
//
// # Restarts
//
// What each command has been told is kept in a file a lane under the runtime
// directory. A daemon that is restarted beside a running election tells its view as
// Known: a command that was told that state already, and has ended, does not run
// again. One that died with the daemon does, when what it had started has been
// ended: a state is told at least once.
//
// # Pipes
//
// A [Pipe] is a FIFO that says the same as lines, at once and without waiting for anybody:
// for one reader that is always there, and a program may be started to be it.
//
// The package knows no configuration and no election: its user says what there is
// and what happens to it.
package notify
