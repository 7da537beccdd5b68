// Package journal keeps sessions on disk, so that a box that lost its power, with
// nobody left who could tell, goes on with them when it has booted.
//
//	session.Table ─ dirty ─► session.Journal ─ frames ─► segments, 64 MiB each
//	                            (pure)          Run        │ fsync each second
//	session.Table ◄──── session.Restore ◄─ frames ─ Look ──┘ (at the next start)
//	                       (pure)
//
// What the frames say, when a snapshot is due and what is restored is decided in
// package [understudy/nat/session]; here are files, their order, and what to do when
// the disk fails.
//
//	segment.go  names, lists
//	scan.go     frames out of a segment, up to the first that is damaged
//	look.go     where to begin, what is lost, cutting it off
//	writer.go   segments, fsync, removal of what a snapshot has replaced
//	journal.go  the goroutine; failures
//	kernel.go   which kernel's connections these are
//
// Files: DIR/0000000000000001.journal and so on, and DIR/lock, which keeps a second
// program out. A snapshot begins a segment; the segments before it are removed when
// it is complete and on the disk. So there is one complete snapshot at any moment
// after the first, and at most about four times the size of the live sessions.
//
// Nobody waits for the disk but the one goroutine of [Journal.Run]. What goes wrong is
// counted and told once, and tried again with growing pauses; what is being written
// then is forgotten, because a new try begins with a snapshot.
package journal
