package election

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// Message is what crosses the socket pair: one message a datagram, a kind byte
// and a body. The body is JSON but for the two that are frequent or big. Whether
// both ends mean the same by it is settled before they are joined: see Protocol.
type Message interface{ kind() kind }

// From the daemon to the election.
type (
	// Beat says that the daemon's loop turns.
	Beat struct{}

	// Configure replaces the configuration; what did not change does not move.
	// Answered by Configured.
	Configure struct{ Config vrrp.SetConfig }

	// Ready lets the election begin, or clears the fault of a daemon that was lost.
	Ready struct{}

	// Fence is how to take a group out of service without the daemon. It replaces
	// the one before. More announces that the rest follows in another Fence.
	Fence struct {
		Group     string
		GateClose []NetlinkBatch
		Remove    []NetlinkBatch
		// Lower is what the kernel is slow at and nobody has to wait for, such as
		// links to be taken down: done after the rest, one batch at a time.
		Lower []NetlinkBatch
		More  bool
	}

	// Eligible tells whether a group may preempt a live Active.
	Eligible struct {
		Group  string
		OK     bool
		Reason string
	}

	// Fault takes a group out of the election, or lets it back in.
	Fault struct {
		Group  string
		On     bool
		Reason string
	}

	// Weight is added to the priority of every router of a group, in place of the
	// one before.
	Weight struct {
		Group  string
		Weight int
	}

	// Guard is who the peers are and how their heartbeats are known. It replaces
	// the one before.
	Guard struct{ Config witness.Config }

	// Neighbour is what the check named by guard_check says.
	Neighbour struct{ State witness.Neighbour }
	// Overlap tells whether a group may serve for a moment beside a better Active.
	// It is told anew in each activation.
	Overlap struct {
		Group string
		OK    bool
	}

	// Announced says that a group is in service and its addresses are announced: what
	// is sent to a virtual MAC of it now belongs here.
	Announced struct{ Group string }

	// HandOver gives a group away gracefully.
	HandOver struct{ Group string }

	// Term is a term heard of from a peer. Raise: an Active group whose term is
	// not above it takes a new one.
	Term struct {
		Group string
		Term  uint64
		Raise bool
	}

	// Resume asks a respawned election to go on as Active. It refuses when that
	// comes too late: then it executes the fence and starts as Backup.
	Resume struct {
		Group string
		Term  uint64
	}

	// Budget announces that the daemon will be silent, or gone, for up to For.
	Budget struct{ For time.Duration }

	// Dumping announces a dump of the connection table, which one processor has no
	// time beside; Dumped, that there is none any more. See apart.
	Dumping struct{}
	Dumped  struct{}

	// StatsRequest is answered by Stats.
	StatsRequest struct{}

	// Reloaded ends a Reload. Error is empty, or why everything is as it was.
	Reloaded struct{ Error string }

	// Relieve tells that another election has been started and waits: go, right after
	// adverts, without a word to anybody else.
	Relieve struct{}

	// LogLevel is what is to be logged, as log/slog counts it.
	LogLevel struct{ Level int }

	// Bye is the daemon's last word: nothing of ours is left in the kernel.
	Bye struct{}
)

// From the election to the daemon.
type (
	// Attached is how all groups stand: at first, after either process was
	// restarted, and whenever a Transition could not be delivered.
	Attached struct {
		Groups  []GroupState
		Resumed bool // at least one group goes on as Active from before a restart
	}

	// Transition is one group's change of state. Leaving: still Active and
	// serving, but priority 0 is out.
	Transition struct {
		Group    string
		From, To vrrp.State
		Term     uint64
		Cause    string
		Leaving  bool
		// Decided is when, by the clock that all processes of the machine share and nobody
		// sets; Heard is what the decision went by.
		Decided Monotonic
		Heard   []vrrp.Heard
	}

	// Fenced tells that the election has executed a group's fence. Error is empty
	// or what went wrong.
	Fenced struct {
		Group string
		Error string
	}

	// Configured answers Configure. With an Error nothing has changed.
	Configured struct{ Error string }

	// Found is all that the guard finds, in place of what it found before.
	Found struct{ Findings []witness.Finding }

	// Reclaim asks for new announcements: another node was Active as well.
	Reclaim struct{ Group string }

	// Inferior tells of an advert that a router has heard while Active, and that does not
	// outrank it; at most once a second of one router.
	Inferior struct {
		Router   string
		Family   uint8
		Source   netip.Addr
		Priority uint8
	}

	// Reload is SIGHUP. Answered by Reloaded.
	Reload struct{}

	// Request passes on a signal that means something to the daemon alone (see
	// Options.Requests).
	Request struct{ What string }
)

// Waiting is the first word of an election that was started before its predecessor goes: it
// has all that it needs but a configuration.
type Waiting struct{}

// Stop, to the daemon: SIGTERM came; let the peer catch up, hand over, tidy up,
// say Bye. To the election: hand over whatever is still Active, now.
type Stop struct{}

// GroupState is how a group stands.
type GroupState struct {
	Group   string
	State   vrrp.State
	Term    uint64
	Leaving bool
}

// kind is the first byte of a datagram.
type kind byte

const (
	kindBeat kind = iota + 1
	kindConfigure
	kindReady
	kindFence
	kindEligible
	kindFault
	kindWeight
	kindGuard
	kindNeighbour
	kindHandOver
	kindTerm
	kindResume
	kindBudget
	kindStatsRequest
	kindBye
	kindAttached
	kindTransition
	kindFenced
	kindConfigured
	kindFound
	kindReclaim
	kindReload
	kindStop
	kindStats
	kindOverlap
	kindAnnounced
	kindRequest
	kindReloaded
	kindLogLevel
	kindInferior
	kindRelieve
	kindWaiting
	kindDumping
	kindDumped

	lastKind = kindDumped
)

func (Beat) kind() kind         { return kindBeat }
func (Configure) kind() kind    { return kindConfigure }
func (Ready) kind() kind        { return kindReady }
func (Fence) kind() kind        { return kindFence }
func (Eligible) kind() kind     { return kindEligible }
func (Fault) kind() kind        { return kindFault }
func (Weight) kind() kind       { return kindWeight }
func (Guard) kind() kind        { return kindGuard }
func (Neighbour) kind() kind    { return kindNeighbour }
func (Overlap) kind() kind      { return kindOverlap }
func (Announced) kind() kind    { return kindAnnounced }
func (HandOver) kind() kind     { return kindHandOver }
func (Term) kind() kind         { return kindTerm }
func (Resume) kind() kind       { return kindResume }
func (Budget) kind() kind       { return kindBudget }
func (StatsRequest) kind() kind { return kindStatsRequest }
func (Bye) kind() kind          { return kindBye }
func (Attached) kind() kind     { return kindAttached }
func (Transition) kind() kind   { return kindTransition }
func (Fenced) kind() kind       { return kindFenced }
func (Configured) kind() kind   { return kindConfigured }
func (Found) kind() kind        { return kindFound }
func (Reclaim) kind() kind      { return kindReclaim }
func (Reload) kind() kind       { return kindReload }
func (Stop) kind() kind         { return kindStop }
func (Stats) kind() kind        { return kindStats }
func (Request) kind() kind      { return kindRequest }
func (Reloaded) kind() kind     { return kindReloaded }
func (LogLevel) kind() kind     { return kindLogLevel }
func (Inferior) kind() kind     { return kindInferior }
func (Relieve) kind() kind      { return kindRelieve }
func (Waiting) kind() kind      { return kindWaiting }
func (Dumping) kind() kind      { return kindDumping }
func (Dumped) kind() kind       { return kindDumped }

// maxMessage bounds a datagram. The kernel keeps one in a single piece of memory
// plus a few pages, so it should stay well below what that can be.
const maxMessage = 512 << 10

var (
	// ErrTooBig tells that a message does not fit into a datagram.
	ErrTooBig = errors.New("message too big")
	errWire   = errors.New("malformed message")
)

// Marshal returns the datagram of m.
func Marshal(m Message) ([]byte, error) {
	b := []byte{byte(m.kind())}
	switch m := m.(type) {
	case Beat, Ready, StatsRequest, Bye, Reload, Stop, Relieve, Waiting, Dumping, Dumped:
	case Fence:
		b = appendFence(b, m)
	default:
		body, err := json.Marshal(m)
		if err != nil {
			return nil, fmt.Errorf("election: %T: %w", m, err)
		}
		b = append(b, body...)
	}
	if len(b) > maxMessage {
		return nil, fmt.Errorf("election: %T: %w", m, ErrTooBig)
	}
	return b, nil
}

// Unmarshal reads a datagram. The message does not alias b.
func Unmarshal(b []byte) (Message, error) {
	if len(b) == 0 {
		return nil, fmt.Errorf("election: %w", errWire)
	}
	body := b[1:]
	switch kind(b[0]) {
	case kindBeat:
		return Beat{}, nil
	case kindConfigure:
		return read[Configure](body)
	case kindReady:
		return Ready{}, nil
	case kindFence:
		return parseFence(body)
	case kindEligible:
		return read[Eligible](body)
	case kindFault:
		return read[Fault](body)
	case kindWeight:
		return read[Weight](body)
	case kindGuard:
		return read[Guard](body)
	case kindNeighbour:
		return read[Neighbour](body)
	case kindOverlap:
		return read[Overlap](body)
	case kindAnnounced:
		return read[Announced](body)
	case kindHandOver:
		return read[HandOver](body)
	case kindTerm:
		return read[Term](body)
	case kindResume:
		return read[Resume](body)
	case kindBudget:
		return read[Budget](body)
	case kindStatsRequest:
		return StatsRequest{}, nil
	case kindBye:
		return Bye{}, nil
	case kindAttached:
		return read[Attached](body)
	case kindTransition:
		return read[Transition](body)
	case kindFenced:
		return read[Fenced](body)
	case kindConfigured:
		return read[Configured](body)
	case kindFound:
		return read[Found](body)
	case kindReclaim:
		return read[Reclaim](body)
	case kindReload:
		return Reload{}, nil
	case kindStop:
		return Stop{}, nil
	case kindStats:
		return read[Stats](body)
	case kindRequest:
		return read[Request](body)
	case kindReloaded:
		return read[Reloaded](body)
	case kindLogLevel:
		return read[LogLevel](body)
	case kindInferior:
		return read[Inferior](body)
	case kindRelieve:
		return Relieve{}, nil
	case kindWaiting:
		return Waiting{}, nil
	case kindDumping:
		return Dumping{}, nil
	case kindDumped:
		return Dumped{}, nil
	}
	return nil, fmt.Errorf("election: kind %d: %w", b[0], errWire)
}

func read[M Message](body []byte) (Message, error) {
	var m M
	if err := json.Unmarshal(body, &m); err != nil {
		return nil, fmt.Errorf("election: %T: %w: %w", m, errWire, err)
	}
	return m, nil
}

// A Fence is a string, a flag and three lists of batches; numbers are 4 bytes in
// network byte order. The batches themselves are as the kernel wants them.
func appendFence(b []byte, f Fence) []byte {
	b = appendBytes(b, []byte(f.Group))
	more := byte(0)
	if f.More {
		more = 1
	}
	b = append(b, more)
	for _, list := range [][]NetlinkBatch{f.GateClose, f.Remove, f.Lower} {
		b = binary.BigEndian.AppendUint32(b, uint32(len(list)))
		for _, batch := range list {
			b = binary.BigEndian.AppendUint32(b, uint32(batch.Family))
			b = appendBytes(b, batch.Bytes)
		}
	}
	return b
}

func parseFence(b []byte) (Message, error) {
	r := reader{b: b}
	f := Fence{Group: string(r.bytes())}
	if flag := r.take(1); len(flag) == 1 {
		f.More = flag[0] == 1
	}
	f.GateClose, f.Remove, f.Lower = r.batches(), r.batches(), r.batches()
	if r.bad || len(r.b) != 0 {
		return nil, fmt.Errorf("election: fence: %w", errWire)
	}
	return f, nil
}

func appendBytes(b, v []byte) []byte {
	return append(binary.BigEndian.AppendUint32(b, uint32(len(v))), v...)
}

// reader takes pieces off a buffer; once one is missing, everything is.
type reader struct {
	b   []byte
	bad bool
}

func (r *reader) take(n int) []byte {
	if r.bad || n < 0 || n > len(r.b) {
		r.bad = true
		return nil
	}
	v := r.b[:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) number() int {
	if v := r.take(4); v != nil {
		return int(binary.BigEndian.Uint32(v))
	}
	return 0
}

func (r *reader) bytes() []byte { return r.take(r.number()) }

func (r *reader) batches() (list []NetlinkBatch) {
	for n := r.number(); n > 0 && !r.bad; n-- {
		family := r.number()
		list = append(list, NetlinkBatch{Family: family, Bytes: append([]byte(nil), r.bytes()...)})
	}
	return list
}

// split cuts a fence into messages that each fit into a datagram.
func (f Fence) split() []Fence {
	const room = maxMessage / 2
	parts := []Fence{{Group: f.Group}}
	size := 0
	for i, list := range [][]NetlinkBatch{f.GateClose, f.Remove, f.Lower} {
		for _, batch := range list {
			last := &parts[len(parts)-1]
			if size > 0 && size+len(batch.Bytes) > room {
				last.More = true
				parts = append(parts, Fence{Group: f.Group})
				last, size = &parts[len(parts)-1], 0
			}
			size += len(batch.Bytes)
			to := []*[]NetlinkBatch{&last.GateClose, &last.Remove, &last.Lower}[i]
			*to = append(*to, batch)
		}
	}
	return parts
}
