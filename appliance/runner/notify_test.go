package runner_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"understudy/appliance"
	"understudy/appliance/runner"
	"understudy/vrrp"
)

// An activation waits for its programs, without the loop waiting; one that never
// ends is given up when its time is up.
func TestPrepareHoldsUpItsGroupOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := &world{}
		edges := w.edges()
		edges.Notify = func(n appliance.Notify) { w.say("told %s %s", n.Group, n.State) }
		edges.Prepare = func(ctx context.Context, n appliance.Notify) {
			w.say("prepare %s", n.Group)
			if n.Group == "slow" {
				<-ctx.Done()
			}
		}
		cfg := appliance.Config{Node: "gw1"}
		for _, name := range []string{"slow", "quick"} {
			cfg.Groups = append(cfg.Groups, appliance.GroupConfig{Name: name, Notifies: true, Prepare: time.Second})
		}
		r := runner.New(appliance.NewCore(time.Now(), cfg), edges, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); r.Run(ctx) }()
		defer func() { cancel(); <-done }()
		in := func(group string, s vrrp.State, term uint64) appliance.GroupState {
			return appliance.GroupState{Group: group, State: s, Term: term}
		}
		r.Post(appliance.Attached{Groups: []appliance.GroupState{in("slow", vrrp.Backup, 0), in("quick", vrrp.Backup, 0)}})
		synctest.Wait()
		for _, g := range []string{"slow", "quick"} {
			r.Post(appliance.Transition{GroupState: in(g, vrrp.Active, 1)})
		}
		synctest.Wait()
		if !w.has("prepare slow") || !w.has("told quick active") || w.has("told slow active") {
			t.Fatalf("%q", w.said)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !w.has("told slow active") || !w.held[len(w.held)-1].Groups[0].Active {
			t.Fatalf("%q", w.said)
		}
	})
}
