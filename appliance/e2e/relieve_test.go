package e2e

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/history"
)

// gone tells whether a process has ended.
func gone(pid int) error {
	if err := unix.Kill(pid, 0); !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("process %d is there: %v", pid, err)
	}
	return nil
}

// The election itself is exchanged on the active node, under traffic, again and again: nobody
// takes over, no term begins, no priority 0 is sent, every flow goes on.
func TestUpgradeOfTheElectionKeepsTheRole(t *testing.T) {
	u := newUpgradeScene(t)
	before := u.scene.transitions(u.gw2)
	changes := len(u.events(u.gw1, "--kind", "transition"))
	election := u.run
	for range 3 {
		began := time.Now()
		u.ok(u.gw1, "upgrade", "--election")
		u.wait("the old election to be gone", func(context.Context) error { return gone(election) })
		list, err := processes(u.gw1)
		u.must(err)
		if list["election"] == 0 || list["run"] != 0 {
			t.Fatalf("there are %v", list)
		}
		election = list["election"]
		u.settled(u.gw1)
		u.wait("adverts on the LAN", u.lan.more(u.gw1, 5))
		u.wait("adverts on the WAN", u.wan.more(u.gw1, 5))
		u.intact(began)
	}
	u.wait("gw1 to hold the addresses", holds(u.gw1, true))
	for name, wire := range map[string]*adverts{"LAN": u.lan, "WAN": u.wan} {
		if _, zero := wire.of(u.gw1); zero > 0 {
			t.Errorf("%s: gw1 sent priority 0 %d times", name, zero)
		}
		if at, _ := wire.of(u.gw2); len(at) > 0 {
			t.Errorf("%s: gw2 sent %d adverts", name, len(at))
		}
		t.Logf("%s: the longest time without an advert, over three exchanges: %v, of %v that gw2 waits", name, wire.silence(u.gw1), u.Bound(u.gw2))
	}
	if now := u.status(u.gw1).Groups[0].Term; now != u.term {
		t.Errorf("the term was %d, is %d", u.term, now)
	}
	if now := u.scene.transitions(u.gw2); now != before {
		t.Errorf("gw2 had %d transitions, has %d", before, now)
	}
	all := u.events(u.gw1, "--kind", "transition")
	if len(all) != changes {
		t.Errorf("gw1 has changed its state: %+v", all[changes:])
	}
	if n := len(u.events(u.gw1, "--kind", "operator")); n < 3 {
		t.Errorf("%d orders are remembered", n)
	}
	if ev := u.events(u.gw1); !slices.ContainsFunc(ev, func(e history.Event) bool { return e.Cause == "upgrade-election" }) {
		t.Error("the exchange is not among the events")
	}
	u.wait("no alarm", calm(u.gw1))
	u.wait("no alarm", calm(u.gw2))
	// What is exchanged is as good as what was there: it dies, and is replaced; it is crashed,
	// and its sessions are at the peer.
	cut := u.crash(u.gw1)
	u.intact(cut)
	u.whole()
}
