package daemon

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/nft"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// Connections that outlive their server. What is noted of them, and what is frozen while they
// are moved, is in a table of its own; to the lane of entry points a move is the beginning of
// a cut: what was moved is not there any more when the server's flows are cut.

// moveTable is that table.
type moveTable interface {
	Apply(servers []netip.AddrPort) (changed bool, err error)
	splicenet.Table
}

// moves is the moving of connections, and what came of it.
type moves struct {
	table  moveTable
	listen func() (*splicenet.Listener, error)
	log    *slog.Logger
	need   chan struct{} // holds one: there is something to note
	event  func(history.Event)
	// heal ends what a predecessor that died has left in the table, once.
	heal   func() (freed int, err error)
	healed bool
	// partner is where a connection is replayed all along, if it is.
	partner func(splice.Ends) (netip.AddrPort, bool)
	// awaited tells whether the server has still something to say on a connection that the kernel
	// takes for one that is over, as its client has said its last word twice.
	awaited func(splice.Ends) bool

	mu     sync.Mutex
	notes  *splicenet.Listener // nil: nothing is noted yet
	counts map[string]*moveCounts
}

// moveCounts are of one entry point, since the program started.
type moveCounts struct {
	moved    uint64
	refused  map[string]uint64 // by reason
	replayed uint64            // bytes of clients
	stall    stall
}

func newMoves(table moveTable, log *slog.Logger) *moves {
	return &moves{table: table, listen: func() (*splicenet.Listener, error) { return splicenet.Listen(nft.MovesGroup) }, log: log,
		need: make(chan struct{}, 1), awaited: func(splice.Ends) bool { return false }, event: func(history.Event) {}, heal: func() (int, error) { return 0, nil },
		partner: func(splice.Ends) (netip.AddrPort, bool) { return netip.AddrPort{}, false }, counts: map[string]*moveCounts{}}
}

// apply has the servers noted whose connections are to be moved.
func (m *moves) apply(points []entry.Point) (changed bool, err error) {
	servers := serversToMove(points, func(entry.Point) bool { return true })
	if len(servers) > 0 {
		wakeUp(m.need)
	}
	if changed, err = m.table.Apply(servers); err == nil && !m.healed {
		m.healed = true // from now on what is in the table is ours
		freed, err := m.heal()
		switch {
		case err != nil:
			m.log.Warn("what a predecessor had frozen stays so until its time is over", "err", err)
		case freed > 0:
			m.log.Info("what a predecessor had frozen goes on", "ways", freed)
		}
	}
	return changed, err
}

// serversToMove are the servers whose connections are to be moved, of some entry points, each once.
func serversToMove(points []entry.Point, of func(entry.Point) bool) (servers []netip.AddrPort) {
	for _, p := range points {
		for i, move := range p.Move {
			if move && of(p) && !slices.Contains(servers, p.Servers[i]) {
				servers = append(servers, p.Servers[i])
			}
		}
	}
	return servers
}

// run listens to what servers say, from when there is something to note.
func (m *moves) run(ctx context.Context) {
	whenNeeded(ctx, m.need, m.note, func(err error) { m.log.Error("noting how far servers are", "err", err) })
}

func (m *moves) note(ctx context.Context) error {
	notes, err := m.listen()
	if err != nil {
		return err
	}
	m.setNotes(notes)
	defer func() {
		m.setNotes(nil)
		notes.Close()
	}()
	return notes.Run(ctx)
}

func (m *moves) setNotes(n *splicenet.Listener) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.notes = n
}

// Position is how far a server is on a connection.
func (m *moves) Position(e splice.Ends) splice.Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes == nil {
		return splice.Position{}
	}
	return m.notes.Position(e)
}

// rested are connections that have come to rest.
func (m *moves) rested(most int) []splice.Rest {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes == nil {
		return nil
	}
	return m.notes.Rested(most)
}

// take goes on from what another gateway has told. While nothing is noted it is in vain.
func (m *moves) take(servers func(splice.Ends) bool, told []splice.Rest) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.notes != nil {
		m.notes.Take(servers, told)
	}
}

// count notes what came of moves of an entry point.
func (m *moves) count(name string, outcomes []splicenet.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c := m.counts[name]
	if c == nil {
		c = &moveCounts{refused: map[string]uint64{}}
		m.counts[name] = c
	}
	for _, o := range outcomes {
		if o.Reason == splice.None {
			c.moved++
			c.replayed += o.Replayed
			c.stall.add(o.Took)
		} else {
			c.refused[o.Reason.String()]++
		}
	}
}

// counted tells what came of the moves of an entry point so far.
func (m *moves) counted(s *appliance.EntryStatus) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c := m.counts[s.Name]; c != nil {
		s.Moved, s.NotMoved, s.Stall = c.moved, maps.Clone(c.refused), c.stall.status()
		s.ReplayedBytes, s.LongestMove = c.replayed, s.Stall.MaxSeconds
	}
}

// movingTables has the table of moves go with that of entry points.
type movingTables struct {
	entryTable
	moves *moves
}

func (t movingTables) Apply(points []entry.Point) (changed bool, err error) {
	if changed, err = t.entryTable.Apply(points); err != nil {
		return changed, err
	}
	also, err := t.moves.apply(points)
	return changed || also, err
}

// assignedFlows are flows whose servers are known.
type assignedFlows interface {
	entryFlows
	Assigned(points []entry.Point, servers []entrynet.Server) (map[session.Key]entrynet.Assigned, error)
	End(records []session.Record, mark func([]entrynet.Flow) error) (entrynet.Outcome, error)
}

// connectionMover moves connections.
type connectionMover interface {
	Move(jobs []splicenet.Job, refused func(jobs []int)) ([]splicenet.Outcome, error)
	Close() error
}

// movingFlows are flows of which some go on at another server when theirs dies.
type movingFlows struct {
	assignedFlows
	moves *moves
	open  func() (connectionMover, error)
	mover connectionMover // nil: none was needed yet
}

func (f *movingFlows) Close() error {
	err := f.assignedFlows.Close()
	if f.mover != nil {
		err = errors.Join(err, f.mover.Close())
	}
	return err
}

// Cut moves what is to be moved, and then ends what is left. What turns out to be refused on the
// way is ended at once: others may take seconds.
func (f *movingFlows) Cut(points []entry.Point, dead []entrynet.Server, mark func([]entrynet.Flow) error) (entrynet.Outcome, error) {
	var sum entrynet.Outcome
	add := func(out entrynet.Outcome) { sum.Deleted, sum.Woken = sum.Deleted+out.Deleted, sum.Woken+out.Woken }
	err := f.move(points, dead, func(records []session.Record) {
		out, err := f.End(records, mark)
		add(out)
		if err != nil {
			f.moves.log.Error("cutting connections that cannot be moved", "err", err)
		}
	})
	if err != nil {
		f.moves.log.Error("moving connections", "err", err)
	}
	out, err := f.assignedFlows.Cut(points, dead, mark)
	add(out)
	return sum, err
}

func (f *movingFlows) move(points []entry.Point, dead []entrynet.Server, end func([]session.Record)) error {
	moving := slices.DeleteFunc(slices.Clone(dead), func(d entrynet.Server) bool {
		p := points[d.Point]
		return d.Number >= len(p.Move) || !p.Move[d.Number] || len(heirs(p, d.Point, dead)) == 0
	})
	if len(moving) == 0 {
		return nil
	}
	found, err := f.Assigned(points, moving)
	if err != nil {
		return err
	}
	var jobs []splicenet.Job
	var of []entrynet.Server // whose each is
	for _, a := range found {
		p := points[a.Server.Point]
		if r := &a.Record; r.Proto == uint8(nat.TCP) && (splicenet.IsOpen(r.TCP.State) || p.How.Logged() && r.TCP.State == session.TCPTimeWait && f.moves.awaited(endsOf(r))) {
			all := heirs(p, a.Server.Point, dead)
			to := all[len(jobs)%len(all)]
			if partner, ok := f.moves.partner(endsOf(r)); ok && p.How == entry.Warm && alive(p, a.Server.Point, partner, dead) {
				to = partner
			}
			jobs, of = append(jobs, splicenet.Job{Record: *r, To: to, Replay: p.How.Logged()}), append(of, a.Server)
		}
	}
	if len(jobs) == 0 {
		return nil
	}
	if f.mover == nil {
		if f.mover, err = f.open(); err != nil {
			return err
		}
	}
	out, err := f.mover.Move(jobs, func(refused []int) {
		records := make([]session.Record, len(refused))
		for i, n := range refused {
			records[i] = jobs[n].Record
		}
		end(records)
	})
	for _, d := range moving {
		var mine []splicenet.Outcome
		for i, o := range out {
			if of[i] == d {
				mine = append(mine, o)
			}
		}
		if len(mine) > 0 {
			p := points[d.Point]
			f.moves.count(p.Name, mine)
			f.moves.tell(p.Name, entry.AddressText(p.Servers[d.Number]), mine)
		}
	}
	return err
}

// alive tells whether connections of an entry point can go on at a server.
func alive(p entry.Point, number int, server netip.AddrPort, dead []entrynet.Server) bool {
	n := slices.Index(p.Servers, server)
	return n >= 0 && n < len(p.Table.Live) && p.Table.Live[n] && !slices.Contains(dead, entrynet.Server{Point: number, Number: n})
}

// endsOf name a connection as its server knows it.
func endsOf(r *session.Record) splice.Ends {
	return splice.Ends{Server: netip.AddrPortFrom(r.ReplySrc.Netip(r.Family), r.ReplySrcPort), Client: netip.AddrPortFrom(r.Src.Netip(r.Family), r.SrcPort)}
}

// heirs are the servers that connections can go on at, each as often as it gets new flows.
func heirs(p entry.Point, number int, dead []entrynet.Server) (out []netip.AddrPort) {
	for _, n := range p.Table.Slots {
		if !slices.Contains(dead, entrynet.Server{Point: number, Number: int(n)}) {
			out = append(out, p.Servers[n])
		}
	}
	return out
}
