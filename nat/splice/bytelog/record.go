package bytelog

import (
	"time"

	"understudy/nat/splice"
)

// Record is what is remembered of one connection. It is the Log's, and changes when that takes
// segments; who has it calls its methods between those calls.
type Record struct {
	Ends   splice.Ends
	Client Client
	Server Server

	log      *Log
	why      Reason
	began    time.Time
	followed bool
	used     int       // bytes of memory
	missing  time.Time // since when there is a gap; zero: there is none
	epoch    uint64    // of the Log, when the server last showed that nothing is missing
	window   uint16    // of the SYN
	again    *opening  // a SYN of another connection of these ends, if it is one
	list     *list     // that it is in
	older    *Record
	younger  *Record
}

// opening is a SYN that nobody has answered.
type opening struct{ segment splice.Segment }

// Refusal is why the connection cannot be replayed, and None if it can. A server that has ended its
// direction ([Server.FIN]) is no refusal.
func (r *Record) Refusal() Reason {
	switch {
	case r.why != None:
		return r.why
	case !r.Client.known || !r.Server.known || r.list == &r.log.opening:
		return NoSYN
	case r.Client.gap() || r.Server.gap():
		return Gap
	case r.epoch != r.log.epoch:
		return Lost
	}
	return None
}

// Began is when the SYN was heard.
func (r *Record) Began() time.Time { return r.began }

// Memory is how many bytes the record has.
func (r *Record) Memory() int { return r.used }

// Follow has the record not be too old while it is followed: somebody replays the connection all
// along, so its age is not what a replay would take.
func (r *Record) Follow(on bool) { r.followed = on }

// Pressed tells whether more than half is in use of what one connection may have, and of what all
// together may: time for who follows to forget.
func (r *Record) Pressed() (one, all bool) {
	return r.used > r.log.cfg.PerConnection/2, r.log.kept() > r.log.cfg.Memory/2
}

// Forget has what the client said before off not be kept any more: another server has it. What
// this one has not acknowledged is kept all the same.
func (r *Record) Forget(off uint64) {
	if r.why == None {
		r.freed(r.Client.out.release(min(off, r.Client.acked()), &r.log.pool) * ChunkSize)
	}
}

// ForgetOutput has the digests of what the server said before off not be kept any more: it has
// been compared.
func (r *Record) ForgetOutput(off uint64) {
	s := &r.Server
	if n := min(off/ChunkSize, s.out.start/ChunkSize); n > s.forgotten {
		n = min(n-s.forgotten, uint64(len(s.digests)))
		s.digests = s.digests[:copy(s.digests, s.digests[n:])]
		s.forgotten += n
		r.freed(int(n) * digestCost)
	}
}

const digestCost = 8

func (r *Record) freed(n int) {
	r.used -= n
	r.log.used -= n
}

// list is records in the order of their beginning.
type list struct {
	oldest, youngest *Record
	n                int
}

func (l *list) add(r *Record) {
	r.list, r.older, r.younger = l, l.youngest, nil
	if l.youngest != nil {
		l.youngest.younger = r
	} else {
		l.oldest = r
	}
	l.youngest = r
	l.n++
}

func (l *list) remove(r *Record) {
	if r.older != nil {
		r.older.younger = r.younger
	} else {
		l.oldest = r.younger
	}
	if r.younger != nil {
		r.younger.older = r.older
	} else {
		l.youngest = r.older
	}
	r.list, r.older, r.younger = nil, nil, nil
	l.n--
}
