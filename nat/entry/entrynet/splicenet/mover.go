package splicenet

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// Table is what is needed of nftables.
type Table interface {
	Freeze(flows []splice.Flow) error
	Thaw(flows []splice.Flow, moved bool) error
}

// Notes tell how far servers are.
type Notes interface {
	Position(splice.Ends) splice.Position
}

// Tapes are what was said on connections that are replayed.
type Tapes interface {
	// Settled returns the tapes of connections that are going to be moved, once all that was said
	// before the call is on them. What the kernel adds to a server's sequence numbers is told
	// with it.
	Settled(of []splice.Flow, added []uint32) []splice.Tape
	// Moved tells that one was.
	Moved(splice.Flow)
}

// Job is a connection, as the kernel has it, and the server that it is to go on at.
type Job struct {
	Record session.Record
	To     netip.AddrPort
	Replay bool // all that was said on it is said again
}

// Outcome is what became of a job.
type Outcome struct {
	Flow   splice.Flow
	Reason splice.Reason // why it could not be moved; none: it was
	Took   time.Duration // from when it was frozen
	// Replayed is how many bytes of the client's were said again to the new server.
	Replayed uint64
}

// Mover moves connections, in the network namespace of the thread that opened it.
type Mover struct {
	table  Table
	notes  Notes
	tapes  Tapes
	kernel *conntrack.Kernel
	sender
	netns   int // where taps are opened
	shadows *Shadows
}

// Open opens a Mover. Without tapes, what is to be replayed is refused.
func Open(table Table, notes Notes, tapes Tapes) (*Mover, error) {
	k, err := conntrack.OpenKernel()
	if err != nil {
		return nil, err
	}
	m := &Mover{table: table, notes: notes, tapes: tapes, kernel: k, sender: sender{-1, -1}, netns: -1}
	if err := m.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("splicenet: %w", err), m.Close())
	}
	return m, nil
}

func (m *Mover) open() (err error) {
	if m.sender, err = openSender(); err != nil {
		return err
	}
	m.netns, err = unix.Open("/proc/thread-self/ns/net", unix.O_RDONLY|unix.O_CLOEXEC, 0)
	return os.NewSyscallError("open", err)
}

// Close closes it. Connections stay.
func (m *Mover) Close() error {
	err := errors.Join(m.kernel.Close(), m.sender.close())
	if m.netns >= 0 {
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(m.netns)))
	}
	return err
}

// Use has connections that are replayed all along go on from where that is.
func (m *Mover) Use(s *Shadows) { m.shadows = s }

// machine is a splice.Move or a splice.Replay.
type machine interface {
	Step(now time.Time, in splice.Input) splice.Output
	Deadline() time.Time
}

// moving is a move at work.
type moving struct {
	machine
	replay bool
	job    int
	flow   splice.Flow
	record session.Record
	shadow *shadow // it was replayed all along; nil: it was not
	before uint64  // how much had been told by then
	began  time.Time
	out    *Outcome
	over   bool
	thawed time.Time // with the new entry
}

// passed tells whether a packet of that time went on by itself.
func (v *moving) passed(at time.Time) bool { return !v.thawed.IsZero() && at.After(v.thawed) }

// Move moves connections, all at once, and tells of each what became of it, in the order of the
// jobs. Those that were not moved are as they were; while others are still under way, refused is
// told the numbers of some. On error what was not decided yet counts as refused by the kernel.
func (m *Mover) Move(jobs []Job, refused func(jobs []int)) ([]Outcome, error) {
	out := make([]Outcome, len(jobs))
	var at []*moving
	var flows []splice.Flow
	for i, j := range jobs {
		f := flowOf(&j)
		out[i] = Outcome{Flow: f, Reason: unfit(&j)}
		if out[i].Reason == splice.None {
			out[i].Reason = splice.Table
			at = append(at, &moving{replay: j.Replay, job: i, flow: f, record: j.Record, out: &out[i]})
			flows = append(flows, f)
		}
	}
	if len(at) == 0 {
		return out, nil
	}
	if err := m.move(at, flows, refused); err != nil {
		return out, fmt.Errorf("splicenet: %w", err)
	}
	return out, nil
}

func flowOf(j *Job) splice.Flow {
	r := &j.Record
	return splice.Flow{
		Client: netip.AddrPortFrom(r.Src.Netip(r.Family), r.SrcPort), Entry: netip.AddrPortFrom(r.Dst.Netip(r.Family), r.DstPort),
		From: netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort), To: j.To,
	}
}

// IsOpen tells whether there is still something to be moved of a connection, by its state, be it
// only the reason why it cannot be.
func IsOpen(s session.TCPState) bool {
	return s >= session.TCPEstablished && s <= session.TCPLastAck
}

// unfit is why the kernel's entry cannot be exchanged: it can if it is of an established
// connection of TCP whose server sees the client's own address, and whose client's numbers nobody
// changes. That the client says no more does not matter unless the server has acknowledged
// that, and would have ended the connection next; one that is replayed has it hear all again.
func unfit(j *Job) splice.Reason {
	r := &j.Record
	_, _, snat := r.SNAT()
	_, _, dnat := r.DNAT()
	adj := r.SeqAdj[1]
	switch {
	case r.Proto != unix.IPPROTO_TCP || r.Status&session.StatusAssured == 0 || !dnat || snat || r.SeqAdj[0] != session.SeqAdj{} ||
		adj.OffsetBefore != adj.OffsetAfter || r.Helper != session.Name{}:
		return splice.Unfit
	case r.TCP.State == session.TCPEstablished || r.TCP.State == session.TCPFinWait || j.Replay && r.TCP.State >= session.TCPCloseWait && r.TCP.State <= session.TCPTimeWait:
		return splice.None
	case IsOpen(r.TCP.State):
		return splice.Closing
	}
	return splice.Unfit
}

func configOf(r *session.Record, p splice.Position) splice.Config {
	both := r.TCP.FlagsOrig & r.TCP.FlagsReply
	return splice.Config{
		Position: p, Offset: uint32(r.SeqAdj[1].OffsetAfter),
		Scaled: both&session.TCPFlagWindowScale != 0, ClientScale: r.TCP.WScaleOrig, ServerScale: r.TCP.WScaleReply,
		SACK: both&session.TCPFlagSACK != 0,
	}
}

func (m *Mover) move(at []*moving, flows []splice.Flow, refused func([]int)) (err error) {
	defer m.take(at)()
	if err := m.table.Freeze(flows); err != nil {
		m.abandon(at)
		return err
	}
	began := time.Now()
	defer func() {
		var left []splice.Flow
		for _, v := range at {
			if !v.over {
				left = append(left, v.flow)
			}
		}
		if len(left) > 0 {
			err = errors.Join(err, m.table.Thaw(left, false))
		}
	}()
	t, err := openTap(m.netns, flows)
	if err != nil {
		m.abandon(at)
		return err
	}
	defer t.close()
	clients, servers := map[[2]netip.AddrPort]*moving{}, map[[2]netip.AddrPort]*moving{}
	m.machines(at)
	for _, v := range at {
		v.began = began
		clients[[2]netip.AddrPort{v.flow.Client, v.flow.Entry}], servers[[2]netip.AddrPort{v.flow.To, v.flow.Client}] = v, v
	}
	var settled settled
	for _, v := range at {
		if v.shadow != nil {
			for _, s := range m.shadows.rest(v.shadow) {
				m.step(v, splice.Input{Kind: splice.InServer, Segment: s}, &settled)
			}
			v.before = v.shadow.machine.Told()
		}
		m.step(v, splice.Input{Kind: splice.InStart}, &settled)
	}
	for {
		if err := m.settle(&settled, refused); err != nil {
			return err
		}
		next := time.Time{}
		for _, v := range at {
			if d := v.Deadline(); !d.IsZero() && (next.IsZero() || d.Before(next)) {
				next = d
			}
		}
		if next.IsZero() {
			return nil
		}
		if err := poll(time.Until(next), t.fds...); err != nil {
			return err
		}
		for {
			p, ok, err := t.next()
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			way := [2]netip.AddrPort{p.From, p.To}
			if v := clients[way]; v != nil && !v.passed(t.at) {
				m.step(v, splice.Input{Kind: splice.InClient, Segment: &p.Segment}, &settled)
			} else if v := servers[way]; v != nil && !v.passed(t.at) {
				m.step(v, splice.Input{Kind: splice.InServer, Segment: &p.Segment}, &settled)
			}
		}
		now := time.Now()
		for _, v := range at {
			if d := v.Deadline(); !d.IsZero() && !d.After(now) {
				m.step(v, splice.Input{Kind: splice.InTick}, &settled)
			}
		}
	}
}

// take has connections that were replayed all along be moved on from there. What it returns is to be
// called when all is decided.
func (m *Mover) take(at []*moving) func() {
	if m.shadows == nil {
		return func() {}
	}
	for _, v := range at {
		if v.replay {
			v.shadow = m.shadows.take(v.flow)
		}
	}
	return func() {
		for _, v := range at {
			m.shadows.release(v.flow)
		}
	}
}

// abandon ends what was taken, and cannot be moved.
func (m *Mover) abandon(at []*moving) {
	for _, v := range at {
		if v.shadow != nil {
			m.shadows.rest(v.shadow)
			out := v.shadow.machine.Step(time.Now(), splice.Input{Kind: splice.InGone})
			for i := range out.ToServer {
				m.send(v.flow.Client, v.flow.To, &out.ToServer[i])
			}
		}
	}
}

// machines gives each move its machine. The flows are frozen, and listened to.
func (m *Mover) machines(at []*moving) {
	var replayed []*moving
	var flows []splice.Flow
	var added []uint32
	warm := false
	for _, v := range at {
		switch {
		case v.shadow != nil:
			v.machine, warm = v.shadow.machine, true
		case v.replay:
			v.machine = splice.NewReplay(nil)
			replayed, flows, added = append(replayed, v), append(flows, v.flow), append(added, uint32(v.record.SeqAdj[1].OffsetAfter))
		default:
			v.machine = splice.New(configOf(&v.record, m.notes.Position(splice.Ends{Server: v.flow.From, Client: v.flow.Client})))
		}
	}
	if !warm && len(replayed) == 0 || m.tapes == nil {
		return
	}
	for i, t := range m.tapes.Settled(flows, added) {
		replayed[i].machine = splice.NewReplay(t)
	}
}

// settled are moves whose entry is to be exchanged, and those that were refused.
type settled struct {
	ready, refused []*moving
	offsets        []uint32
}

func (m *Mover) step(v *moving, in splice.Input, s *settled) {
	out := v.Step(time.Now(), in)
	for i := range out.ToClient {
		m.send(v.flow.Entry, v.flow.Client, &out.ToClient[i])
	}
	for i := range out.ToServer {
		m.send(v.flow.Client, v.flow.To, &out.ToServer[i])
	}
	switch {
	case out.Splice:
		s.ready, s.offsets = append(s.ready, v), append(s.offsets, out.Offset)
	case out.Refused != splice.None:
		v.out.Reason = out.Refused
		s.refused = append(s.refused, v)
	case out.Done:
		v.out.Reason, v.out.Took = splice.None, time.Since(v.began)
		if r, ok := v.machine.(*splice.Replay); ok {
			v.out.Replayed = r.Told() - v.before
			m.tapes.Moved(v.flow)
		}
	}
}

// settle exchanges entries, and thaws their flows and those that were refused.
func (m *Mover) settle(s *settled, tell func([]int)) error {
	for len(s.ready)+len(s.refused) > 0 {
		ready, offsets, refused := s.ready, s.offsets, s.refused
		*s = settled{}
		failed := make([]error, len(ready))
		var moved, back []splice.Flow
		for i, v := range ready {
			if failed[i] = m.exchange(v, offsets[i]); failed[i] == nil {
				moved = append(moved, v.flow)
			}
		}
		for _, v := range refused {
			back = append(back, v.flow)
		}
		if len(moved) > 0 {
			if err := m.table.Thaw(moved, true); err != nil {
				return err
			}
		}
		thawed := time.Now().Round(0) // the wall's time, as the kernel has it
		if len(back) > 0 {
			if err := m.table.Thaw(back, false); err != nil {
				return err
			}
		}
		var jobs []int
		for _, v := range refused {
			v.over = true
			jobs = append(jobs, v.job)
		}
		if len(jobs) > 0 {
			tell(jobs)
		}
		for i, v := range ready {
			if v.over = failed[i] == nil; v.over {
				v.thawed = thawed
			}
			m.step(v, splice.Input{Kind: splice.InSpliced, OK: failed[i] == nil}, s)
		}
	}
	return nil
}

// exchange has the kernel translate to the new server, and add the offset to its numbers.
func (m *Mover) exchange(v *moving, offset uint32) error {
	r := v.record
	if v.replay && r.TCP.State > session.TCPCloseWait {
		// The client said its last word twice: the kernel takes that for the server's.
		r.TCP.State = session.TCPCloseWait
	}
	r.ReplySrc, r.ReplySrcPort = session.AddrFrom(v.flow.To.Addr()), v.flow.To.Port()
	// Before and after are the same, so that the position in between does not matter.
	r.SeqAdj[1] = session.SeqAdj{OffsetBefore: int32(offset), OffsetAfter: int32(offset)}
	if err := m.kernel.Anew(&r, conntrack.InstallOptions{Liberal: true}); err != nil {
		// What was deleted is put back, so that whoever cuts it finds it.
		return errors.Join(err, m.kernel.Anew(&v.record, conntrack.InstallOptions{Liberal: true}))
	}
	return nil
}
