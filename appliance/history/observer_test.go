package history_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/health"
	"understudy/vrrp"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// script drives an observer; times are since noon.
type script struct {
	history.Observer
	t   *testing.T
	now time.Time
}

func newScript(t *testing.T) *script { return &script{t: t, now: noon} }

func (s *script) at(d time.Duration, ev appliance.Event, actions ...appliance.Action) []history.Event {
	s.now = noon.Add(d)
	return slices.Clone(s.Step(s.now, ev, actions))
}

// texts are the lines of all events.
func (s *script) texts() (out []string) {
	for _, e := range s.Log.Events(history.Query{}) {
		out = append(out, e.Line())
	}
	return out
}

func state(st vrrp.State, term uint64) appliance.GroupState {
	return appliance.GroupState{Group: "gateway", State: st, Term: term}
}

func hold(gen uint64, active bool) appliance.Hold {
	return appliance.Hold{Want: appliance.Want{Gen: gen, Groups: []appliance.GroupWant{{Name: "gateway", Active: active}}}}
}

func (s *script) backup() {
	s.at(0, appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Initialize, 0)}}, hold(1, false))
	s.at(time.Second, appliance.Transition{GroupState: state(vrrp.Backup, 0), Cause: "startup"})
	s.at(time.Second, appliance.Synced{Connected: true, InSync: true, Lag: 200 * time.Microsecond})
}

var rival = vrrp.Heard{Router: "lan", Family: 4, Priority: 100, Rival: netip.MustParseAddr("10.0.0.2"), RivalPriority: 200,
	Silence: 361 * time.Millisecond, Waits: 360 * time.Millisecond}

// A takeover says why, what was known, and how long each part took.
func TestWhyDidWeFailOver(t *testing.T) {
	s := newScript(t)
	s.backup()
	out := s.at(10*time.Second, appliance.Transition{GroupState: state(vrrp.Active, 5), Cause: "active-down", Late: 100 * time.Microsecond,
		Heard: []vrrp.Heard{rival, {Router: "wan", Family: 4, Priority: 100, Rival: netip.MustParseAddr("203.0.113.2"), RivalPriority: 200,
			Silence: 390 * time.Millisecond, Waits: 360 * time.Millisecond}}}, hold(2, true))
	if len(out) != 1 || !out[0].Open || out[0].From != "backup" || out[0].To != "active" || out[0].Term != 5 {
		t.Fatalf("the takeover begins as %+v", out)
	}
	if want := noon.Add(10*time.Second - 100*time.Microsecond); !out[0].At.Equal(want) {
		t.Errorf("it is at %v, want %v: when it was decided", out[0].At, want)
	}
	s.at(10*time.Second+5*time.Millisecond, appliance.Applied{Gen: 2, Took: appliance.Took{Sessions: 2 * time.Millisecond, Gate: time.Millisecond, Addresses: time.Millisecond}},
		appliance.Announce{Group: "gateway"})
	got := s.Log.Events(history.Query{Kind: history.Transition, Last: 1})[0]
	if got.Open || got.ID != out[0].ID || got.Rev <= out[0].Rev {
		t.Fatalf("it ends as %+v", got)
	}
	if want := "gateway is active, was backup: 10.0.0.2 (priority 200) was not heard any more (term 5)"; got.Line() != want {
		t.Errorf("it says\n%q, want\n%q", got.Line(), want)
	}
	var phases []string
	for _, p := range got.Phases {
		phases = append(phases, fmt.Sprintf("%s %.4f", p.Name, p.Seconds))
	}
	if want := []string{"detect 0.3610", "told 0.0001", "sessions 0.0020", "gate 0.0010", "addresses 0.0010", "announce 0.0010"}; !slices.Equal(phases, want) {
		t.Errorf("phases %v, want %v", phases, want)
	}
	if want := .3661; got.DurationSeconds < want-1e-9 || got.DurationSeconds > want+1e-9 {
		t.Errorf("took %v, want %v", got.DurationSeconds, want)
	}
	for _, want := range []string{"lan: last advert of 10.0.0.2 (priority 200) 361 ms before, own priority 100, takes over after 360 ms of silence",
		"sessions: in sync with the peer, 0.20 ms behind what it has to have"} {
		if !slices.Contains(got.Evidence, want) {
			t.Errorf("no evidence %q in %q", want, got.Evidence)
		}
	}
}

// What had happened before is evidence: a check that is down, an order, a weight.
func TestEvidence(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.at(2*time.Second, appliance.CheckChanged{Name: "uplink", State: health.Down, Why: "timeout"}, appliance.ElectWeight{Group: "gateway", Weight: -150})
	s.at(3*time.Second, appliance.Failover{ID: 1, Group: "gateway"})
	s.at(3*time.Second, appliance.Claimed{Group: "gateway", On: true})
	s.at(3*time.Second, appliance.Guarded{Findings: []appliance.Finding{{Alarm: "split-brain", Detail: "two of them"}}})
	s.at(4*time.Second, appliance.ElectionLost{})
	got := s.Log.Events(history.Query{Kind: history.Transition, Last: 1})[0]
	if got.To != "initialize" || got.Cause != appliance.CauseElectionLost {
		t.Fatalf("got %+v", got)
	}
	s.at(5*time.Second, appliance.Transition{GroupState: state(vrrp.Backup, 0), Cause: "startup"})
	got = s.Log.Events(history.Query{Kind: history.Transition, Last: 1})[0]
	for _, want := range []string{"check uplink was down for 3.0 s: timeout", "priorities moved by -150 for what is tracked",
		"an operator had asked for failover 2.0 s before", "a peer said by its session link that it is active", "split-brain: two of them"} {
		if !slices.Contains(got.Evidence, want) {
			t.Errorf("no evidence %q in %q", want, got.Evidence)
		}
	}
}

// Why a group became Active, by what was heard.
func TestReasons(t *testing.T) {
	with := func(priority uint8, silence time.Duration) []vrrp.Heard {
		h := rival
		h.RivalPriority, h.Silence = priority, silence
		return []vrrp.Heard{h}
	}
	for _, row := range []struct {
		name, cause string
		to          vrrp.State
		heard       []vrrp.Heard
		want        string
		detect      bool
	}{
		{"died", "active-down", vrrp.Active, with(200, 361*time.Millisecond), "10.0.0.2 (priority 200) was not heard any more", true},
		{"died, of lower priority", "active-down", vrrp.Active, with(50, 359*time.Millisecond), "10.0.0.2 (priority 50) was not heard any more", true},
		{"gave up", "active-down", vrrp.Active, with(0, 60*time.Millisecond), "10.0.0.2 has given it up", false},
		{"preempted", "active-down", vrrp.Active, with(50, 60*time.Millisecond), "10.0.0.2 is active with priority 50, this node has 100", false},
		{"alone", "active-down", vrrp.Active, []vrrp.Heard{{Router: "lan"}}, "nobody else is active", false},
		{"long gone", "active-down", vrrp.Active, with(200, time.Hour), "nobody else is active", false},
		{"nothing said", "active-down", vrrp.Active, nil, "nobody else is active", false},
		{"outranked", "better-active", vrrp.Backup, with(200, 0), "10.0.0.2 is active with priority 200, this node has 100", false},
		{"a link", "link lan0 down", vrrp.Fault, nil, "link lan0 down", false},
		{"unknown word", "of-a-later-version", vrrp.Fault, nil, "of-a-later-version", false},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := newScript(t)
			s.at(0, appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Initialize, 0)}})
			out := s.at(time.Minute, appliance.Transition{GroupState: state(row.to, 1), Cause: row.cause, Heard: row.heard})
			if len(out) != 1 || !strings.HasSuffix(out[0].Text, ": "+row.want) {
				t.Fatalf("got %+v, want %q", out, row.want)
			}
			if got := len(out[0].Phases) > 0; got != row.detect {
				t.Errorf("phases %v, want any: %v", out[0].Phases, row.detect)
			}
		})
	}
}

// Every cause that package vrrp knows has words.
func TestEveryCauseHasWords(t *testing.T) {
	for _, c := range []vrrp.Cause{vrrp.CauseStartup, vrrp.CauseOwner, vrrp.CauseActiveDown, vrrp.CauseBetterActive, vrrp.CauseYield, vrrp.CauseHandOver, vrrp.CauseSuccessor,
		vrrp.CauseNoSuccessor, vrrp.CauseResume, vrrp.CauseRepaired, vrrp.CauseShutdown, vrrp.CauseReconfigure, vrrp.CauseTerm, vrrp.CauseHeld, vrrp.CauseWitness,
		appliance.CauseAttached, appliance.CauseElectionLost, appliance.CauseFenced} {
		if got := appliance.CauseText(string(c)); got == string(c) || got == "" {
			t.Errorf("%q has none: %q", c, got)
		}
	}
}

// The whole of a day, as it is read in the evening.
func TestStory(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.at(2*time.Second, appliance.Transition{GroupState: state(vrrp.Active, 1), Cause: "active-down", Heard: []vrrp.Heard{rival}}, hold(2, true), appliance.Prepare{})
	s.at(3*time.Second, appliance.Prepared{Group: "gateway"}, hold(3, true))
	s.at(3*time.Second, appliance.Applied{Gen: 3}, appliance.Announce{Group: "gateway"})
	s.at(4*time.Second, appliance.LinkChanged{Name: "wan0", Up: true}) // no news
	s.at(4*time.Second, appliance.LinkChanged{Name: "wan0", Up: false})
	s.at(5*time.Second, appliance.CheckChanged{Name: "uplink", State: health.Up}) // no news
	s.at(5*time.Second, appliance.BondChanged{Name: "bond0", State: health.Down, Why: "no member"})
	s.at(6*time.Second, appliance.Drifted{Why: "address lost"})
	s.at(7*time.Second, appliance.Drifted{Why: "address lost"})
	s.at(8*time.Second, appliance.Applied{Gen: 4, PutBack: map[string]int{"gateway": 2}})
	s.at(9*time.Second, appliance.Transition{GroupState: appliance.GroupState{Group: "gateway", State: vrrp.Active, Term: 1, Leaving: true}, Cause: "hand-over"})
	s.at(10*time.Second, appliance.Transition{GroupState: state(vrrp.Backup, 1), Cause: "successor"}, hold(5, false))
	s.at(10*time.Second+8*time.Millisecond, appliance.Applied{Gen: 5})
	s.at(11*time.Second, appliance.Synced{})
	s.at(12*time.Second, appliance.Failover{ID: 2}, appliance.Reply{ID: 2, Err: errors.New("no group is active here")})
	want := []string{
		"gateway is backup, was initialize: this node takes part",
		"a peer is connected, every session of it is here",
		"gateway is active, was backup: 10.0.0.2 (priority 200) was not heard any more (term 1)",
		"link wan0 is down, was up for 0.00 ms",
		"bond bond0 is down: no member",
		"the kernel differs from what was asked for: address lost (2 times)",
		"gateway: 2 addresses, routes or rules that somebody had removed were put back",
		"gateway is being left, and served on meanwhile: it is handed over (term 1)",
		"gateway is backup, was active: the node that it was handed to is active",
		"no peer is connected any more: a crash now loses every session",
		"a hand-over of all groups was asked for",
		"refused: no group is active here",
	}
	if got := s.texts(); !slices.Equal(got, want) {
		t.Errorf("the story is\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	all := s.Log.Events(history.Query{Kind: history.Transition})
	prepared, given := all[1], all[3]
	if len(prepared.Phases) == 0 || prepared.Phases[1] != (history.Phase{Name: "prepare", Seconds: 1}) {
		t.Errorf("phases of an activation that waits for programs: %v", prepared.Phases)
	}
	if len(given.Phases) != 1 || given.Phases[0] != (history.Phase{Name: "remove", Seconds: .008}) || given.Open {
		t.Errorf("giving up: %+v", given)
	}
}

// A takeover that the kernel refuses, and one that is over before it was done, say so.
func TestTakeoverThatFails(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.at(2*time.Second, appliance.Transition{GroupState: state(vrrp.Active, 1), Cause: "active-down"}, hold(2, true))
	s.at(3*time.Second, appliance.Applied{Gen: 2, Failed: map[string]error{"gateway": errors.New("no such device")}})
	s.at(4*time.Second, appliance.Transition{GroupState: state(vrrp.Fault, 1), Cause: "apply-failed"}, hold(3, false))
	s.at(5*time.Second, appliance.Transition{GroupState: state(vrrp.Backup, 1), Cause: "repaired"})
	all := s.Log.Events(history.Query{Kind: history.Transition})
	if e := all[1]; e.Open || !slices.Contains(e.Evidence, "the kernel refused it: no such device") {
		t.Errorf("refused: %+v", e)
	}
	if e := all[2]; e.Open || !slices.Contains(e.Evidence, "it did not last until this was done") {
		t.Errorf("cut short: %+v", e)
	}
}

// A daemon that comes to an election under way tells what its predecessor did not see,
// and only that.
func TestOverARestart(t *testing.T) {
	s := newScript(t)
	s.backup()
	before := s.Log.Events(history.Query{})
	next := newScript(t)
	next.Log.Restore(before)
	if out := next.at(20*time.Second, appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Backup, 0)}}); len(out) != 0 {
		t.Errorf("nothing had happened, and it says %+v", out)
	}
	third := newScript(t)
	third.Log.Restore(before)
	out := third.at(20*time.Second, appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Active, 7)}})
	if len(out) != 1 || out[0].From != "backup" || out[0].To != "active" || out[0].Cause != appliance.CauseAttached || out[0].ID != before[len(before)-1].ID+1 {
		t.Errorf("it had become active, and it says %+v", out)
	}
	booted := newScript(t)
	booted.Log.Restore(before)
	if out := booted.at(20*time.Second, appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Initialize, 0)}}); len(out) != 0 {
		t.Errorf("the box has booted, and it says %+v", out)
	}
}

// Alarms are noted when they come and go; what is down is told by the check.
func TestAlarms(t *testing.T) {
	var o history.Observer
	up := []appliance.Alarm{{Name: appliance.AlarmCheckDown, Since: noon}, {Name: appliance.AlarmNoPeer, Since: noon, Detail: "nobody"}}
	if out := o.Alarms(noon, up); len(out) != 1 || out[0].Text != "no-peer: nobody" || out[0].To != "raised" {
		t.Errorf("raised: %+v", out)
	}
	if out := o.Alarms(noon, up); len(out) != 0 {
		t.Errorf("the same again: %+v", out)
	}
	if out := o.Alarms(noon.Add(90*time.Second), nil); len(out) != 1 || out[0].Text != "no-peer: over after 1m30s" || out[0].To != "cleared" {
		t.Errorf("cleared: %+v", out)
	}
}

// However much happens, a bounded part of it is kept, and a check that flaps does not
// push out changes of state.
func TestBounded(t *testing.T) {
	s := newScript(t)
	s.backup()
	for i := range 5000 {
		st := health.Down
		if i%2 == 1 {
			st = health.Up
		}
		s.at(time.Duration(i)*time.Second, appliance.CheckChanged{Name: "uplink", State: st, Why: strings.Repeat("é", 400)})
	}
	all := s.Log.Events(history.Query{})
	if len(all) != 1+768 || all[0].Kind != history.Transition {
		t.Errorf("%d events are kept, the first of them %+v", len(all), all[0])
	}
	for _, e := range all {
		if len(e.Text) > 300 || strings.ContainsRune(e.Text, '\uFFFD') {
			t.Fatalf("a text of %d bytes: %q", len(e.Text), e.Text)
		}
	}
	for i := range 1000 {
		s.at(time.Hour+time.Duration(i)*time.Second, appliance.Transition{GroupState: state([]vrrp.State{vrrp.Fault, vrrp.Backup}[i%2], 0), Cause: "repaired"})
	}
	if got := s.Log.Events(history.Query{Kind: history.Transition}); len(got) != 256 {
		t.Errorf("%d changes of state are kept, want 256", len(got))
	}
	if got := s.Log.Events(history.Query{Last: 3}); len(got) != 3 || got[2].ID <= got[0].ID {
		t.Errorf("the last three: %+v", got)
	}
}

func TestQuery(t *testing.T) {
	var l history.Log
	for i, e := range []history.Event{{Group: "a"}, {Group: "b"}, {Kind: history.Operator}} {
		e.At = noon.Add(time.Duration(i) * time.Second)
		l.Append(e)
	}
	for _, row := range []struct {
		q    history.Query
		want []uint64
	}{
		{history.Query{}, []uint64{1, 2, 3}},
		{history.Query{Group: "a"}, []uint64{1, 3}}, // what is of no group may be of all
		{history.Query{Kind: history.Operator}, []uint64{3}},
		{history.Query{Since: noon.Add(time.Second)}, []uint64{2, 3}},
		{history.Query{After: 2}, []uint64{3}},
		{history.Query{Last: 1}, []uint64{3}},
		{history.Query{Since: noon.Add(time.Hour)}, nil},
	} {
		var got []uint64
		for _, e := range l.Events(row.q) {
			got = append(got, e.ID)
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("%+v: %v, want %v", row.q, got, row.want)
		}
	}
}

// The JSON of an event has every key, and arrays are there though they are empty.
func TestJSON(t *testing.T) {
	var l history.Log
	b, err := json.Marshal(l.Append(history.Event{At: noon}))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"id":1,"rev":1,"at":"2026-03-01T12:00:00Z","kind":"","group":"","subject":"","from":"","to":"","cause":"","term":0,"text":"","evidence":[],"phases":[],"duration_seconds":0}`
	if string(b) != want {
		t.Errorf("%s\nwant %s", b, want)
	}
}

// A takeover in whose middle the daemon died is there, and is not said to go on.
func TestOpenOverARestart(t *testing.T) {
	s := newScript(t)
	s.backup()
	s.at(2*time.Second, appliance.Transition{GroupState: state(vrrp.Active, 1), Cause: "active-down"}, hold(2, true))
	var l history.Log
	l.Restore(s.Log.Events(history.Query{}))
	e := l.Events(history.Query{Kind: history.Transition, Last: 1})[0]
	if e.To != "active" || e.Open || !slices.Contains(e.Evidence, "the daemon ended before this was done") {
		t.Errorf("after the restart it is %+v", e)
	}
}

// Once it is full, appending to the history makes no garbage.
func TestFullLogAllocatesNothing(t *testing.T) {
	var l history.Log
	e := history.Event{At: noon, Kind: history.Check, Text: "check uplink is down", Phases: []history.Phase{}}
	for range 1000 {
		l.Append(e)
	}
	if n := testing.AllocsPerRun(100, func() { l.Append(e) }); n > 0 {
		t.Errorf("%v allocations an event", n)
	}
}
