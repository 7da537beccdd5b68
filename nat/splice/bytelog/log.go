package bytelog

import (
	"iter"
	"net/netip"
	"time"

	"understudy/nat/splice"
)

// Log is the records of all connections. It is not safe for concurrent use.
type Log struct {
	cfg     Config
	servers map[netip.AddrPort]struct{}
	of      map[splice.Ends]*Record
	opening list // whose handshake is not over
	open    list
	refused list // which are kept for why
	pool    pool
	used    int
	epoch   uint64
	counts  Counts
	watch   func(splice.Packet)
}

// Counts are since the Log was made.
type Counts struct {
	Segments  uint64 // that were believed
	Bytes     uint64 // of clients, that were logged
	Unsound   uint64 // segments with a wrong checksum
	Outside   uint64 // segments outside the window, or acknowledging what was not said
	Unknown   uint64 // segments of connections that are not logged
	Differing uint64 // segments that say the same bytes differently
	Scattered uint64 // segments that were too far ahead of too much that is missing
	Lost      uint64 // how often packets were lost on the way to the log
	Refused   [reasons]uint64
}

// Of is how many connections were refused for a reason; that one is over is not counted.
func (c Counts) Of(r Reason) uint64 { return c.Refused[r] }

// Status is how a Log is.
type Status struct {
	Connections int // that are logged
	Opening     int // whose handshake is not over
	Memory      int // bytes in use
	Counts
}

// New makes a Log.
func New(cfg Config) *Log {
	return &Log{cfg: cfg.withDefaults(), servers: map[netip.AddrPort]struct{}{}, of: map[splice.Ends]*Record{}}
}

// Serve has connections to these servers be logged, from their SYN on. Those of others are
// forgotten.
func (l *Log) Serve(servers []netip.AddrPort) {
	clear(l.servers)
	for _, s := range servers {
		l.servers[s] = struct{}{}
	}
	for ends, r := range l.of {
		if _, ok := l.servers[ends.Server]; !ok {
			l.end(r, Closed)
		}
	}
}

// Bound has other bounds hold from now on.
func (l *Log) Bound(cfg Config) { l.cfg = cfg.withDefaults() }

// Watch has a function be told of each sound segment, whose data are valid during the call, once it is
// taken.
func (l *Log) Watch(f func(splice.Packet)) { l.watch = f }

// Record is that of a connection; nil if it is not known.
func (l *Log) Record(e splice.Ends) *Record { return l.of[e] }

// Records are all of them, also those that are refused.
func (l *Log) Records() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		for _, r := range l.of {
			if !yield(r) {
				return
			}
		}
	}
}

// End forgets a connection: it goes on elsewhere.
func (l *Log) End(e splice.Ends) {
	if r := l.of[e]; r != nil {
		l.end(r, Closed)
		l.end(r, None)
	}
}

// Status is how the log is.
func (l *Log) Status() Status {
	return Status{Connections: l.open.n, Opening: l.opening.n, Memory: l.used, Counts: l.counts}
}

// Lost tells that packets were lost on the way to the log, before those that it is given next.
func (l *Log) Lost() {
	l.epoch++
	l.counts.Lost++
}

// Doubt is Lost again: it is the same loss, and packets that were given since may have been from
// before it.
func (l *Log) Doubt() { l.epoch++ }

// Expire gives up what is too old, and gaps that nobody fills. To be called every few seconds.
func (l *Log) Expire(now time.Time) {
	for r := l.opening.oldest; r != nil && now.Sub(r.began) > l.cfg.Age; r = l.opening.oldest {
		l.forget(r, TooOld)
	}
	for r := l.open.oldest; r != nil; {
		next := r.younger
		if !r.followed && now.Sub(r.began) > l.cfg.Age {
			l.refuse(r, TooOld)
		} else {
			l.mind(now, r)
		}
		r = next
	}
}

// Take takes a segment that was captured at now: from a client to a server, or the other way.
func (l *Log) Take(now time.Time, p *splice.Packet) {
	if !p.Sound {
		l.counts.Unsound++
		return
	}
	l.take(now, p)
	if l.watch != nil {
		l.watch(*p)
	}
}

func (l *Log) take(now time.Time, p *splice.Packet) {
	s := &p.Segment
	if r := l.of[splice.Ends{Server: p.To, Client: p.From}]; r != nil {
		l.fromClient(now, r, s)
		return
	}
	if r := l.of[splice.Ends{Server: p.From, Client: p.To}]; r != nil {
		l.fromServer(now, r, s)
		return
	}
	if _, ours := l.servers[p.To]; ours && s.Flags&(splice.SYN|splice.ACK|splice.RST|splice.FIN) == splice.SYN {
		l.begin(now, splice.Ends{Server: p.To, Client: p.From}, s)
		return
	}
	l.counts.Unknown++
}

// begin begins a record.
func (l *Log) begin(now time.Time, ends splice.Ends, syn *splice.Segment) *Record {
	if l.opening.n >= maxOpening {
		l.forget(l.opening.oldest, Crowded)
	}
	r := &Record{Ends: ends, log: l, began: now, epoch: l.epoch, used: recordCost, window: syn.Window}
	r.Client.begin(syn)
	l.used += recordCost
	l.of[ends] = r
	l.opening.add(r)
	l.counts.Segments++
	if len(syn.Data) > 0 {
		l.refuse(r, BadOptions)
	}
	return r
}

// room makes room for so many bytes more of a record, and tells whether there is.
func (l *Log) room(r *Record, n int) bool {
	if r.used+n > l.cfg.PerConnection {
		l.refuse(r, TooMuch)
		return false
	}
	for l.kept()+n > l.cfg.Memory {
		if l.open.oldest == nil {
			l.refuse(r, Crowded)
		} else {
			l.refuse(l.open.oldest, Crowded)
		}
		if r.why != None {
			return false
		}
	}
	r.used += n
	l.used += n
	return true
}

// kept is the memory of what is logged: others have bounds of their own.
func (l *Log) kept() int { return l.used - (l.opening.n+l.refused.n)*recordCost }

// refuse has a record be remembered only for why it is refused.
func (l *Log) refuse(r *Record, why Reason) {
	if r.why != None {
		return
	}
	r.why = why
	if why != Closed {
		l.counts.Refused[why]++
	}
	r.Client.out.drop(&l.pool)
	r.Server.out.drop(&l.pool)
	r.Server.digests, r.Server.gone, r.again = nil, true, nil
	r.freed(r.used - recordCost)
	r.list.remove(r)
	l.refused.add(r)
	if l.refused.n > maxRefused {
		l.end(l.refused.oldest, None)
	}
}

// forget refuses a record, and has nothing of it be remembered.
func (l *Log) forget(r *Record, why Reason) {
	l.refuse(r, why)
	l.end(r, None)
}

// end removes a record. Who has it sees why.
func (l *Log) end(r *Record, why Reason) {
	l.refuse(r, why)
	if r.list == nil {
		return
	}
	r.list.remove(r)
	delete(l.of, r.Ends)
	l.used -= r.used
	r.used = 0
}

// mind gives up a record with a gap that nobody fills.
func (l *Log) mind(now time.Time, r *Record) {
	switch {
	case !r.Client.gap() && !r.Server.gap():
		r.missing = time.Time{}
	case r.missing.IsZero():
		r.missing = now
	case now.Sub(r.missing) > grace:
		l.refuse(r, Gap)
	}
}
