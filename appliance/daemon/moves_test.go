package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet"
	"understudy/nat/entry/entrynet/splicenet"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// movesTwin is a kernel with a few flows, in which every other move is refused.
type movesTwin struct {
	assignedFlows
	found map[session.Key]entrynet.Assigned
	asked []entrynet.Server
	said  []string
	err   error
}

func (k *movesTwin) Assigned(_ []entry.Point, of []entrynet.Server) (map[session.Key]entrynet.Assigned, error) {
	k.asked = append(k.asked, of...)
	return k.found, nil
}

func (k *movesTwin) Cut(_ []entry.Point, dead []entrynet.Server, _ func([]entrynet.Flow) error) (entrynet.Outcome, error) {
	k.said = append(k.said, fmt.Sprint("cut ", dead))
	return entrynet.Outcome{}, nil
}

func (k *movesTwin) End(records []session.Record, _ func([]entrynet.Flow) error) (entrynet.Outcome, error) {
	k.said = append(k.said, fmt.Sprintf("end %d", len(records)))
	return entrynet.Outcome{Deleted: len(records)}, nil
}

func (k *movesTwin) Move(jobs []splicenet.Job, refused func([]int)) (out []splicenet.Outcome, err error) {
	to := map[netip.AddrPort]int{}
	for i, j := range jobs {
		to[j.To]++
		out = append(out, splicenet.Outcome{Reason: splice.Reason(i%2) * splice.Unanswered, Replayed: 1000, Took: time.Duration(4+13*i) * time.Millisecond})
		if i%2 == 1 {
			refused([]int{i})
		}
	}
	k.said = append(k.said, fmt.Sprint("move ", to))
	return out, k.err
}

func (k *movesTwin) Close() error { return nil }

func (k *movesTwin) Apply(servers []netip.AddrPort) (bool, error) {
	k.said = append(k.said, fmt.Sprint("note ", servers))
	return true, k.err
}
func (k *movesTwin) Freeze([]splice.Flow) error     { return nil }
func (k *movesTwin) Thaw([]splice.Flow, bool) error { return nil }

func movingPoint(name string, how entry.Policy, dead ...int) entry.Point {
	c := entry.Config{Name: name, Steer: entry.Weighted, OnFailure: how,
		Match: entry.Match{Address: netip.MustParseAddr("203.0.113.10"), Proto: nat.TCP, Ports: nat.Ports{First: 80, Last: 80}}}
	for i := range 3 {
		c.Servers = append(c.Servers, entry.Server{Address: netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 0, byte(21 + i)}), 80), Weight: 1})
	}
	c.Servers[2].OnFailure = entry.Keep
	s := entry.New(time.Now(), c)
	for _, i := range dead {
		s.Step(time.Now(), entry.Input{Kind: entry.InDrain, Server: c.Servers[i].Address, On: true})
	}
	return s.Point()
}

// Established connections of servers that are moved are moved, to those that get new flows;
// then what is left is cut, whatever came of that.
func TestMoveBeforeCut(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	key := func(n int) session.Key { return session.Key{SrcPort: uint16(n), Proto: 6} }
	k := &movesTwin{found: map[session.Key]entrynet.Assigned{}, err: errors.New("of no account")}
	for i := range 5 {
		r := session.Record{Key: key(i), TCP: session.TCP{State: session.TCPEstablished}}
		if i == 4 {
			r.TCP.State = session.TCPTimeWait
		}
		k.found[r.Key] = entrynet.Assigned{Record: r}
	}
	f := &movingFlows{assignedFlows: k, moves: newMoves(k, log), open: func() (connectionMover, error) { return k, nil }}
	var events []history.Event
	f.moves.event = func(e history.Event) { events = append(events, e) }
	points := []entry.Point{movingPoint("web", entry.Move, 0), movingPoint("other", entry.Reset)}
	dead := []entrynet.Server{{Point: 0, Number: 0}, {Point: 0, Number: 2}, {Point: 1, Number: 0}}
	if out, err := f.Cut(points, dead, nil); err != nil || out.Deleted != 2 {
		t.Fatal(out, err)
	}
	if got := fmt.Sprint(k.said); got != "[end 1 end 1 move map[10.0.0.22:80:4] cut [{0 0} {0 2} {1 0}]]" {
		t.Errorf("%s", got)
	}
	if !slices.Equal(k.asked, dead[:1]) {
		t.Errorf("moved: %v", k.asked)
	}
	st := appliance.EntryStatus{Name: "web"}
	if f.moves.counted(&st); st.Moved != 2 || fmt.Sprint(st.NotMoved) != "map[unanswered:2]" || st.Stall.Count != 2 || st.ReplayedBytes != 2000 || st.LongestMove != .03 || st.Stall.MaxSeconds != .03 ||
		fmt.Sprint(st.Stall.SumSeconds) != "0.034" || st.Stall.Buckets[0].Count != 1 || st.Stall.Buckets[3].Count != 1 {
		t.Errorf("counted %+v, %+v", st, st.Stall)
	}
	want := "web: server 10.0.0.21:80 died: 2 connections went on at others, the longest pause 30ms; reset: 2 unanswered"
	if len(events) != 1 || events[0].Kind != history.Moved || events[0].Subject != "10.0.0.21:80" || events[0].Text != want {
		t.Errorf("events: %+v, want %q", events, want)
	}
	k.said = nil
	if _, err := f.Cut([]entry.Point{movingPoint("web", entry.Move, 0, 1, 2)}, dead[:1], nil); err != nil || fmt.Sprint(k.said) != "[cut [{0 0}]]" {
		t.Errorf("with no server left: %v, %v", k.said, err)
	}
}

// What servers say is noted where it is needed, and listened to from then on.
func TestServersNoted(t *testing.T) {
	k := &movesTwin{}
	m := newMoves(k, slog.New(slog.DiscardHandler))
	listened := make(chan bool, 1)
	m.listen = func() (*splicenet.Listener, error) {
		select {
		case listened <- true:
		default:
		}
		return nil, errors.New("not here")
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan bool)
	go func() { m.run(ctx); close(done) }()
	if _, err := m.apply([]entry.Point{movingPoint("web", entry.Reset)}); err != nil {
		t.Fatal(err)
	}
	if len(m.need) > 0 {
		t.Error("somebody listens to what nobody needs")
	}
	if _, err := m.apply([]entry.Point{movingPoint("web", entry.Move), movingPoint("web2", entry.Move)}); err != nil {
		t.Fatal(err)
	}
	<-listened
	if got := fmt.Sprint(k.said); got != "[note [] note [10.0.0.21:80 10.0.0.22:80]]" {
		t.Errorf("%s", got)
	}
	if p := m.Position(splice.Ends{}); p.Known {
		t.Error("a position from nowhere")
	}
	cancel()
	<-done
}

// What a predecessor has left is freed once, when there is a table: what is in it later is ours.
func TestPredecessorsMovesAreHealedOnce(t *testing.T) {
	k := &movesTwin{err: errors.New("no kernel")}
	m := newMoves(k, slog.New(slog.DiscardHandler))
	m.heal = func() (int, error) { k.said = append(k.said, "heal"); return 0, errors.New("in vain") }
	apply := func(want error) {
		t.Helper()
		if _, err := m.apply([]entry.Point{movingPoint("web", entry.Move)}); err != want {
			t.Error(err)
		}
	}
	apply(k.err)
	k.err = nil
	apply(nil)
	apply(nil)
	if got := fmt.Sprint(k.said); strings.Count(got, "heal") != 1 || len(k.said) != 4 || k.said[2] != "heal" {
		t.Errorf("%s", got)
	}
}
