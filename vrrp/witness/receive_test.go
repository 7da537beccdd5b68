package witness

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"

	"understudy/vrrp"
)

// What is wrong with who says it, to whom and when is a counted reason, and nothing else comes of it.
func TestReceiveRefuses(t *testing.T) {
	p, a, b := settled(t, ModeAlarm, nil)
	last := b.sent[len(b.sent)-1]
	craft := func(from, to string, secret int) []byte {
		h := Beat{From: []byte(from), To: []byte(to), Incarnation: 99, Sequence: 1, EchoOf: a.guard.incarnation, Echo: a.guard.peers[0].sequence, Interval: beatEvery}
		h.Groups = []Group{{Name: []byte("gw"), State: vrrp.Active, Term: 1}}
		return Append(nil, &h, testKey(t, secret, from))
	}
	said := a.guard.Snapshot(p.now).Peers[0].Groups
	for _, tt := range []struct {
		name string
		b    []byte
		want Reason
		ours bool // counted for the peer
	}{
		{"our own, reflected", a.sent[len(a.sent)-1], ReasonOwn, false},
		{"somebody with our name", craft("a", "a", 0), ReasonOwn, false},
		{"a stranger with the secret", craft("c", "a", 0), ReasonStranger, false},
		{"for another node", craft("b", "c", 0), ReasonDestination, true},
		{"of another cluster", craft("b", "a", 1), ReasonCode, true},
		{"the last one again", last, ReasonReplay, true},
		{"an old one again", b.sent[len(b.sent)-5], ReasonReplay, true},
		{"noise", []byte("hello, world, this is not a heartbeat, but long enough to be one: here it ends"), ReasonVersion, false},
		{"nothing", nil, ReasonTruncated, false},
	} {
		count := func() uint64 {
			s := a.guard.Snapshot(p.now)
			if tt.ours {
				return s.Peers[0].Drops[tt.want.String()]
			}
			return s.Drops[tt.want.String()]
		}
		before := count()
		if got := a.receive(tt.b); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
		if count() != before+1 {
			t.Errorf("%s: not counted", tt.name)
		}
		if a.guard.Said() != 0 || !slices.EqualFunc(said, a.guard.Snapshot(p.now).Peers[0].Groups, func(x, y PeerGroup) bool { return fmt.Sprint(x) == fmt.Sprint(y) }) {
			t.Errorf("%s: it was believed", tt.name)
		}
	}
}

// A recording of a life that is over says nothing, even to one who has just started: it repeats no number of ours.
func TestRecordingsSayNothing(t *testing.T) {
	p, _, b := settled(t, ModeHold, func(_ int, c *vrrp.SetConfig) { c.HoldLimit = testLimit })
	recorded := slices.Clone(p.node[0].sent) // a was Active
	p.node[0] = nil
	p.run(time.Second)
	b.is(vrrp.Active, "a is gone")
	p.boot(1, ModeHold, func(_ int, c *vrrp.SetConfig) { c.HoldLimit = testLimit })
	b = p.node[1]
	for _, r := range recorded {
		p.run(40 * time.Millisecond)
		b.receive(r)
	}
	b.is(vrrp.Active, "nobody was there to wait for")
	if s := b.guard.Snapshot(p.now).Peers[0]; !s.Last.IsZero() || len(s.Groups) > 0 {
		t.Errorf("a recording was believed: %+v", s)
	}
}

// One that was held back on the way says what was so once, not what is.
func TestHeldBackSaysNothing(t *testing.T) {
	p, a, b := settled(t, ModeHold, func(_ int, c *vrrp.SetConfig) { c.HoldLimit = 20 * time.Second })
	p.mute[0] = true
	from := len(a.sent)
	p.deaf[1] = [2]bool{true, true}
	p.run(200 * time.Millisecond)
	kept := slices.Clone(a.sent[from:])
	p.node[0] = nil
	p.run(proofAge + beatEvery)
	b.is(vrrp.Active, "a is gone")
	for _, k := range kept {
		if r := b.receive(k); r != ReasonNone {
			t.Fatal(r)
		}
	}
	b.is(vrrp.Active, "it came too late")
	if b.guard.Said() != 0 {
		t.Error("it was believed")
	}
}

// Either end starts anew, and both believe each other again.
func TestRestarts(t *testing.T) {
	p, _, _ := settled(t, ModeAlarm, nil)
	for _, who := range []int{0, 1, 1, 0} {
		p.boot(who, ModeAlarm, nil)
		p.run(time.Second)
		for _, n := range p.node {
			s := n.guard.Snapshot(p.now).Peers[0]
			if p.now.Sub(s.Last) > 2*beatEvery || s.Drops[ReasonReplay.String()] > 0 {
				t.Fatalf("%s started anew, and %s knows %+v", testName(who), testName(n.id), s)
			}
		}
	}
}

// A recording of an earlier life does not make us answer it instead of the one that is there.
func TestRecordingDoesNotDistract(t *testing.T) {
	p, _, b := settled(t, ModeAlarm, nil)
	recorded := slices.Clone(p.node[0].sent[:3])
	p.boot(0, ModeAlarm, nil)
	p.run(time.Second)
	for range 20 {
		for _, r := range recorded {
			b.receive(r)
		}
		p.run(beatEvery)
		if s := p.node[0].guard.Snapshot(p.now).Peers[0]; p.now.Sub(s.Last) > 2*beatEvery {
			t.Fatalf("a believes nothing any more: %+v", s)
		}
	}
}

// While the secret is changed, one line after the other on each node, no heartbeat is lost.
func TestSecretIsChangedWithoutAGap(t *testing.T) {
	p, _, _ := settled(t, ModeAlarm, nil)
	config := func(i, first int, accepted ...int) {
		c := testConfig(t, i, ModeAlarm)
		c.Key = testKey(t, first, testName(i))
		c.Peers[0].Keys = nil
		for _, s := range accepted {
			c.Peers[0].Keys = append(c.Peers[0].Keys, testKey(t, s, testName(1-i)))
		}
		p.node[i].guard.Configure(c)
		p.run(500 * time.Millisecond)
	}
	config(0, 0, 0, 1)
	config(1, 0, 0, 1)
	config(0, 1, 1, 0)
	config(1, 1, 1, 0)
	config(0, 1, 1)
	config(1, 1, 1)
	for _, n := range p.node {
		if s := n.guard.Snapshot(p.now).Peers[0]; s.Drops[ReasonCode.String()] > 0 || p.now.Sub(s.Last) > beatEvery {
			t.Errorf("%s: %+v", testName(n.id), s)
		}
	}
	config(0, 0, 0)
	p.run(time.Second)
	if s := p.node[1].guard.Snapshot(p.now).Peers[0]; s.Drops[ReasonCode.String()] == 0 {
		t.Error("a secret that is no more is accepted")
	}
}

// With more routers than fit, heartbeats take turns, and everything is said.
func TestManyRouters(t *testing.T) {
	many := func(_ int, c *vrrp.SetConfig) {
		for k := range 300 {
			r := c.Routers[0]
			r.Name, r.VRID, r.Interface = fmt.Sprintf("r%d", k), uint8(1+k%255), fmt.Sprintf("ifc%d", k/255)
			r.Addresses = []netip.Addr{netip.AddrFrom4([4]byte{10, 9, byte(k >> 8), byte(k)})}
			c.Routers = append(c.Routers, r)
			if k < 200 {
				c.Groups[0].Routers = append(c.Groups[0].Routers, r.Name)
			}
		}
	}
	p := newPair(t, ModeAlarm, many)
	p.run(time.Second)
	for _, n := range p.node {
		for _, b := range n.sent {
			if len(b) > MaxSize {
				t.Fatalf("a heartbeat of %d bytes", len(b))
			}
		}
		for _, r := range n.took {
			if r != ReasonNone {
				t.Fatalf("refused: %v", r)
			}
		}
		s := n.guard.Snapshot(p.now).Peers[0]
		total := 0
		for _, g := range s.Groups {
			total += len(g.Routers)
		}
		if len(s.Groups) != 101 || total != 302 {
			t.Errorf("%s knows %d groups and %d routers", testName(n.id), len(s.Groups), total)
		}
		perRound := 0
		for to, more := 0, true; more; perRound++ {
			_, more = n.guard.Append(p.now, to, n.set, nil)
		}
		if perRound < 5 || perRound > 16 {
			t.Errorf("%d heartbeats to say everything", perRound)
		}
	}
}

// Over two paths each heartbeat comes twice, and not always in order: one counts, and
// the other is no replay; a recording still is.
func TestHeartbeatsOverTwoPaths(t *testing.T) {
	p, a, b := settled(t, ModeAlarm, nil)
	p.run(15 * time.Second)
	at := func() (s PeerStatus) { return a.guard.Snapshot(p.now).Peers[0] }
	last, before, old := b.sent[len(b.sent)-1], b.sent[len(b.sent)-3], b.sent[len(b.sent)-proofs-1]
	if got := a.receive(last); got != ReasonReplay {
		t.Errorf("one path, the last one again: %v", got)
	}
	a.guard.peers[0].Also = []netip.AddrPort{netip.MustParseAddrPort("10.0.0.3:7788")}
	was := at()
	for name, tt := range map[string]struct {
		b    []byte
		want Reason
	}{"the last one again": {last, ReasonDuplicate}, "one before it, late": {before, ReasonDuplicate}, "a recording": {old, ReasonReplay}} {
		if got := a.receive(tt.b); got != tt.want || a.guard.Said() != 0 {
			t.Errorf("%s: %v, says %d, want %v", name, got, a.guard.Said(), tt.want)
		}
	}
	now := at()
	if now.Received != was.Received || now.Drops["duplicate"] != was.Drops["duplicate"]+2 || now.Drops["replay"] != was.Drops["replay"]+1 {
		t.Errorf("%+v, were %+v", now, was)
	}
	p.run(time.Second)
	if n := at(); n.Received == now.Received || n.Unproven != now.Unproven {
		t.Errorf("it is not heard any more: %+v", n)
	}
}
