// Package program runs programs of the operator's, for checks and for
// notifications: bounded, by itself, and so that nothing else has to suffer for
// what it does.
//
//	New (who, what) ─▶ Program.Run(ctx, Run{…}) ─▶ Result
//
// A program has a process group of its own. When the context ends, the group is
// asked to end (SIGTERM, if [Run.Grace] says so) and then killed; it is killed too
// when this process dies. No shell sees its arguments. It gets no input and a
// small environment, and what it writes is kept up to a bound and blocks nobody.
//
// [Trusted] tells whether others than root could exchange a program that root is
// to run. [EndOrphans] ends what a process that died has left running.
//
// The package knows nothing of checks or notifications, nor of intervals.
package program
