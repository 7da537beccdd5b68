package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"syscall"
	"testing"

	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
	"understudy/nat/entry"
)

// takeoverIs is a condition: a gateway knows of so many connections of an entry point that they can be
// moved after a takeover, and of so many of each reason that they cannot.
func takeoverIs(g *pair.Gateway, name string, known int, lost map[string]int) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, e := range st.NAT.Entries {
			if e.Name == name && e.Takeover != nil && e.Takeover.Known == known && fmt.Sprint(e.Takeover.Lost) == fmt.Sprint(lost) {
				return nil
			}
			err = errors.Join(err, fmt.Errorf("%s: %+v", e.Name, e.Takeover))
		}
		return fmt.Errorf("want %d known and %v lost, not %w", known, lost, err)
	}
}

// The gateway crashes, and then the server dies before it has said another word: idle connections go on at
// the other server, with every byte right. One whose server has acknowledged a request since it was
// told of, and one of which that was told, are reset; and so is one that would have to be replayed. What the gateway knew from an earlier turn does not count.
func TestEntryMoveAfterATakeover(t *testing.T) {
	sums := netip.AddrPortFrom(entryAddress.Addr(), 7000)
	s := newScene(t, pair.Options{Extra: entryPoint("web", entryAddress, 2, `on_failure = "move"`) + replayPoint("sums", sums, entry.Replay)})
	nodes, err := s.Servers(2)
	s.must(err)
	var hanging [2]chan struct{}
	for i := range nodes {
		hanging[i] = s.serveHTTP(nodes[i], netip.AddrPortFrom(pair.ServerHost(i+1), 443), i+1)
		s.serveSums(nodes[i], netip.AddrPortFrom(pair.ServerHost(i+1), sums.Port()), probe.SumServer{})
	}
	s.ready(2, "web", "sums")
	idle, fresh, late, waiting := s.keepAlive(entryAddress), s.keepAlive(entryAddress), s.keepAlive(entryAddress), s.keepAlive(entryAddress)
	for _, next := range []*pair.Gateway{s.gw2, s.gw1} {
		idle.ask(5, 1)
		s.ok(s.Other(next), "failover")
		s.settled(next)
	}
	idle.ask(5, 1)
	late.ask(1, 1)
	waiting.ask(1, 1)
	logged := s.sums(sums)
	logged.say(2)
	logged.hear(-1)
	s.acknowledged(waiting, pair.ServerHost(1), hanging[0])
	// It is the last that was heard of, so all are told of when it is.
	for _, g := range s.Gateways {
		s.wait("the web's connections to be told of", takeoverIs(g, "web", 3, map[string]int{"unanswered": 1}))
		s.wait("the logged one to be told of", takeoverIs(g, "sums", 0, map[string]int{"unlogged": 1}))
	}
	if out, want := s.ok(s.gw2, "status"), "After a takeover of web: 3 connections can be moved at once; not: 1 unanswered"; !strings.Contains(out, want) {
		t.Errorf("status does not say %q: %s", want, out)
	}
	s.wait("the standby to have every flow", s.tablesEqual(s.gw1))
	s.acknowledged(late, pair.ServerHost(1), hanging[0])
	s.crash(s.gw1)

	s.must(nodes[0].UnplugAll())
	s.wait("what can be to be moved", func(ctx context.Context) error {
		st, err := s.gw2.Status(ctx)
		if err != nil {
			return err
		}
		lost := uint64(0)
		for _, n := range st.NAT.Entries[0].NotMoved {
			lost += n
		}
		if e := st.NAT.Entries; e[0].Moved != 2 || lost != 2 || e[1].Moved != 0 || e[1].NotMoved["unlogged"] != 1 {
			return fmt.Errorf("entry points are %+v", e)
		}
		return nil
	})
	idle.ask(10, 2)
	fresh.ask(10, 2)
	for name, c := range map[string]io.Reader{"acknowledged since": late.conn, "acknowledged before": waiting.conn, "to be replayed": logged.conn} {
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: the client hears %v", name, err)
		}
	}
	s.must(nodes[0].PlugAll())
	s.wait("the first server to be up", serverIs(s.gw2, "web", 1, "up"))
	s.must(nodes[1].UnplugAll())
	s.wait("both to be moved back", moved(s.gw2, "web", 4, 0))
	idle.ask(10, 1)
	fresh.ask(10, 1)
}
