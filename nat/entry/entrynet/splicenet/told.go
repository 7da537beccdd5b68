package splicenet

import (
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// Rested returns connections that have come to rest, with how far their servers are: see
// [splice.Notes.Rested].
func (l *Listener) Rested(most int) []splice.Rest {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.drain(); err != nil {
		return nil // Run tells of it
	}
	return l.notes.Rested(most)
}

// Take notes what another gateway has told: see [splice.Notes.Take].
func (l *Listener) Take(servers func(splice.Ends) bool, told []splice.Rest) {
	l.mu.Lock()
	defer l.mu.Unlock()
	_ = l.drain() // what came before it is older; Run tells of an error
	l.notes.Take(servers, told)
}

// Whole tells of connections why what was said on them is not logged from the beginning on; none: it
// is.
func (t LogTapes) Whole(of []splice.Ends) []splice.Reason {
	out := make([]splice.Reason, len(of))
	t.Log.With(func(l *bytelog.Log) {
		for i, e := range of {
			switch r := l.Record(e); {
			case r == nil:
				out[i] = splice.Unlogged
			case r.Client.Trimmed() > 0:
				out[i] = splice.LogFull
			default:
				out[i] = r.Refusal().Move()
			}
		}
	})
	return out
}

// Awaited tells whether a server has still something to say on a connection whose client has said its last
// word: it has not ended it, and all is logged. When the client says its last word twice, the kernel
// takes that for the end of both.
func (t LogTapes) Awaited(of splice.Ends) (yes bool) {
	t.Log.With(func(l *bytelog.Log) {
		r := l.Record(of)
		yes = r != nil && r.Refusal() == bytelog.None && r.Client.FIN() && !r.Server.FIN()
	})
	return yes
}
