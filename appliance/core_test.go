package appliance

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"

	"understudy/appliance/identity"
	"understudy/health"
	"understudy/vrrp"
)

// TestCore runs the transcripts in testdata/core: a command is an event (or the
// passing of time), the answer is everything Core wants done about it. Rewrite
// them with -rewrite and read the diff.
//
//	node groups=gateway[,other] [sessions]      a fresh Core
//	  track=uplink:-50,web,interface:up0:-20    … whose groups track checks and interfaces
//	  notify [prepare=1s]                       … and have programs told, and wait for some
//	check uplink up|down [value=3]              a check says so
//	link up0 up|down                            an interface is so
//	bond bond0 up|down|unknown [lost=1]         a bond is so (track=bond:bond0:-20)
//	  static=10.9.0.5/24                        … with an address that does not move (of node, reload)
//	  guard=uplink                              … with a check of the common neighbour (of node, reload)
//	guarded split-brain=(gateway,2s,detail) …   all that the guard finds: alarm, group, since when, what
//	reclaimed gateway                           another node was active too
//	prepared gateway term=4                     the programs that activation waits for have ended
//	attached gateway=backup:3[:leaving]         the election's view, state:term
//	transition gateway active term=4 [leaving]
//	applied [fail=gateway] [restored=gateway]   the lane answers the latest Hold
//	  [waiting=gateway] [put-back=gateway]      … a route waits for its link, something was put back
//	  [static]                                  … something static could not be done
//	applied stale                               … an old one
//	synced [connected] [insync] [covered] [incomplete] [lag=2s]
//	claimed gateway on|off                      a peer says that it is Active too
//	advance 5s                                  time passes, ticks included
//	failover [gateway] [force] · drained gateway [err] · stop · drift · fenced gateway
//	election-lost [resume=gateway] · term gateway 9 · reload groups=… · alarms
func TestCore(t *testing.T) {
	datadriven.Walk(t, "testdata/core", func(t *testing.T, path string) {
		s := &script{}
		datadriven.RunTest(t, path, s.run)
	})
}

type script struct {
	core *Core
	now  time.Time
	gen  uint64
}

func (s *script) run(t *testing.T, d *datadriven.TestData) string {
	t.Helper()
	arg := func(key string) string {
		var v string
		if d.HasArg(key) {
			d.ScanArgs(t, key, &v)
		}
		return v
	}
	first := ""
	if len(d.CmdArgs) > 0 {
		first = d.CmdArgs[0].Key
	}
	switch d.Cmd {
	case "node":
		s.now = time.Unix(0, 0)
		cfg := testConfig(arg("groups"), d.HasArg("sessions"), arg("track"))
		notifies(&cfg, d.HasArg("notify"), arg("prepare"))
		cfg.GuardCheck = arg("guard")
		cfg.Static = testStatic(arg("static"))
		s.core = NewCore(s.now, cfg)
		return ""
	case "attached":
		var ev Attached
		for _, a := range d.CmdArgs {
			state, term, _ := strings.Cut(a.Vals[0], ":")
			term, leaving := strings.CutSuffix(term, ":leaving")
			g := GroupState{Group: a.Key, Leaving: leaving}
			g.State.UnmarshalText([]byte(state))
			fmt.Sscan(term, &g.Term)
			ev.Groups = append(ev.Groups, g)
		}
		return s.step(ev)
	case "transition":
		ev := Transition{Cause: "test"}
		if d.HasArg("cause") {
			ev.Cause = arg("cause")
		}
		ev.Group, ev.Leaving = first, d.HasArg("leaving")
		if err := ev.State.UnmarshalText([]byte(d.CmdArgs[1].Key)); err != nil {
			t.Fatal(err)
		}
		fmt.Sscan(arg("term"), &ev.Term)
		return s.step(ev)
	case "applied":
		ev := Applied{Gen: s.gen}
		if d.HasArg("stale") {
			ev.Gen--
		}
		if g := arg("fail"); g != "" {
			ev.Failed = map[string]error{g: errors.New("no such device")}
		}
		if g := arg("restored"); g != "" {
			ev.Restored = []string{g}
		}
		if g := arg("waiting"); g != "" {
			ev.Waiting = map[string]string{g: "route 192.0.2.0/24 dev far0: interface far0 is down"}
		}
		if g := arg("refused"); g != "" {
			ev.Refused = map[string]string{strings.TrimPrefix(g, "static"): "route 10.8.0.0/16 src 10.9.9.9: invalid argument"}
		}
		if g := arg("put-back"); g != "" {
			ev.PutBack = map[string]int{g: 2}
		}
		if d.HasArg("static") {
			ev.Static = errors.New("network is unreachable")
		}
		return s.step(ev)
	case "put-back":
		return fmt.Sprintln(s.core.PutBack(first))
	case "synced":
		ev := Synced{Connected: d.HasArg("connected"), InSync: d.HasArg("insync"), Covered: d.HasArg("covered"), Incomplete: d.HasArg("incomplete")}
		ev.Lag, _ = time.ParseDuration(arg("lag"))
		return s.step(ev)
	case "claimed":
		return s.step(Claimed{Group: first, On: d.CmdArgs[1].Key == "on"})
	case "advance":
		by, err := time.ParseDuration(first)
		if err != nil {
			t.Fatal(err)
		}
		return s.advance(by)
	case "failover":
		ev := Failover{ID: 1, Force: d.HasArg("force")}
		if first != "force" {
			ev.Group = first
		}
		return s.step(ev)
	case "drained":
		ev := Drained{Group: first}
		if d.HasArg("err") {
			ev.Err = errors.New("42 sessions are still under way")
		}
		return s.step(ev)
	case "term":
		ev := TermHeard{Group: first}
		fmt.Sscan(d.CmdArgs[1].Key, &ev.Term)
		return s.step(ev)
	case "reload":
		cfg := testConfig(arg("groups"), d.HasArg("sessions"), arg("track"))
		notifies(&cfg, d.HasArg("notify"), arg("prepare"))
		cfg.GuardCheck = arg("guard")
		cfg.Static = testStatic(arg("static"))
		return s.step(Reloaded{Config: cfg})
	case "prepared":
		ev := Prepared{Group: first}
		fmt.Sscan(arg("term"), &ev.Term)
		return s.step(ev)
	case "guarded":
		var ev Guarded
		for _, a := range d.CmdArgs {
			since, _ := time.ParseDuration(a.Vals[1])
			ev.Findings = append(ev.Findings, Finding{Alarm: a.Key, Group: a.Vals[0], Since: time.Unix(0, 0).Add(since), Detail: a.Vals[2]})
		}
		return s.step(ev)
	case "reclaimed":
		return s.step(Reclaimed{Group: first})
	case "check":
		ev := CheckChanged{Name: first}
		fmt.Sscan(arg("value"), &ev.Value)
		switch d.CmdArgs[1].Key {
		case "up":
			ev.State = health.Up
		case "down":
			ev.State, ev.Why = health.Down, "no answer"
		}
		return s.step(ev)
	case "link":
		return s.step(LinkChanged{Name: first, Up: d.CmdArgs[1].Key == "up"})
	case "bond":
		ev := BondChanged{Name: first}
		fmt.Sscan(arg("lost"), &ev.Lost)
		ev.State = map[string]health.State{"up": health.Up, "down": health.Down}[d.CmdArgs[1].Key]
		if ev.Lost > 0 {
			ev.Why = "eth1 link_down"
		}
		return s.step(ev)
	case "tracked":
		return s.core.Tracked(first) + "\n"
	case "election-lost":
		var ev ElectionLost
		if g := arg("resume"); g != "" {
			ev.Resume = []GroupState{{Group: g, State: vrrp.Active, Term: 5}}
		}
		return s.step(ev)
	case "fenced":
		return s.step(Fenced{Group: first})
	case "drift":
		return s.step(Drifted{Why: "test"})
	case "stop":
		return s.step(Stop{})
	case "alarms":
		var b strings.Builder
		for _, a := range s.core.Alarms() {
			fmt.Fprintf(&b, "%s since %s: %s\n", a.Name, a.Since.Sub(time.Unix(0, 0)), a.Detail)
		}
		return b.String()
	}
	t.Fatalf("unknown command %q", d.Cmd)
	return ""
}

// advance ticks Core at each of its deadlines on the way.
func (s *script) advance(by time.Duration) string {
	var b strings.Builder
	end := s.now.Add(by)
	for {
		d := s.core.Deadline()
		if d.IsZero() || d.After(end) {
			break
		}
		s.now = d
		if out := s.step(Tick{}); out != "" {
			fmt.Fprintf(&b, "at %s\n%s", s.now.Sub(time.Unix(0, 0)), out)
		}
		if s.core.Deadline().Equal(d) {
			b.WriteString("a deadline that a tick does not clear\n")
			break
		}
	}
	s.now = end
	return b.String()
}

func (s *script) step(ev Event) string {
	var b strings.Builder
	for _, a := range s.core.Step(s.now, ev) {
		if h, ok := a.(Hold); ok {
			s.gen = h.Want.Gen
			fmt.Fprintf(&b, "hold %s", h.Want)
			continue
		}
		fmt.Fprintf(&b, "%s\n", strings.TrimPrefix(fmt.Sprintf("%T%+v", a, a), "appliance."))
	}
	return b.String()
}

// testTracks reads track=: what begins with "interface:" is one, "value:" begins
// the name of a check that measures.
func testTracks(cfg *Config, list string) (out []health.Track) {
	for item := range strings.SplitSeq(list, ",") {
		if item == "" {
			continue
		}
		tr := health.Track{}
		sc := health.SourceConfig{}
		if name, ok := strings.CutPrefix(item, "interface:"); ok {
			item, sc.Kind, sc.Grace = name, health.KindInterface, time.Second
		}
		if name, ok := strings.CutPrefix(item, "bond:"); ok {
			item, sc.Kind, sc.Counts, sc.UpAfter = name, health.KindBond, true, time.Second
		}
		if name, ok := strings.CutPrefix(item, "value:"); ok {
			item, sc.Measures = name, true
		}
		name, weight, _ := strings.Cut(item, ":")
		fmt.Sscan(weight, &tr.Weight)
		sc.Name = name
		tr.Source = sc.Source
		cfg.Health.Sources = append(cfg.Health.Sources, sc)
		out = append(out, tr)
	}
	return out
}

// notifies has programs told in every group.
func notifies(cfg *Config, on bool, prepare string) {
	d, _ := time.ParseDuration(prepare)
	for i := range cfg.Groups {
		cfg.Groups[i].Notifies, cfg.Groups[i].Prepare = on || d > 0, d
	}
}

func testConfig(groups string, sessions bool, track string) Config {
	cfg := Config{Node: "gw1", Sessions: sessions, Unknown: UnknownReset, WordBound: 2 * time.Second}
	tracks := testTracks(&cfg, track)
	for i, name := range strings.Split(groups, ",") {
		// A "+" asks for one more address, so that a reload can add one.
		bare := strings.TrimSuffix(name, "+")
		addrs := []identity.Address{{Interface: "lan0", Prefix: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.1/24", i))}}
		if bare != name {
			addrs = append(addrs, identity.Address{Interface: "lan0", Prefix: netip.MustParsePrefix(fmt.Sprintf("10.0.%d.2/24", i))})
		}
		cfg.Groups = append(cfg.Groups, GroupConfig{Name: bare, Identity: identity.New(addrs...)})
		cfg.Health.Groups = append(cfg.Health.Groups, health.GroupConfig{Name: bare,
			Routers: []health.RouterConfig{{Name: bare, Priority: 200, Track: tracks}}})
	}
	return cfg
}

// testStatic is an address that does not move, and a route to behind it.
func testStatic(address string) identity.Identity {
	if address == "" {
		return identity.Identity{}
	}
	return identity.New(identity.Address{Interface: "lan0", Prefix: netip.MustParsePrefix(address)}).
		WithRoutes(identity.Route{To: netip.MustParsePrefix("192.0.2.0/24"), Hops: []identity.Hop{{Interface: "lan0"}}})
}

// Of thousands of checks that are down the alarm names some.
func TestAlarmNamesSomeOfManyChecks(t *testing.T) {
	cfg := testConfig("a", false, "")
	for i := range 25 {
		cfg.Health.Sources = append(cfg.Health.Sources, health.SourceConfig{Source: health.Source{Kind: health.KindCheck, Name: fmt.Sprintf("c%02d", i)}})
	}
	c := NewCore(time.Unix(0, 0), cfg)
	for _, s := range cfg.Health.Sources {
		c.Step(time.Unix(1, 0), CheckChanged{Name: s.Name, State: health.Down, Why: "x"})
	}
	if a := c.Alarms(); len(a) != 1 || strings.Count(a[0].Detail, ": x") != 20 || !strings.HasSuffix(a[0].Detail, "c19: x; 5 more") {
		t.Errorf("%+v", a)
	}
}

// TestCoreTotal gives every event to a Core in every state it can reach in a few
// steps: none may panic, and an address is wanted only where the group is Active.
func TestCoreTotal(t *testing.T) {
	events := []Event{
		Tick{}, Attached{}, Attached{Groups: []GroupState{{Group: "a", State: vrrp.Active, Term: 2}}},
		Transition{GroupState: GroupState{Group: "a", State: vrrp.Active, Term: 3}},
		Transition{GroupState: GroupState{Group: "a", State: vrrp.Active, Term: 3, Leaving: true}},
		Transition{GroupState: GroupState{Group: "a", State: vrrp.Backup, Term: 3}},
		Transition{GroupState: GroupState{Group: "a", State: vrrp.Fault, Term: 3}},
		Transition{GroupState: GroupState{Group: "unheard-of", State: vrrp.Active}},
		Fenced{Group: "a"}, ElectionLost{}, ElectionLost{Resume: []GroupState{{Group: "a", State: vrrp.Active, Term: 2}}}, Applied{Gen: 1}, Applied{Gen: 2, Failed: map[string]error{"a": errors.New("x")}},
		Synced{}, Synced{Connected: true, InSync: true}, Synced{Connected: true, InSync: true, Incomplete: true}, TermHeard{Group: "a", Term: 9}, TermHeard{Group: "nobody"}, Drifted{},
		Drained{Group: "a"}, Drained{Group: "a", Err: errors.New("x")}, Drained{Group: "nobody"}, Failover{ID: 1}, Failover{ID: 2, Group: "nobody"},
		Prepared{Group: "a", Term: 3}, Prepared{Group: "nobody"},
		CheckChanged{Name: "uplink", State: health.Down, Why: "x"}, CheckChanged{Name: "web", State: health.Down}, CheckChanged{Name: "web", State: health.Up},
		CheckChanged{Name: "nobody", State: health.Down}, LinkChanged{Name: "up0"}, LinkChanged{Name: "up0", Up: true},
		BondChanged{Name: "bond0", State: health.Down, Lost: 2}, BondChanged{Name: "bond0", State: health.Up, Lost: 1}, BondChanged{Name: "nobody"},
		Guarded{}, Guarded{Findings: []Finding{{Alarm: AlarmSplitBrain, Group: "a"}, {Alarm: "nothing"}}}, Reclaimed{Group: "a"}, Reclaimed{Group: "nobody"},
		Reloaded{Config: testConfig("b", true, "uplink")}, Stop{},
	}
	steps := 0
	var walk func(path []Event, depth int)
	walk = func(path []Event, depth int) {
		for _, ev := range events {
			cfg := testConfig("a,b", true, "uplink:-50,web,interface:up0:-20,bond:bond0:-10")
			notifies(&cfg, true, "3s")
			c := NewCore(time.Unix(0, 0), cfg)
			now := time.Unix(0, 0)
			for _, e := range append(path, ev) {
				now = now.Add(time.Second)
				for _, a := range c.Step(now, e) {
					steps++
					if h, ok := a.(Hold); ok {
						for _, g := range h.Want.Groups {
							if len(g.Identity.Addresses) > 0 != g.Active {
								t.Fatalf("after %+v: group %s active=%t wants %v", path, g.Name, g.Active, g.Identity)
							}
						}
					}
				}
			}
			if depth > 0 {
				walk(append(path[:len(path):len(path)], ev), depth-1)
			}
		}
	}
	walk(nil, 2)
	if steps == 0 {
		t.Fatal("nothing happened")
	}
}
