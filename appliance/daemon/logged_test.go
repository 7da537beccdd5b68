package daemon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"understudy/appliance/config"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/nft"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

// recorderTwin is a kernel whose packets a test makes up.
type recorderTwin struct {
	mu     sync.Mutex
	log    *bytelog.Log
	fail   chan error
	said   []string
	opened int
}

func (k *recorderTwin) say(format string, args ...any) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.said = append(k.said, fmt.Sprintf(format, args...))
}

// heard is what was said since.
func (k *recorderTwin) heard() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return fmt.Sprint(k.said)
}

func (k *recorderTwin) Apply(servers []netip.AddrPort, devices []string, side nft.Side) (bool, error) {
	k.say("copy %v on %v to %d", servers, devices, side.Index)
	return true, nil
}

func (k *recorderTwin) open(l *bytelog.Log) (recorder, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.log = l
	if k.opened++; k.opened == 2 {
		return nil, errors.New("of no account")
	}
	return k, nil
}

func (k *recorderTwin) Index() int { return 7 }
func (k *recorderTwin) Run(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-k.fail:
		return err
	}
}
func (k *recorderTwin) With(f func(*bytelog.Log)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k.log)
}
func (k *recorderTwin) Settled(f func(*bytelog.Log)) { k.With(f) }
func (k *recorderTwin) Stats() lognet.Stats          { return lognet.Stats{Packets: 5, Lost: 1, Odd: 2} }
func (k *recorderTwin) Close() error                 { k.say("close"); return nil }

// What is to be replayed is logged while an entry point wants it, and again after it failed.
func TestLoggedWhileItIsWanted(t *testing.T) {
	k := &recorderTwin{fail: make(chan error)}
	g := newLogged(capturing{table: k, open: k.open, devices: func([]netip.AddrPort) ([]string, error) { return []string{"lan0"}, nil },
		remove: func() (bool, error) { k.say("remove"); return true, nil }}, slog.New(slog.DiscardHandler))
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("never: %s; %s", what, k.heard())
			}
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { g.run(ctx) })
	defer wg.Wait()
	defer stop()
	lazy, warm := movingPoint("lazy", entry.Move), movingPoint("warm", entry.Move)
	lazy.How, warm.How = entry.Lazy, entry.Warm
	g.apply([]entry.Point{lazy})
	until("what a predecessor left is removed", func() bool { return k.heard() == "[copy [] on [] to 0 remove]" })
	if g.status() != nil || k.opened != 0 {
		t.Error("something is logged that is not to be replayed")
	}
	n := 0
	g.Settled(func(l *bytelog.Log) {
		for range l.Records() {
			n++
		}
	})
	g.bound(config.MoveBounds{Memory: 2, Connection: 1, Age: time.Hour})
	g.apply([]entry.Point{lazy, warm})
	const copies = " copy [10.0.0.21:80 10.0.0.22:80] on [lan0] to 7"
	until("it is copied", func() bool { return k.heard() == "[copy [] on [] to 0 remove"+copies+"]" })
	// As much as is bounded of one connection.
	client, server := netip.MustParseAddrPort("192.0.2.9:1000"), netip.MustParseAddrPort("10.0.0.21:80")
	g.With(func(l *bytelog.Log) {
		for _, s := range []splice.Segment{{Flags: splice.SYN, Window: 0xffff}, {Ack: 1, Seq: 1, Flags: splice.ACK, Data: make([]byte, 100)}} {
			l.Take(time.Now(), &splice.Packet{From: client, To: server, Segment: s, Sound: true})
			l.Take(time.Now(), &splice.Packet{From: server, To: client, Segment: splice.Segment{Ack: 1, Flags: splice.SYN | splice.ACK, Window: 0xffff}, Sound: true})
		}
	})
	if st := g.status(); st == nil || st.Connections != 1 || st.Bytes != 100 || st.Packets != 5 || st.Lost != 1 || st.Left["unread"] != 2 || st.MemoryBytes == 0 {
		t.Errorf("%+v", st)
	}
	// Packets went another way for a while: nothing is known of any.
	g.miss()
	until("the record is in doubt", func() (lost bool) {
		g.With(func(l *bytelog.Log) {
			lost = l.Record(splice.Ends{Server: server, Client: client}).Refusal() == bytelog.Lost
		})
		return lost
	})
	first := k.log
	k.fail <- errors.New("the device is gone")
	until("it is logged again", func() bool { k.mu.Lock(); defer k.mu.Unlock(); return k.opened == 3 })
	until("it is at work", func() bool { return g.status() != nil })
	if k.log == first || n != 0 {
		t.Error("what has missed something goes on")
	}
	g.apply([]entry.Point{lazy})
	until("nothing is left", func() bool {
		k.mu.Lock()
		defer k.mu.Unlock()
		m := len(k.said)
		return m > 3 && fmt.Sprint(k.said[m-3:]) == "[close copy [] on [] to 0 remove]"
	})
	if g.status() != nil {
		t.Error("it still has a status")
	}
}

// That a group becomes active, or is not any more, is a doubt; that it still is, is none: a connection
// that rests would not get over it.
func TestDoubtWhenPacketsGoAnotherWay(t *testing.T) {
	g := newLogged(capturing{}, slog.New(slog.DiscardHandler))
	e := &entries{logged: g, active: map[string]bool{}}
	for i, step := range []struct{ on, want bool }{{true, true}, {true, false}, {false, true}, {false, false}, {true, true}} {
		e.setActive("wan", step.on)
		if got := len(g.missed) == 1; got != step.want {
			t.Errorf("step %d: in doubt: %v", i, got)
		}
		for len(g.missed) > 0 {
			<-g.missed
		}
	}
}

// A kernel that cannot copy packets is found out before anything is applied, where something is to be
// replayed, and asked no more when it can.
func TestLoggedWhereTheKernelCannot(t *testing.T) {
	why, asked := nft.ErrNoCopies, 0
	g := newLogged(capturing{can: func() error { asked++; return why }}, slog.New(slog.DiscardHandler))
	table := &entryTwin{}
	tables := loggedTables{table, g, newWarm(nil, slog.New(slog.DiscardHandler))}
	lazy, replay := movingPoint("lazy", entry.Move), movingPoint("quotes", entry.Move)
	lazy.How, replay.How = entry.Lazy, entry.Replay
	if _, err := tables.Apply([]entry.Point{lazy}); err != nil || asked > 0 {
		t.Errorf("lazy: %v, and the kernel was asked %d times", err, asked)
	}
	_, err := tables.Apply([]entry.Point{lazy, replay})
	if !errors.Is(err, nft.ErrNoCopies) || !strings.Contains(err.Error(), `move = "replay" of quotes cannot be had: `) {
		t.Errorf("refused: %v", err)
	}
	if got := table.said(); got != "apply 1" {
		t.Errorf("what was refused is applied: %q", got)
	}
	why = nil
	for range 2 {
		if _, err := tables.Apply([]entry.Point{lazy, replay}); err != nil {
			t.Error(err)
		}
	}
	if asked != 2 {
		t.Errorf("the kernel was asked %d times", asked)
	}
}
