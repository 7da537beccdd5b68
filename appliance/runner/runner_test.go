package runner_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"understudy/appliance"
	"understudy/appliance/identity"
	"understudy/appliance/runner"
	"understudy/health"
	"understudy/vrrp"
)

// world is a twin of every edge: it writes down what it was asked for.
type world struct {
	mu   sync.Mutex
	said []string

	holdTakes time.Duration
	drainErr  error
	held      []appliance.Want
}

func (w *world) say(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.said = append(w.said, fmt.Sprintf(format, args...))
}

func (w *world) has(what string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Contains(w.said, what)
}

func (w *world) Ready()                               { w.say("ready") }
func (w *world) Eligible(g string, ok bool, r string) { w.say("eligible %s %t %s", g, ok, r) }
func (w *world) Announced(g string)                   { w.say("announced %s", g) }
func (w *world) HandOver(g string)                    { w.say("hand-over %s", g) }
func (w *world) Weight(g string, weight int)          { w.say("weight %s %d", g, weight) }
func (w *world) Overlap(g string, ok bool)            { w.say("overlap %s %v", g, ok) }
func (w *world) Neighbour(s health.State)             { w.say("neighbour %v", s) }
func (w *world) Fault(g string, on bool, r string)    { w.say("fault %s %t %s", g, on, r) }
func (w *world) Term(g string, t uint64)              { w.say("term %s %d", g, t) }
func (w *world) Stop()                                { w.say("elect-stop") }
func (w *world) Respawn(r []appliance.GroupState)     { w.say("respawn %d", len(r)) }

func (w *world) edges() runner.Edges {
	return runner.Edges{
		Election: w,
		Hold: func(ctx context.Context, want appliance.Want) appliance.Applied {
			time.Sleep(w.holdTakes)
			w.mu.Lock()
			w.held = append(w.held, want)
			w.mu.Unlock()
			return appliance.Applied{Gen: want.Gen}
		},
		Drain:    func(ctx context.Context, g string) error { w.say("drain %s", g); return w.drainErr },
		Announce: func(g string, a []identity.Address) { w.say("announce %s %d", g, len(a)) },
		Withdraw: func(g string) { w.say("withdraw %s", g) },
	}
}

func start(t *testing.T, w *world) *runner.Runner {
	cfg := appliance.Config{Node: "gw1", Sessions: true, Groups: []appliance.GroupConfig{{
		Name:     "gateway",
		Identity: identity.New(identity.Address{Interface: "lan0", Prefix: netip.MustParsePrefix("10.0.0.1/24")}),
	}}}
	r := runner.New(appliance.NewCore(time.Now(), cfg), w.edges(), slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); r.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r
}

func state(s vrrp.State, term uint64) appliance.GroupState {
	return appliance.GroupState{Group: "gateway", State: s, Term: term}
}

func TestActivationHoldsThenAnnounces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{holdTakes: 3 * time.Millisecond}
		r := start(t, w)
		r.Post(appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Initialize, 0)}})
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if w.has("ready") {
			t.Fatal("the election may begin without the peer's sessions")
		}
		r.Post(appliance.Synced{Connected: true, InSync: true})
		synctest.Wait()
		if !w.has("ready") {
			t.Fatalf("the election may not begin after the first Want was applied: %v", w.said)
		}
		r.Post(appliance.Transition{GroupState: state(vrrp.Active, 1)})
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if w.has("announce gateway 1") || w.has("announced gateway") {
			t.Fatal("announced before the address was in place")
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		if !w.has("announce gateway 1") || !w.has("announced gateway") {
			t.Fatalf("not announced, or the election does not know: %v", w.said)
		}
	})
}

// A slow lane gets the latest Want, not every one there was.
func TestLatestWantWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{holdTakes: time.Second}
		r := start(t, w)
		r.Post(appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Backup, 0)}})
		for term := uint64(1); term <= 20; term++ {
			r.Post(appliance.Transition{GroupState: state(vrrp.Active, term)})
			r.Post(appliance.Transition{GroupState: state(vrrp.Backup, term)})
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if n := len(w.held); n > 3 {
			t.Fatalf("the lane did %d Wants, of which all but the latest were stale", n)
		}
		if last := w.held[len(w.held)-1]; last.Groups[0].Active || last.Groups[0].Term != 20 {
			t.Fatalf("the last Want applied is not the latest: %s", last)
		}
	})
}

func TestFailoverRepliesWhenDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		r := start(t, w)
		r.Post(appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Active, 3)}})
		r.Post(appliance.Synced{Connected: true, InSync: true})
		done := make(chan error, 1)
		go func() { done <- r.Failover(context.Background(), "gateway", false) }()
		synctest.Wait()
		if !w.has("drain gateway") || !w.has("hand-over gateway") {
			t.Fatalf("want drain, then hand-over: %v", w.said)
		}
		select {
		case err := <-done:
			t.Fatalf("replied before the hand-over was over: %v", err)
		default:
		}
		r.Post(appliance.Transition{GroupState: state(vrrp.Backup, 3)})
		if err := <-done; err != nil {
			t.Fatal(err)
		}
	})
}

func TestFailoverRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, &world{})
		if err := r.Failover(context.Background(), "nobody", false); !errors.Is(err, appliance.ErrNoSuchGroup) {
			t.Fatalf("want ErrNoSuchGroup, got %v", err)
		}
	})
}

// After the end nobody hangs: posters, askers and operators get an answer.
func TestEndReleasesEveryone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		r := runner.New(appliance.NewCore(time.Now(), appliance.Config{}), w.edges(), slog.New(slog.DiscardHandler))
		done := make(chan error, 1)
		go func() { done <- r.Run(context.Background()) }()
		r.Post(appliance.Stop{})
		if err := <-done; err != nil {
			t.Fatalf("an orderly stop returned %v", err)
		}
		if !w.has("elect-stop") {
			t.Fatalf("the election was not told: %v", w.said)
		}
		for range 1000 {
			r.Post(appliance.Tick{})
		}
		if r.Ask(context.Background(), func(*appliance.Core) {}) {
			t.Fatal("asked a loop that has ended")
		}
		if err := r.Failover(context.Background(), "", false); err == nil {
			t.Fatal("a failover after the end succeeded")
		}
	})
}
