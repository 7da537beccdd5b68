package replica_test

import (
	"testing"
)

// Case 57: the rules of both machines are loaded anew, all at once, as `nft -f` does
// with a file that begins with flush ruleset; flows, and what the standby has of
// them, go on.
func TestCase57RulesLoadedAnew(t *testing.T) {
	g := newGateways(t, natRules)
	g.runs()
	serve(t, g.server, "udp", serverIP+":53")
	c, s := g.connected(443)
	down := stream(s, c)
	udp := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(udp, "before"))
	must(t, down.more(1<<18))
	g.b.hot(1, called(6, 443))
	has := g.b.hot(1, called(17, 53))[0]
	for range 10 {
		for _, b := range []*box{g.a, g.b} {
			b.nft("flush ruleset\n" + natRules)
		}
		must(t, down.more(1<<18))
		must(t, talk(udp, "between"))
	}
	if now := g.b.hot(1, called(17, 53))[0]; now.Record.Key != has.Key || !now.SameBinding(&has.Record) {
		t.Errorf("it was %s and is %s", has.String(), now.String())
	}
	fresh := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(fresh, "after"))
	g.b.hot(2, called(17, 53))
	if c := g.b.engine.Status().Counters; c.Reinstalled != 0 || c.Removed != 0 {
		t.Errorf("%+v", c)
	}
	g.b.nothingNew()
	g.dies()
	must(t, down.more(1<<18))
	must(t, down.end())
	must(t, talk(udp, "with the other"))
	must(t, talk(fresh, "with the other"))
}

// Case 58: what the interfaces are called is each node's own affair.
func TestCase58OtherInterfaceNames(t *testing.T) {
	g := newGatewaysOn(t, natRules, [2][2]string{{"lan0", "wan0"}, {"enp3s0f1", "uplink.7"}})
	g.runs()
	g.b.nothingNew()
	serve(t, g.server, "udp", serverIP+":53")
	serve(t, g.client, "tcp", clientIP+":80")
	c, s := g.connected(443)
	must(t, talkTo(c, s, "out"))
	udp := dialFrom(t, g.client, "udp", serverIP+":53")
	must(t, talk(udp, "out"))
	in := dialFrom(t, g.server, "tcp", "203.0.113.1:8080")
	must(t, talk(in, "in"))
	g.b.hot(3, func(*sessionView) bool { return true })
	g.dies()
	if err := talkTo(c, s, "and on"); err != nil {
		t.Error(err)
	}
	if err := talk(udp, "and on"); err != nil {
		t.Error(err)
	}
	if err := talk(in, "and on"); err != nil {
		t.Error(err)
	}
}
