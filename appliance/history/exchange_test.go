package history_test

import (
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/vrrp"
)

// A standby whose election is exchanged is a standby as before: that is no change of its
// state. It is one when the next election finds it to be something else, and when an
// election dies of itself.
func TestExchangedElectionOfAStandby(t *testing.T) {
	changes := func(s *script) (n int) { return len(s.Log.Events(history.Query{Kind: history.Transition})) }
	exchange := func() *script {
		s := newScript(t)
		s.backup()
		s.Note(s.now, history.Event{Kind: history.Operator, Cause: history.OrderUpgradeElection})
		s.at(2*time.Second, appliance.ElectionLost{})
		s.at(2*time.Second, appliance.Attached{Groups: []appliance.GroupState{state(vrrp.Initialize, 0)}})
		return s
	}
	s := exchange()
	was := changes(s)
	s.at(3*time.Second, appliance.Transition{GroupState: state(vrrp.Backup, 0), Cause: "startup"})
	if n := changes(s); n != was || was != 1 {
		t.Errorf("%d changes of state, %d before: %q", n, was, s.texts())
	}
	s.at(time.Minute, appliance.ElectionLost{}) // nobody asked for that
	if n := changes(s); n != was+1 {
		t.Errorf("the death of an election is no change of state: %q", s.texts())
	}

	s = exchange()
	s.at(3*time.Second, appliance.Transition{GroupState: state(vrrp.Fault, 0), Cause: "interface lan0 is down"})
	if got := s.Log.Events(history.Query{Kind: history.Transition, Last: 1})[0]; got.From != "backup" || got.To != "fault" {
		t.Errorf("it is %+v", got)
	}
}
