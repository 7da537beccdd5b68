package daemon

import (
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"time"

	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// Connections are replayed all along at servers that could get new flows: in turn, or in the order of the
// file where one gets them all.
func TestWhereConnectionsAreReplayed(t *testing.T) {
	weighted, primary, lazy := movingPoint("web", entry.Move, 0), movingPoint("first", entry.Move), movingPoint("lazy", entry.Move)
	weighted.How, primary.How = entry.Warm, entry.Warm
	primary.Match.Address, lazy.Match.Address = netip.MustParseAddr("203.0.113.11"), netip.MustParseAddr("203.0.113.12")
	primary.Table.Slots = []uint8{0}
	w := newWarm(nil, slog.New(slog.DiscardHandler))
	w.apply([]entry.Point{weighted, primary, lazy})
	if len(w.wanted) != 2 || len(w.need) != 1 {
		t.Fatalf("wanted: %v", w.wanted)
	}
	w.setActive("first", true)
	if here := w.here(); len(here) != 1 || here[0].Name != "first" {
		t.Errorf("packets come this way of %v", here)
	}
	heirs := warmHeirs(w.wanted)
	for _, row := range []struct {
		called string
		server int
		want   string
	}{
		{"203.0.113.10:80", 0, "[10.0.0.23:80 10.0.0.22:80] true"}, // its server is dead already
		{"203.0.113.10:80", 0, "[10.0.0.22:80 10.0.0.23:80] true"},
		{"203.0.113.10:80", 1, "[10.0.0.23:80] true"},
		{"203.0.113.10:80", 2, "[] false"}, // which has a policy of its own
		{"203.0.113.10:81", 1, "[] false"},
		{"203.0.113.11:80", 0, "[10.0.0.22:80 10.0.0.23:80] true"},
		{"203.0.113.11:80", 0, "[10.0.0.22:80 10.0.0.23:80] true"},
		{"203.0.113.11:80", 1, "[10.0.0.21:80 10.0.0.23:80] true"},
		{"203.0.113.12:80", 0, "[] false"},
		{"10.0.0.21:80", 0, "[] false"},
	} {
		to, wanted := heirs(netip.MustParseAddrPort(row.called), weighted.Servers[row.server])
		if got := fmt.Sprint(to, wanted); got != row.want {
			t.Errorf("%s at server %d: %s, want %s", row.called, row.server, got, row.want)
		}
	}
	// Others are there now.
	w.steer([]entry.Point{movingPoint("else", entry.Move), func() entry.Point { p := weighted; p.Table.Live = []bool{true, false, false}; return p }()})
	if to, _ := warmHeirs(w.wanted)(netip.MustParseAddrPort("203.0.113.10:80"), weighted.Servers[1]); fmt.Sprint(to) != "[10.0.0.21:80]" || len(w.wanted) != 2 {
		t.Errorf("%v", to)
	}
}

// A connection that is replayed all along goes on there, if that server lives, and one that is not goes to
// any.
func TestMoveToWhereItIsReplayed(t *testing.T) {
	k := &movesTwin{found: map[session.Key]entrynet.Assigned{}}
	server := netip.MustParseAddr("10.0.0.21")
	for i := range 4 {
		r := session.Record{Key: session.Key{SrcPort: uint16(i), Proto: 6, Family: 4, Src: session.AddrFrom(netip.MustParseAddr("192.0.2.9"))},
			ReplySrc: session.AddrFrom(server), ReplySrcPort: 80, TCP: session.TCP{State: session.TCPEstablished}}
		k.found[r.Key] = entrynet.Assigned{Record: r}
	}
	var jobs []splicenet.Job
	f := &movingFlows{assignedFlows: k, moves: newMoves(k, slog.New(slog.DiscardHandler)), open: func() (connectionMover, error) { return jobsTwin{k, &jobs}, nil }}
	f.moves.partner = func(e splice.Ends) (netip.AddrPort, bool) {
		if e.Server != netip.AddrPortFrom(server, 80) || e.Client.Addr() != netip.MustParseAddr("192.0.2.9") {
			t.Errorf("asked for %v", e)
		}
		// The first is without; that of the last is dead, too.
		return netip.MustParseAddrPort([]string{"0.0.0.0:0", "10.0.0.23:80", "10.0.0.22:80", "10.0.0.21:80"}[e.Client.Port()]), e.Client.Port() > 0
	}
	p := movingPoint("web", entry.Move, 0)
	p.Table.Slots = []uint8{1}
	for _, how := range []entry.How{entry.Warm, entry.Replay} {
		p.How, jobs = how, nil
		if _, err := f.Cut([]entry.Point{p}, []entrynet.Server{{Point: 0, Number: 0}}, nil); err != nil || len(jobs) != 4 {
			t.Fatal(jobs, err)
		}
		for _, j := range jobs {
			want := "10.0.0.22:80"
			if how == entry.Warm && j.Record.SrcPort == 1 {
				want = "10.0.0.23:80"
			}
			if j.To.String() != want || !j.Replay {
				t.Errorf("%s: connection %d goes to %v, replayed: %v", how, j.Record.SrcPort, j.To, j.Replay)
			}
		}
	}
}

type jobsTwin struct {
	*movesTwin
	jobs *[]splicenet.Job
}

func (k jobsTwin) Move(jobs []splicenet.Job, _ func([]int)) ([]splicenet.Outcome, error) {
	*k.jobs = jobs
	out := make([]splicenet.Outcome, len(jobs))
	for i := range out {
		out[i].Took = time.Millisecond
	}
	return out, nil
}
