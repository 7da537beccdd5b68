package e2e

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/pair"
)

// twoPaths is the gateway's configuration with the LAN as a second way to the other one.
func twoPaths(g *pair.Gateway) string {
	r := strings.NewReplacer(
		`listen = "10.255.0.1:7788"`, `listen = ["10.255.0.1:7788", "10.0.0.2:7788"]`,
		`listen = "10.255.0.2:7788"`, `listen = ["10.255.0.2:7788", "10.0.0.3:7788"]`,
		`address = "10.255.0.1:7788" }`, `address = ["10.255.0.1:7788", "10.0.0.2:7788"] }`,
		`address = "10.255.0.2:7788" }`, `address = ["10.255.0.2:7788", "10.0.0.3:7788"] }`)
	return r.Replace(g.Config())
}

// The cable between the gateways is cut: sessions and heartbeats go over the LAN,
// nobody is alarmed, and a crash in that time loses nothing. When the cable is back the
// link moves there, without a transfer.
func TestSecondPathOfThePair(t *testing.T) {
	s := newScene(t, pair.Options{Interval: unhurried})
	for _, g := range s.Gateways {
		s.startWith(g, func(*scene) (config, secret string) { return twoPaths(g), "" })
	}
	s.settled(s.gw1)
	s.load(s.gw1, 20)
	s.wait("no alarm", all(without(s.gw1, linkAlarms...), without(s.gw2, linkAlarms...)))
	at := func(prefix string) func(context.Context) error {
		return func(ctx context.Context) error {
			for _, g := range s.Gateways {
				st, err := g.Status(ctx)
				if err != nil {
					return err
				}
				if p := st.Sessions.Peers[0]; !p.Connected || !strings.HasPrefix(p.Address, prefix) {
					return fmt.Errorf("%s is connected: %v, at %q", g.Name, p.Connected, p.Address)
				}
			}
			return nil
		}
	}
	s.wait("the preferred path", at("10.255.0."))
	before := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}

	cut := time.Now()
	s.must(s.gw1.Link("sync0").Unplug())
	s.wait("the other path", at("10.0.0."))
	s.settled(s.gw1)
	more := s.conns(9100, 5)
	s.wait("equal tables", s.Equal(s.gw1))
	s.stays("no alarm", 4*time.Second, all(without(s.gw1, linkAlarms...), without(s.gw2, linkAlarms...))) // as long as a missing heartbeat takes to be one
	s.intact(cut)

	resync := lastResync(s, s.gw1)
	s.must(s.gw1.Link("sync0").Plug())
	back := s.conns(9101, 5)
	s.wait("the preferred path", at("10.255.0."))
	s.wait("equal tables", s.Equal(s.gw1))
	if now := lastResync(s, s.gw1); !now.Equal(resync) {
		t.Errorf("the link did not move: a resync at %v", now)
	}
	if now := [2]uint64{s.transitions(s.gw1), s.transitions(s.gw2)}; now != before {
		t.Errorf("transitions were %d, are %d", before, now)
	}

	s.must(s.gw1.Link("sync0").Unplug())
	s.wait("the other path", at("10.0.0."))
	s.settled(s.gw1)
	s.wait("equal tables", s.Equal(s.gw1))
	crashed := s.crash(s.gw1)
	s.intact(crashed)
	if d := more.Check(s.within(patience)); len(d) > 0 {
		t.Errorf("connections that began on the other path are dead: %v", d)
	}
	if d := back.Check(s.within(patience)); len(d) > 0 {
		t.Errorf("connections that began while it moved are dead: %v", d)
	}
	s.whole()
}
