package replica_test

import (
	"fmt"
	"io"
	"net"
	"testing"
	"time"

	"understudy/nat"
	"understudy/nat/conntrack"
	"understudy/nat/nft"
	"understudy/nat/session"
)

// filter has the box's kernel make only those connection events that are needed, but
// for nil, which leaves all to it.
func (b *box) filter(e *nat.Events) {
	b.t.Helper()
	plan, err := nat.New(nat.Config{Events: e})
	must(b.t, err)
	must(b.t, b.node.Do(func() error {
		a, err := nft.Open(nft.Config{})
		if err != nil {
			return err
		}
		defer a.Close()
		_, err = a.Apply(plan)
		return err
	}))
}

// heard is somebody who hears all the events of a box's kernel.
type heard struct {
	t      *testing.T
	l      *conntrack.Listener
	events []conntrack.Event
}

func (b *box) hears() *heard {
	b.t.Helper()
	h := &heard{t: b.t}
	must(b.t, b.node.Do(func() (err error) { h.l, err = conntrack.OpenListener(conntrack.ListenerConfig{}); return err }))
	b.t.Cleanup(func() { h.l.Close() })
	must(b.t, h.l.Join(conntrack.GroupNew, conntrack.GroupUpdate, conntrack.GroupDestroy))
	return h
}

// of returns the events, so far, of flows to a port.
func (h *heard) of(proto uint8, port uint16) (evs []conntrack.Event) {
	h.t.Helper()
	_, err := h.l.Drain(1<<20, func(ev *conntrack.Event) { h.events = append(h.events, *ev) })
	must(h.t, err)
	for _, ev := range h.events {
		if ev.Rec.Proto == proto && ev.Rec.DstPort == port {
			evs = append(evs, ev)
		}
	}
	return evs
}

func kinds(evs []conntrack.Event) (s string) {
	for _, ev := range evs {
		s += ev.Kind.String()[:1]
		if ev.Rec.Proto == 6 && ev.Has&conntrack.HasTCP != 0 && ev.Kind != conntrack.Destroy {
			s += fmt.Sprint(ev.Rec.TCP.State)
		}
		s += " "
	}
	return s
}

// TestEventFilter counts what the kernel tells, with the rules and without, and
// looks at what is left: all that a standby needs.
func TestEventFilter(t *testing.T) {
	some := nat.Ports{First: 1000, Last: 1999}
	for _, tt := range []struct {
		name   string
		events *nat.Events
		// Of a connection: its first event, and how many at most. Of a question that is
		// answered, of one in a class without events, of one in a class that is told late.
		tcp              string
		most             int
		ask, never, late string
		own              bool // events of the node's own flows
	}{
		{name: "all", tcp: "n1 ", most: 7, ask: "n u d ", never: "n u d ", late: "n u d ", own: true},
		{name: "needed", events: &nat.Events{}, tcp: "u3 ", most: 5, ask: "u d ", never: "u d ", late: "u d "},
		{name: "by class", events: &nat.Events{
			Never: []nat.Calls{{First: nat.UDP, Last: nat.UDP, Ports: nat.Ports{First: 53, Last: 53}}, {First: nat.TCP, Last: nat.TCP, Ports: some}},
			Late:  []nat.Calls{{First: nat.UDP, Last: nat.UDP, Ports: nat.Ports{First: 123, Last: 123}}},
		}, tcp: "u3 ", most: 5, ask: "u d ", never: "", late: "d "},
		{name: "early", events: &nat.Events{Early: true}, tcp: "n1 ", most: 7, ask: "n u d ", never: "n u d ", late: "n u d "},
	} {
		t.Run(tt.name, func(t *testing.T) {
			g := newGateways(t, natRules)
			g.a.filter(tt.events)
			h := g.a.hears()
			for _, port := range []int{53, 123, 500} {
				serve(t, g.server, "udp", fmt.Sprintf("%s:%d", serverIP, port))
				must(t, talk(dialFrom(t, g.client, "udp", fmt.Sprintf("%s:%d", serverIP, port)), "a question"))
			}
			c, s := g.connected(443)
			must(t, talkTo(c, s, "words"))
			must(t, c.Close())
			io.ReadAll(s)
			must(t, s.Close())
			serve(t, g.a.node, "tcp", "10.0.0.2:22")
			must(t, talk(dialFrom(t, g.client, "tcp", "10.0.0.2:22"), "management"))
			serve(t, g.server, "tcp", serverIP+":80")
			must(t, talk(dialFrom(t, g.a.node, "tcp", serverIP+":80"), "its own"))

			state := func() (st session.TCPState) {
				must(t, g.a.kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
					if ev.Rec.Proto == 6 && ev.Rec.DstPort == 443 {
						st = ev.Rec.TCP.State
					}
				}))
				return st
			}
			eventually(t, "the connection is over", func() bool { return state() == session.TCPTimeWait })
			var over []session.Record
			must(t, g.a.kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) { over = append(over, ev.Rec) }))
			g.a.end(over...)

			tcp := h.of(6, 443)
			words := kinds(tcp)
			if len(tcp) > tt.most || len(tcp) < 3 || words[:len(tt.tcp)] != tt.tcp || words[len(words)-5:] != "u7 d " {
				t.Errorf("a connection: %q; want %q first, the wait and the end last, and %d at most", words, tt.tcp, tt.most)
			}
			first := tcp[0]
			for _, ev := range tcp {
				if ev.Rec.TCP.State == session.TCPEstablished {
					first = ev
					break
				}
			}
			if r := first.Rec; !r.Replicable() || !conntrack.WindowScaleKnown(&r.TCP) || r.Status&session.StatusAssured == 0 {
				t.Errorf("its establishment tells %s", r.String())
			}
			for port, want := range map[uint16]string{500: tt.ask, 53: tt.never, 123: tt.late} {
				if got := kinds(h.of(17, port)); got != want {
					t.Errorf("a question to port %d: %q, want %q", port, got, want)
				}
			}
			for _, port := range []uint16{22, 80} {
				if got := h.of(6, port); (len(got) > 0) != tt.own {
					t.Errorf("the node's own flow to port %d: %q", port, kinds(got))
				}
			}
		})
	}
}

// talkTo has words go from one end to the other and back.
func talkTo(c, s net.Conn, words string) error {
	for _, d := range [][2]net.Conn{{c, s}, {s, c}} {
		if _, err := d[0].Write([]byte(words)); err != nil {
			return err
		}
		d[1].SetReadDeadline(time.Now().Add(settle))
		if _, err := io.ReadFull(d[1], make([]byte, len(words))); err != nil {
			return err
		}
	}
	return nil
}

// A connection that began before the rules makes its events: the kernel's default
// holds until a packet says otherwise. And one that is picked up in its middle does.
func TestEventFilterComesLater(t *testing.T) {
	g := newGateways(t, natChain)
	g.a.filter(nil)
	c, s := g.connected(443)
	must(t, talkTo(c, s, "before"))
	g.a.filter(&nat.Events{})
	h := g.a.hears()
	must(t, talkTo(c, s, "after"))
	must(t, c.Close())
	io.ReadAll(s)
	must(t, s.Close())
	eventually(t, "its end is told", func() bool {
		evs := h.of(6, 443)
		return len(evs) > 0 && evs[len(evs)-1].Rec.TCP.State == session.TCPTimeWait
	})
	c, s = g.connected(444)
	must(t, talkTo(c, s, "before"))
	var have []session.Record
	must(t, g.a.kernel.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
		if ev.Rec.DstPort == 444 {
			have = append(have, ev.Rec)
		}
	}))
	g.a.end(have...)
	n := len(h.of(6, 444))
	must(t, talkTo(c, s, "after"))
	evs := h.of(6, 444)[n:]
	if len(evs) == 0 || !evs[0].Rec.Replicable() || evs[0].Has&conntrack.HasTCP == 0 {
		t.Errorf("picked up, it tells %q", kinds(evs))
	}
}

// A late class: a question costs its end alone, a stream is told once it lasts.
func TestLateClassIsToldOnceItLasts(t *testing.T) {
	t.Parallel()
	g := newGateways(t, natRules)
	classes := session.Policy{{Proto: 17, Ports: []session.Ports{{First: 53, Last: 53}}, MinAge: time.Millisecond}}
	_, late := classes.Silent()
	g.a.filter(&nat.Events{Late: []nat.Calls{{First: nat.Proto(late[0].First), Last: nat.Proto(late[0].Last), Ports: nat.Ports(late[0].Ports)}}})
	g.a.cfg.Classes = classes
	g.runs()
	serve(t, g.server, "udp", serverIP+":53")
	must(t, talk(dialFrom(t, g.client, "udp", serverIP+":53"), "a question"))
	stream := dialFrom(t, g.client, "udp", serverIP+":53")
	eventually(t, "the stream alone is at the peer", func() bool {
		must(t, talk(stream, "again"))
		return len(g.b.sessionsOf(called(17, 53))) == 1
	})
	// The dump that sees both thinks the same. When the second begins, the first is over.
	for range 2 {
		dumps := g.a.engine.Status().Counters.Dumps
		must(t, g.a.engine.Reconfigure(g.a.cfg))
		eventually(t, "a dump", func() bool { return g.a.engine.Status().Counters.Dumps > dumps })
	}
	eventually(t, "one of them", func() bool { s := g.a.engine.Status(); return s.Local == 1 && s.Young == 0 })
	g.b.hot(1, called(17, 53))
	local := stream.LocalAddr().(*net.UDPAddr).Port
	if r := g.b.sessionsOf(called(17, 53))[0]; int(r.SrcPort) != local {
		t.Errorf("at the peer is %s, want the stream from port %d", r.String(), local)
	}
}

// What is told once, as a flow begins, is told though nothing else of its beginning is:
// labels alone, a mark that changes later.
func TestEventFilterLeavesWhatIsToldOnce(t *testing.T) {
	g := newGateways(t, natRules+`
table inet byflow {
	chain pre { type filter hook prerouting priority filter; ct state new ct label set 5; }
}`)
	g.runs()
	c, s := g.connected(443)
	must(t, talkTo(c, s, "words"))
	has := func(mark uint32) func() bool {
		return func() bool {
			rs := g.b.sessionsOf(called(6, 443))
			return len(rs) == 1 && rs[0].Labels == (session.Labels{0: 1 << 5}) && rs[0].Mark == mark
		}
	}
	eventually(t, "the labels are at the peer", has(0))
	g.a.nft(`table inet later { chain forward { type filter hook forward priority filter + 20; tcp dport 443 ct mark set 9; } }`)
	must(t, talkTo(c, s, "more words"))
	eventually(t, "the mark is", has(9))
}
