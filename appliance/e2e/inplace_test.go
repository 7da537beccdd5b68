package e2e

import (
	"context"
	"fmt"
	"os/exec"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// What operators do to a node while it serves: its configuration is changed, its daemon
// started anew, its program replaced, both processes of it, on both nodes. All that time no
// state changes on either, no advert is missing, no flow is lost; how long the traffic was
// silent at the longest is reported.
func TestInPlaceUnderTraffic(t *testing.T) {
	u := newUpgradeSceneOf(t, pair.Options{Interval: unhurried})
	begun := time.Now()
	changes := func() (all []string) {
		for _, g := range u.Gateways {
			for _, e := range u.events(g, "--kind", "transition") {
				all = append(all, g.Name+": "+e.Line())
			}
		}
		return all
	}
	before := changes()
	versions := func(daemon, election string) func(context.Context) error {
		return func(ctx context.Context) error {
			for _, g := range u.Gateways {
				st, err := g.Status(ctx)
				if err != nil {
					return err
				}
				if st.Version != daemon || st.Election.Version != election {
					return fmt.Errorf("%s is of version %s, its election of %s", g.Name, st.Version, st.Election.Version)
				}
			}
			return nil
		}
	}
	// The versions say which program is at work; "next" is built beside the traffic, before
	// it is watched.
	old := u.status(u.gw1).Version
	next := u.file + ".next"
	if out, err := exec.Command("go", "build", "-ldflags", "-X main.version=next", "-o", next, "understudy/cmd/understudy").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	both := []*pair.Gateway{u.gw2, u.gw1} // as the runbook has it: the standby first
	for _, phase := range []struct {
		name string
		do   func()
	}{
		{"reload", func() {
			for _, g := range both {
				u.must(g.SetConfig(g.MoreConfig()))
				u.ok(g, "reload")
			}
			u.wait("the new address", all(hasNew(u.gw1, true), hasNew(u.gw2, false)))
			u.through(pair.MoreForward).Stop()
			u.through(pair.MoreHost).Stop()
		}},
		{"restart", func() {
			was := u.daemon
			if said := u.ok(u.gw1, "upgrade"); !strings.Contains(said, old) {
				t.Errorf("upgrade says %q", said)
			}
			u.wait("another daemon", u.gw1.Renewed("", was))
		}},
		{"upgrade", func() {
			u.must(exec.Command("mv", next, u.file).Run())
			for _, g := range both {
				was, err := g.Processes()
				u.must(err)
				if said := u.ok(g, "upgrade", "--election"); strings.Count(said, "next") != 2 {
					t.Errorf("%s: upgrade says %q", g.Name, said)
				}
				u.wait("both processes of the new file on "+g.Name, g.Renewed(u.file, was["run"], was["daemon"]))
			}
			u.wait("both nodes of the new version", versions("next", "next"))
		}},
	} {
		from := time.Now()
		phase.do()
		u.settled(u.gw1)
		if err := u.traffic.Resumed(u.within(patience), time.Now()); err != nil {
			t.Fatal(err)
		}
		to := time.Now()
		var gaps []string
		for _, s := range u.traffic.Series() {
			gaps = append(gaps, fmt.Sprintf("%s %v", s.Name, s.Gap(from, to)))
		}
		t.Logf("%-8s took %v; the longest silence: %s; of adverts %v", phase.name, to.Sub(from).Round(time.Millisecond), strings.Join(gaps, ", "), u.lan.silenceBetween(u.gw1, from, to).Round(time.Millisecond))
		u.intact(from)
		if now := changes(); len(now) != len(before) {
			t.Fatalf("%s: states have changed: %q, before %q", phase.name, now, before)
		}
	}
	u.heals(u.gw1, time.Now())
	for name, wire := range map[string]*adverts{"LAN": u.lan, "WAN": u.wan} {
		u.wait("adverts on the "+name, wire.more(u.gw1, 2))
		if _, zero := wire.of(u.gw1); zero > 0 {
			t.Errorf("%s: gw1 sent priority 0 %d times", name, zero)
		}
		if at, _ := wire.of(u.gw2); len(at) > 0 {
			t.Errorf("%s: gw2 sent %d adverts", name, len(at))
		}
		quiet := wire.silence(u.gw1)
		t.Logf("%s: the longest time without an advert, over all: %v, of %v that gw2 waits", name, quiet.Round(time.Millisecond), u.Bound(u.gw2))
		if quiet > u.Bound(u.gw2) {
			t.Errorf("%s: no advert of gw1 for %v", name, quiet)
		}
	}
	if now := u.status(u.gw1).Groups[0].Term; now != u.term {
		t.Errorf("the term was %d, is %d", u.term, now)
	}
	u.wait("no alarm", all(calm(u.gw1), calm(u.gw2)))
	u.intact(begun)
	// What is there now is as good as what was: it is crashed, and the flows go on.
	u.intact(u.crash(u.gw1))
	u.whole()
}
