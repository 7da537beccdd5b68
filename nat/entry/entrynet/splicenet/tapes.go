package splicenet

import (
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// Log is a log of connections that others write to at the same time.
type Log interface {
	// With has the log be still for the time of a call.
	With(func(*bytelog.Log))
	// Settled is With, once all that was said before is in the log.
	Settled(func(*bytelog.Log))
}

// LogTapes are those of a log.
type LogTapes struct{ Log Log }

// Settled returns the tapes of connections. What is logged of older ones of the same ends at the
// new server is forgotten: what is said there from now on is logged as well, as of a new one.
func (t LogTapes) Settled(of []splice.Flow, added []uint32) []splice.Tape {
	out := make([]splice.Tape, len(of))
	t.Log.Settled(func(l *bytelog.Log) {
		for i, f := range of {
			l.End(splice.Ends{Server: f.To, Client: f.Client})
			out[i] = tapeOf(t.Log, l.Record(splice.Ends{Server: f.From, Client: f.Client}), added[i])
		}
	})
	return out
}

// tapeOf is the tape of a record, from its first byte on; the log is still.
func tapeOf(log Log, r *bytelog.Record, added uint32) *logTape {
	t := &logTape{log: log, record: r, added: added}
	if r != nil && r.Client.Trimmed() > 0 {
		t.why = splice.LogFull
	}
	return t
}

// Moved forgets what was logged of a connection at its old server.
func (t LogTapes) Moved(f splice.Flow) {
	t.Log.With(func(l *bytelog.Log) { l.End(splice.Ends{Server: f.From, Client: f.Client}) })
}

// logTape is one of them.
type logTape struct {
	log    Log
	record *bytelog.Record // nil: nothing was logged
	added  uint32
	check  bytelog.Check
	why    splice.Reason // it was not whole to begin with
}

func (t *logTape) Refusal() (why splice.Reason) {
	if t.record == nil {
		return splice.Unlogged
	}
	if t.why != splice.None {
		return t.why
	}
	t.log.With(func(*bytelog.Log) { why = t.record.Refusal().Move() })
	return why
}

func (t *logTape) Client() (h splice.Half) {
	if t.record == nil {
		return h
	}
	t.log.With(func(*bytelog.Log) {
		c := &t.record.Client
		h = splice.Half{ISN: c.ISN(), Options: c.Options(), Len: c.Len(), Fin: c.FIN(), Acked: c.Acked()}
	})
	if h.Fin && h.Acked == h.Len {
		h.Acked++ // perhaps; the new server has to have heard it in any case
	}
	return h
}

func (t *logTape) Server() (h splice.Half) {
	if t.record == nil {
		return h
	}
	t.log.With(func(*bytelog.Log) {
		s := &t.record.Server
		h = splice.Half{ISN: s.ISN() + t.added, Options: s.Options(), Len: s.Len(), Fin: s.FIN(), Acked: s.Acked()}
	})
	return h
}

func (t *logTape) ReadAt(p []byte, off uint64) (n int) {
	t.log.With(func(*bytelog.Log) { n = t.record.Client.ReadAt(p, off) })
	return n
}

func (t *logTape) Same(p []byte) (n int, ok bool) {
	t.log.With(func(*bytelog.Log) { n, ok = t.check.Next(&t.record.Server, p) })
	return n, ok
}

func (t *logTape) Forget(off uint64) {
	t.log.With(func(*bytelog.Log) {
		t.record.Forget(off)
		t.record.ForgetOutput(t.check.At())
	})
}

// shadowTape keeps the log whole as long as there is room, so that the connection can be replayed
// at another server still.
type shadowTape struct {
	*logTape
	with splice.Ends
}

func (t *shadowTape) Forget(off uint64) {
	t.log.With(func(l *bytelog.Log) {
		one, all := t.record.Pressed()
		if !one && !all {
			return
		}
		t.record.Forget(off)
		t.record.ForgetOutput(t.check.At())
		if all {
			l.End(t.with)
		}
	})
}
