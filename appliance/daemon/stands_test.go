package daemon

import (
	"fmt"
	"net/netip"
	"testing"

	"understudy/appliance"
	"understudy/appliance/replica"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// What is told of connections at rest: where they are, or why they could not be moved; of an entry point that
// is replayed, whether all was logged. Others' connections are not told of.
func TestStandings(t *testing.T) {
	client, first, other := netip.MustParseAddrPort("192.0.2.9:40000"), netip.MustParseAddrPort("10.0.0.21:80"), netip.MustParseAddrPort("10.9.9.9:80")
	at := splice.Mark{End: 500, Ack: 90, Flags: splice.ACK | splice.PSH, Window: 7}
	answered := splice.Position{Last: at, Answer: at, Known: true, Answered: true}
	asked := answered
	asked.Last.Ack++
	client6 := netip.MustParseAddrPort("[2001:db8:9::9]:40000")
	lazy := movingPoint("web", entry.Move)
	wide := lazy
	wide.Match.Ports = nat.Ports{First: 80, Last: 82}
	huge := lazy
	huge.Match.Ports = nat.Ports{First: 80, Last: 8000}
	six := lazy
	six.Six, six.Match.Address, six.Servers = true, netip.MustParseAddr("2001:db8::10"), []netip.AddrPort{netip.MustParseAddrPort("[fd00::21]:80")}
	replayed := lazy
	replayed.How = entry.Replay
	warm := lazy
	warm.How = entry.Warm
	for _, row := range []struct {
		name   string
		point  entry.Point
		server netip.AddrPort
		at     splice.Position
		log    splice.Reason
		ports  int
		want   session.Stand
	}{
		{"answered", lazy, first, answered, 0, 1, session.Stand{Mode: session.ByPosition, Known: true, End: 500, Acked: 90, Window: 7}},
		{"of IPv6", six, six.Servers[0], answered, 0, 1, session.Stand{Mode: session.ByPosition, Known: true, End: 500, Acked: 90, Window: 7}},
		{"asked", lazy, first, asked, 0, 1, session.Stand{Mode: session.ByPosition, Why: uint8(splice.Unanswered)}},
		{"one of some ports", wide, first, answered, 0, 3, session.Stand{Mode: session.ByPosition, Known: true, End: 500, Acked: 90, Window: 7}},
		{"one of many ports", huge, first, answered, 0, standPorts, session.Stand{Mode: session.ByPosition, Known: true, End: 500, Acked: 90, Window: 7}},
		{"logged", replayed, first, asked, 0, 1, session.Stand{Mode: session.ByLog, Whole: true}},
		{"logged, with a gap", warm, first, answered, splice.Gap, 1, session.Stand{Mode: session.ByShadow, Why: uint8(splice.Gap), Known: true, End: 500, Acked: 90, Window: 7}},
		{"of a server that keeps its own", lazy, lazy.Servers[2], answered, 0, 0, session.Stand{}},
		{"of nobody", lazy, other, answered, 0, 0, session.Stand{}},
	} {
		s := stands{whole: func(of []splice.Ends) []splice.Reason {
			if len(of) != 1 || of[0] != (splice.Ends{Server: row.server, Client: client}) {
				t.Errorf("%s: asked for the log of %v", row.name, of)
			}
			return []splice.Reason{row.log}
		}}
		client, family := client, uint8(4)
		if row.point.Six {
			client, family = client6, 6
		}
		got := s.standings([]entry.Point{movingPoint("else", entry.Reset), row.point}, []splice.Rest{{Ends: splice.Ends{Server: row.server, Client: client}, Position: row.at}})
		if len(got) != row.ports {
			t.Errorf("%s: told for %d ports, want %d", row.name, len(got), row.ports)
		}
		for i, st := range got {
			key := session.Key{Src: session.AddrFrom(client.Addr()), Dst: session.AddrFrom(row.point.Match.Address), SrcPort: 40000, DstPort: uint16(80 + i), Proto: 6, Family: family}
			if st != (replica.Standing{Key: key, Server: row.server, Stand: row.want}) {
				t.Errorf("%s: %+v", row.name, st)
			}
		}
		told := toldOf(got)
		if row.want.Mode != session.ByPosition || !row.want.Known {
			if len(told) > 0 {
				t.Errorf("%s: taken as %+v", row.name, told)
			}
			continue
		}
		if end, acked, why := told[0].Position.Ahead(); end != 500 || acked != 90 || why != splice.None || told[0].Ends != (splice.Ends{Server: row.server, Client: client}) {
			t.Errorf("%s: taken as %+v", row.name, told[0])
		}
	}
}

func TestStandStatus(t *testing.T) {
	match := movingPoint("web", entry.Move).Match
	class := func(mode session.Protection, known bool, why splice.Reason) session.StandClass {
		return session.StandClass{Called: session.AddrFrom(match.Address), Port: 80, Family: 4, Mode: mode, Known: known, Why: uint8(why)}
	}
	elsewhere := class(session.ByPosition, true, 0)
	elsewhere.Port = 81
	for _, row := range []struct {
		name string
		have map[session.StandClass]int
		want *appliance.TakeoverMoves
	}{
		{"nothing", nil, nil},
		{"others'", map[session.StandClass]int{elsewhere: 9}, nil},
		{"known", map[session.StandClass]int{class(session.ByPosition, true, 0): 3, elsewhere: 9}, &appliance.TakeoverMoves{Known: 3}},
		{"all kinds", map[session.StandClass]int{class(session.ByPosition, true, 0): 3, class(session.ByPosition, false, splice.Unanswered): 2, class(session.ByPosition, false, 0): 1,
			class(session.ByLog, true, 0): 4, class(session.ByShadow, true, splice.Gap): 5, class(99, true, 0): 1},
			&appliance.TakeoverMoves{Known: 3, Lost: map[string]int{"unanswered": 2, "no-position": 1, "unlogged": 10}}},
	} {
		if got := standStatus(match, row.have); fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", row.want) {
			t.Errorf("%s: %+v, want %+v", row.name, got, row.want)
		}
	}
}
