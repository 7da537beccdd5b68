package election

import (
	"net/netip"
	"testing"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
	"understudy/vrrp/witness"
)

// mate is the other end of the heartbeats: another node's guard, which does what
// the test says when the test says so.
type mate struct {
	t       *testing.T
	guard   *witness.Guard
	set     *vrrp.Set
	socket  *vrrpnet.Datagrams
	to      vrrpnet.Destination
	packet  []byte
	refused int
}

var ends = [2]netip.AddrPort{netip.MustParseAddrPort("10.0.0.2:7788"), netip.MustParseAddrPort("10.0.0.3:7788")}

// guardConfig is that of the node at end i of a cable: "n" at 0, "m" at 1.
func guardConfig(i int, mode witness.Mode) witness.Config {
	name := [2]string{"n", "m"}
	key := func(node string) witness.Key {
		k, err := witness.NewKey([]byte("0123456789abcdef0123456789abcdef"), node)
		if err != nil {
			panic(err)
		}
		return k
	}
	return witness.Config{Node: name[i], Mode: mode, Listen: ends[i], Key: key(name[i]),
		Peers: []witness.Peer{{Name: name[1-i], Address: ends[1-i], Keys: []witness.Key{key(name[1-i])}}}}
}

// newMate is a node at end 1 that is Active with priority 200, and of which no
// advert is ever heard.
func newMate(t *testing.T, c cable, mode witness.Mode) *mate {
	t.Helper()
	return newMateOf(t, c, mode, configOf(200))
}

func newMateOf(t *testing.T, c cable, mode witness.Mode, cfg vrrp.SetConfig) *mate {
	t.Helper()
	m := &mate{t: t, guard: witness.NewGuard(guardConfig(1, mode), 77), packet: make([]byte, 0, witness.MaxSize)}
	set, err := vrrp.NewSet(cfg)
	if err != nil {
		t.Fatal(err)
	}
	m.set = set
	long := time.Now().Add(-time.Minute)
	set.Step(long, vrrp.SetInput{Kind: vrrp.InLink, Interface: "lan0", Up: true, Primary: ends[1].Addr()})
	set.Step(long, vrrp.SetInput{Kind: vrrp.InStart})
	for set.Group(0).State != vrrp.Active {
		set.Step(set.Deadline(), vrrp.SetInput{Kind: vrrp.InTick})
	}
	m.guard.Layout(set)
	m.guard.SetNeighbour(witness.NeighbourUp)
	within(c[1], func() {
		m.socket, err = vrrpnet.OpenDatagrams(ends[1])
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.socket.Close)
	m.to, err = vrrpnet.NewDestination(ends[0])
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// beat reads what has come and sends a heartbeat.
func (m *mate) beat() {
	now := time.Now()
	for {
		b, at, ok := m.socket.Receive(now)
		if !ok {
			break
		}
		if m.guard.Receive(now, at, b) != witness.ReasonNone {
			m.refused++
		}
	}
	m.packet, _ = m.guard.Append(now, 0, m.set, m.packet[:0])
	if err := m.socket.Send(&m.to, m.packet); err != nil {
		m.t.Error(err)
	}
}

// comeBeside turns the loop beside a mate until a condition is met.
func (l *loop) comeBeside(m *mate, what string, is func() bool) {
	m.t.Helper()
	for end := time.Now().Add(soon); !is(); {
		if time.Now().After(end) {
			m.t.Errorf("never came: %s", what)
			return
		}
		l.beside(m, interval)
	}
}

// beside turns the loop while the mate beats as fast as the loop does.
func (l *loop) beside(m *mate, d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
		m.beat()
		l.turn()
	}
}

func holding(priority uint8, limit time.Duration) vrrp.SetConfig {
	cfg := configOf(priority)
	cfg.HoldLimit = limit
	return cfg
}

func TestHeartbeatsGoBothWays(t *testing.T) {
	c := newCable(t)
	m := newMate(t, c, witness.ModeAlarm)
	within(c[0], func() {
		l, say := loopHere(t, configOf(100))
		say(Guard{Config: guardConfig(0, witness.ModeAlarm)})
		say(Neighbour{State: witness.NeighbourUp})
		say(Ready{})
		say(Beat{})
		l.comeBeside(m, "a heartbeat each way", func() bool {
			s, o := l.snapshot(time.Now()).Guard.Peers[0], m.guard.Snapshot(time.Now()).Peers[0]
			return s.Received > 0 && len(s.Groups) == 1 && o.Received > 0 && len(o.Groups) == 1 && o.Neighbour == witness.NeighbourUp
		})
		s := l.snapshot(time.Now()).Guard.Peers[0]
		if s.Received == 0 || s.Unproven > 3 || time.Since(s.Last) > soon || len(s.Groups) != 1 || s.Groups[0].State != vrrp.Active {
			t.Errorf("we know %+v", s)
		}
		o := m.guard.Snapshot(time.Now()).Peers[0]
		if o.Received == 0 || len(o.Groups) != 1 || o.Groups[0].State == vrrp.Active || o.Neighbour != witness.NeighbourUp || m.refused > 0 {
			t.Errorf("it knows %+v, and refused %d", o, m.refused)
		}
		// Without a daemon nobody knows how the neighbour is.
		l.daemon.beat = l.now.Add(-l.opt.Watchdog)
		for end := time.Now().Add(soon); m.guard.Snapshot(time.Now()).Peers[0].Neighbour != witness.NeighbourUnknown && time.Now().Before(end); m.beat() {
			l.turnFor(interval)
		}
		if o := m.guard.Snapshot(time.Now()).Peers[0]; o.Neighbour != witness.NeighbourUnknown {
			t.Errorf("the neighbour is %v without a daemon", o.Neighbour)
		}
		// The same configuration again is no news, and one that is off ends it.
		socket := l.socket
		say(Guard{Config: guardConfig(0, witness.ModeAlarm)})
		if l.socket != socket {
			t.Error("the socket is another one")
		}
		say(Guard{Config: witness.Config{Mode: witness.ModeOff}})
		sent := l.guard.Snapshot(time.Now())
		if l.socket != nil || len(sent.Peers) > 0 {
			t.Errorf("off, and still %+v", sent)
		}
	})
}

// With hold the takeover waits while the mate vouches for itself; with alarm it
// does not.
func TestTakeoverIsHeld(t *testing.T) {
	const limit = time.Hour
	c := newCable(t)
	m := newMate(t, c, witness.ModeHold)
	for _, tt := range []struct {
		mode witness.Mode
		want vrrp.State
	}{{witness.ModeHold, vrrp.Backup}, {witness.ModeAlarm, vrrp.Active}} {
		within(c[0], func() {
			l, say := loopHere(t, holding(100, map[witness.Mode]time.Duration{witness.ModeHold: limit}[tt.mode]))
			say(Guard{Config: guardConfig(0, tt.mode)})
			say(Ready{})
			l.comeBeside(m, "the time to take over", func() bool {
				g := l.snapshot(time.Now()).Status.Groups[0]
				return g.State == vrrp.Active || g.Held
			})
			l.beside(m, 3*interval)
			if got := l.groups[0].state; got != tt.want {
				t.Errorf("%s: %v, want %v", tt.mode, got, tt.want)
			}
			if tt.mode == witness.ModeAlarm {
				return
			}
			if s := l.snapshot(time.Now()).Status.Groups[0]; !s.Held || s.HeldFor <= 0 {
				t.Errorf("status: %+v", s)
			}
			// It has died: two heartbeats and a skew, at most.
			l.come(t, "the role although the mate is gone", l.is(vrrp.Active))
		})
	}
}

// A process that slept reads its heartbeats before it believes its timer.
func TestSleeperReadsHeartbeatsFirst(t *testing.T) {
	c := newCable(t)
	m := newMateOf(t, c, witness.ModeHold, slow(200))
	within(c[0], func() {
		cfg := slow(100)
		cfg.HoldLimit = time.Hour
		l, say := loopHere(t, cfg)
		say(Guard{Config: guardConfig(0, witness.ModeHold)})
		say(Ready{})
		l.beside(m, 2*interval)
		at := l.set.Deadline()
		l.set.Step(l.now, vrrp.SetInput{Kind: vrrp.InVouch, Group: "gw"}) // what was said so far is forgotten
		for {
			m.beat()
			if time.Until(at) < -interval/2 {
				break
			}
			time.Sleep(interval / 4)
		}
		l.turn()
		if got := l.groups[0].state; got != vrrp.Backup || !l.set.Group(0).Held {
			t.Errorf("%v, held %v: the heartbeats lie in the socket", got, l.set.Group(0).Held)
		}
	})
}

// A port that somebody else has is tried again.
func TestHeartbeatSocketIsTriedAgain(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		other, err := vrrpnet.OpenDatagrams(ends[0])
		if err != nil {
			t.Error(err)
			return
		}
		l, say := loopHere(t, configOf(100))
		say(Guard{Config: guardConfig(0, witness.ModeAlarm)})
		if l.socket != nil || l.retry.IsZero() {
			t.Error("opened twice")
		}
		other.Close()
		l.retry = l.now
		say(Beat{})
		if l.socket == nil {
			t.Error("not opened")
		}
	})
}

// The daemon is told what is found, and when it is over; and to announce again.
func TestFindingsAreTold(t *testing.T) {
	c := newCable(t)
	m := newMate(t, c, witness.ModeAlarm)
	within(c[0], func() {
		l, say, told := loopTelling(t, configOf(201))
		say(Guard{Config: guardConfig(0, witness.ModeAlarm)})
		say(Ready{})
		var kinds []witness.Kind
		again := 0
		for n := 0; n < 20 && (len(kinds) == 0 || again == 0); n++ { // a busy machine may take some more
			l.beside(m, 10*interval)
			for _, m := range told() {
				switch m := m.(type) {
				case Found:
					for _, f := range m.Findings {
						kinds = append(kinds, f.Kind)
					}
				case Reclaim:
					again++
				}
			}
		}
		if len(kinds) == 0 || kinds[0] != witness.KindSplitBrain || again == 0 {
			t.Errorf("told %v, %d announcements", kinds, again)
		}
		m.set.Step(time.Now(), vrrp.SetInput{Kind: vrrp.InStop})
		over := false
		for n := 0; n < 20 && !over; n++ { // a busy machine may take some more
			l.beside(m, 5*interval)
			for _, m := range told() {
				f, ok := m.(Found)
				over = ok && len(f.Findings) == 0 || over && !ok
			}
		}
		if f := l.guard.Findings(); len(f) > 0 {
			t.Errorf("still %+v", f)
		}
		if !over {
			t.Error("the end was not told")
		}
	})
}

// What heartbeats allocate would stay, too.
func TestHeartbeatsAllocateNothing(t *testing.T) {
	c := newCable(t)
	m := newMate(t, c, witness.ModeHold)
	within(c[0], func() {
		l, say := loopHere(t, holding(100, 1000*interval))
		say(Guard{Config: guardConfig(0, witness.ModeHold)})
		say(Ready{})
		l.comeBeside(m, "the hold", func() bool { return l.set.Group(0).Held })
		l.beside(m, 8*interval) // until findings are found
		before := l.guard.Snapshot(time.Now()).Peers[0].Received
		if n := testing.AllocsPerRun(30, func() { m.beat(); l.turn() }); n > 0 {
			t.Errorf("%v allocations in a turn", n)
		}
		if s := l.guard.Snapshot(time.Now()).Peers[0]; s.Received < before+20 || l.groups[0].state != vrrp.Backup {
			t.Errorf("%d heartbeats, %v: the turns did nothing", s.Received-before, l.groups[0].state)
		}
	})
}
