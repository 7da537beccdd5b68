package nft

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/nftables"

	"understudy/nat"
)

func filtered() nat.Config {
	c := config()
	c.Sessions = true
	c.Events = &nat.Events{
		Never: []nat.Calls{{First: nat.UDP, Last: nat.UDP, Ports: nat.Ports{First: 53, Last: 53}}, {First: 47, Last: 58, Ports: nat.Ports{First: 0, Last: 65535}}},
		Late:  []nat.Calls{{First: nat.UDP, Last: nat.UDP, Ports: nat.Ports{First: 123, Last: 4000}}},
	}
	return c
}

// TestEventChainsComeAndGo: applied twice nothing is to be done, gates and counters
// stay as they are, and what is switched off is gone.
func TestEventChainsComeAndGo(t *testing.T) {
	l := active(t)
	l.client.send(stray())
	before := l.counters()
	plain := l.dump()
	l.apply(filtered())
	l.unchanged("again", l.apply(filtered()))
	s := l.state()
	for name, hook := range map[string]nftables.ChainHook{chainEvents: *nftables.ChainHookForward, chainEventsIn: *nftables.ChainHookInput, chainEventsOut: *nftables.ChainHookOutput} {
		if ch := s.chains[name]; ch == nil || ch.Hooknum == nil || *ch.Hooknum != hook || *ch.Priority != priorityEvents {
			t.Errorf("chain %s: %+v", name, ch)
		}
	}
	if n, k := len(s.elements[setNever]), len(s.elements[setLate]); n != 2 || k != 1 {
		t.Errorf("%d and %d elements", n, k)
	}
	with := l.dump()
	l.on(func(c *nftables.Conn) { c.FlushChain(&nftables.Chain{Table: ourTable(), Name: chainEvents}) })
	l.apply(filtered())
	if diff := cmp.Diff(with, l.dump()); diff != "" {
		t.Errorf("after a repair (-want +got):\n%s", diff)
	}
	c := filtered()
	c.Events.Early = true
	l.apply(c)
	l.unchanged("early, again", l.apply(c))
	if s := l.state(); len(s.rules[chainEvents]) != 2 || s.sets[setLate] != nil {
		t.Errorf("early: %d rules, %v", len(s.rules[chainEvents]), s.sets[setLate])
	}
	c.Events = nil
	l.apply(c)
	c.Sessions = false
	l.apply(c)
	if diff := cmp.Diff(plain, l.dump()); diff != "" {
		t.Errorf("switched off (-want +got):\n%s", diff)
	}
	if after := l.counters(); after != before {
		t.Errorf("counters %+v, were %+v", after, before)
	}
}
