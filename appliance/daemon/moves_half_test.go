package daemon

import (
	"log/slog"
	"net/netip"
	"testing"

	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// What the kernel takes for over is moved if the log knows that the server has still something to say, and
// not if it is over, or nothing was logged.
func TestHalfClosedConnectionsAreMoved(t *testing.T) {
	k := &movesTwin{found: map[session.Key]entrynet.Assigned{}}
	server := netip.MustParseAddrPort("10.0.0.21:80")
	for port, state := range []session.TCPState{session.TCPEstablished, session.TCPTimeWait, session.TCPTimeWait, session.TCPClose} {
		r := session.Record{Key: session.Key{SrcPort: uint16(port), Proto: 6, Family: 4, Src: session.AddrFrom(netip.MustParseAddr("192.0.2.9"))},
			ReplySrc: session.AddrFrom(server.Addr()), ReplySrcPort: server.Port(), TCP: session.TCP{State: state}}
		k.found[r.Key] = entrynet.Assigned{Record: r}
	}
	var jobs []splicenet.Job
	f := &movingFlows{assignedFlows: k, moves: newMoves(k, slog.New(slog.DiscardHandler)), open: func() (connectionMover, error) { return jobsTwin{k, &jobs}, nil }}
	f.moves.awaited = func(e splice.Ends) bool { return e.Server == server && e.Client.Port() != 2 }
	p := movingPoint("web", entry.Move, 0)
	p.Table.Slots = []uint8{1}
	for how, want := range map[entry.How]map[uint16]bool{entry.Lazy: {0: true}, entry.Replay: {0: true, 1: true}, entry.Warm: {0: true, 1: true}} {
		p.How, jobs = how, nil
		if _, err := f.Cut([]entry.Point{p}, []entrynet.Server{{Point: 0, Number: 0}}, nil); err != nil {
			t.Fatal(err)
		}
		if len(jobs) != len(want) {
			t.Errorf("%v: %d are moved, want %d", how, len(jobs), len(want))
		}
		for _, j := range jobs {
			if !want[j.Record.SrcPort] {
				t.Errorf("%v: connection %d is moved", how, j.Record.SrcPort)
			}
		}
	}
}
