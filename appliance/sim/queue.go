package sim

// eventKind is what has come when an event of the queue is due.
type eventKind uint8

const (
	evFrame    eventKind = iota // a: frame; node: receiver
	evBeat                      // a: heartbeat; node: receiver
	evAct                       // a: index of the act
	evElection                  // a new election process runs; a: its number
	evDaemon                    // a new daemon process runs; a: its number
	evHold                      // the holder lane's next phase; a: number of the daemon
	evDrained                   // a: number of the daemon; b: group
	evGuard                     // a daemon's guard of a group to be resumed; a: daemon, b: group, c: election
	evSynced                    // a session link settles; a: other node, b: number of the link
	evNews                      // a session plane's word about a group arrives; a: group, b: term
	evPrepared                  // programs have ended; a: number of the daemon, b: group, c: term
	evWord                      // the first word of what is tracked; a: number of the daemon
	evUnit                      // the service manager acts
	evPhase                     // the world's own
)

// event is one thing in the future.
type event struct {
	at      int64
	seq     uint32 // of two at one time, the one that was made first
	kind    eventKind
	node    int8
	a, b, c int32
}

func (e *event) before(o *event) bool {
	return e.at < o.at || e.at == o.at && e.seq < o.seq
}

// queue is a binary heap without interfaces.
type queue struct {
	h   []event
	seq uint32
}

func (q *queue) push(e event) {
	q.seq++
	e.seq = q.seq
	q.h = append(q.h, e)
	i := len(q.h) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !e.before(&q.h[up]) {
			break
		}
		q.h[i] = q.h[up]
		i = up
	}
	q.h[i] = e
}

func (q *queue) pop() event {
	top := q.h[0]
	last := q.h[len(q.h)-1]
	q.h = q.h[:len(q.h)-1]
	n := len(q.h)
	if n == 0 {
		return top
	}
	i := 0
	for {
		c := 2*i + 1
		if c >= n {
			break
		}
		if c+1 < n && q.h[c+1].before(&q.h[c]) {
			c++
		}
		if !q.h[c].before(&last) {
			break
		}
		q.h[i] = q.h[c]
		i = c
	}
	q.h[i] = last
	return top
}
