package election

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// loopHere makes a loop of this process in the present namespace, with a daemon
// that is nobody but who says what the test has it say.
func loopHere(t *testing.T, cfg vrrp.SetConfig) (*loop, func(Message)) {
	t.Helper()
	l, say, _ := loopTelling(t, cfg)
	return l, say
}

// loopTelling is loopHere; told reads what the daemon was told since the last call.
func loopTelling(t *testing.T, cfg vrrp.SetConfig) (l *loop, say func(Message), told func() []Message) {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			panic(err) // not on the test's goroutine, so no FailNow
		}
	}
	ev, err := newEvents(t.Context(), nil)
	must(err)
	t.Cleanup(ev.close)
	board, err := NewBoard()
	must(err)
	t.Cleanup(board.Close)
	opt := Options{Watchdog: time.Hour}.withDefaults() // nobody beats
	l, err = newLoop(opt, opt.Logger, ev, board)
	must(err)
	t.Cleanup(l.close)
	must(l.configure(cfg))
	mine, theirs, err := SocketPair()
	must(err)
	other, err := newConn(theirs)
	must(err)
	t.Cleanup(other.close)
	conn, err := newConn(mine)
	must(err)
	t.Cleanup(conn.close)
	l.attach(&daemon{conn: conn, pidfd: -1})
	say = func(m Message) {
		b, err := Marshal(m)
		must(err)
		must(unix.Sendto(other.fd, b, 0, nil))
		l.turn()
	}
	told = func() (all []Message) {
		for {
			b, err := other.receive()
			must(err)
			if b == nil {
				return all
			}
			m, err := Unmarshal(b)
			must(err)
			all = append(all, m)
		}
	}
	return l, say, told
}

func (l *loop) turnFor(d time.Duration) {
	for start := time.Now(); time.Since(start) < d; {
		l.turn()
	}
}

// come turns until a condition is met.
func (l *loop) come(t *testing.T, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(soon); !is(); l.turn() {
		if time.Now().After(end) {
			t.Errorf("never came: %s", what)
			return
		}
	}
}

// is tells whether the one group has a state.
func (l *loop) is(s vrrp.State) func() bool { return func() bool { return l.groups[0].state == s } }

// sent counts the adverts of the first router.
func (l *loop) sent() uint64 { return l.set.Snapshot(time.Now()).Routers[0].Sent }

// Routers come and go; what stays does not notice.
func TestConfigureIsADiff(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		attrs := netlink.NewLinkAttrs()
		attrs.Name = "wan0"
		if err := netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "wan1"}); err != nil {
			t.Error(err)
		}
		for _, name := range []string{"wan0", "wan1"} {
			l, _ := netlink.LinkByName(name)
			_ = netlink.LinkSetUp(l)
		}
		l, _ := netlink.LinkByName("wan0")
		a, _ := netlink.ParseAddr("203.0.113.2/24")
		_ = netlink.AddrAdd(l, a)
	})
	lan := c.listen(t, 1, nil)
	wan := c.listenOn(t, 0, "wan1", nil)
	late := stalls(t)
	within(c[0], func() {
		cfg := configOf(200)
		cfg.Routers[0].Interval = 10 * time.Millisecond
		l, say := loopHere(t, cfg)
		say(Ready{})
		more := func(e *ear, priority uint8) {
			t.Helper()
			n := e.count(priority)
			l.come(t, fmt.Sprintf("more adverts of %d", priority), func() bool { return e.count(priority) > n+5 })
		}
		l.come(t, "the role", l.is(vrrp.Active))
		more(lan, 200)

		// A second router joins the group, first in its list.
		both := cfg
		second := cfg.Routers[0]
		second.Name, second.Interface, second.VRID, second.Priority = "wan", "wan0", 52, 150
		second.Addresses = []netip.Addr{netip.MustParseAddr("203.0.113.1")}
		both.Routers = []vrrp.RouterConfig{second, cfg.Routers[0]}
		both.Groups = []vrrp.GroupConfig{{Name: "gw", Routers: []string{"wan", "lan"}}}
		say(Configure{Config: both})
		more(wan, 150)
		more(lan, 200)
		if n := l.set.Snapshot(time.Now()).Groups[0].Transitions; lan.count(0) != 0 || n != 2 {
			t.Errorf("%d priority 0, %d transitions", lan.count(0), n)
		}
		if s := silence(lan.list()); s > interval+2*late() {
			t.Errorf("no advert for %v, and the machine was away for %v at the longest", s, late())
		}

		// A mistake changes nothing.
		bad := both
		bad.Groups = []vrrp.GroupConfig{{Name: "gw", Routers: []string{"dmz"}}}
		say(Configure{Config: bad})
		more(lan, 200)
		more(wan, 150)
		if len(l.routes) != 2 {
			t.Error("a refused configuration has changed something")
		}

		// The first one goes, with priority 0 from the socket that goes with it.
		alone := both
		alone.Routers = both.Routers[:1]
		alone.Groups = []vrrp.GroupConfig{{Name: "gw", Routers: []string{"wan"}}}
		say(Configure{Config: alone})
		l.come(t, "the goodbye", func() bool { return lan.count(0) > 0 })
		more(wan, 150)
		lan.settle(t)
		if lan.count(0) != 1 || wan.count(0) != 0 || len(l.ports) != 1 {
			t.Errorf("%d and %d priority 0, %d ports", lan.count(0), wan.count(0), len(l.ports))
		}
		if p, ok := l.board.Read("gw", l.now); !ok || p.ResumeUntil <= 0 {
			t.Errorf("on the board: %+v", p)
		}
	})
}

// The loop runs without a collector, so what a turn allocates stays.
func TestTurnAllocatesNothing(t *testing.T) {
	c := newCable(t)
	for _, test := range []struct {
		name    string
		unicast bool
		want    vrrp.State
	}{
		{"active", false, vrrp.Active},
		{"backup", false, vrrp.Backup},
		{"active, unicast", true, vrrp.Active},
		{"backup, unicast", true, vrrp.Backup},
	} {
		t.Run(test.name, func(t *testing.T) {
			mine, theirs := configOf(200), configOf(200)
			if test.want == vrrp.Backup {
				mine = configOf(100)
			}
			if test.unicast {
				mine, theirs = peered(mine, "10.0.0.3", "10.0.0.4"), peered(theirs, "10.0.0.2")
			}
			if test.want == vrrp.Backup {
				n := c.start(t, 1, play{Config: theirs})
				n.noted("transition-active", 1)
				defer n.cleanUp()
			}
			within(c[0], func() { turnAllocatesNothing(t, mine, test.want) })
		})
	}
}

// peered makes the routers of a configuration go by unicast.
func peered(cfg vrrp.SetConfig, peers ...string) vrrp.SetConfig {
	for i := range cfg.Routers {
		for _, p := range peers {
			cfg.Routers[i].Peers = append(cfg.Routers[i].Peers, vrrp.Peer{Address: netip.MustParseAddr(p)})
		}
	}
	return cfg
}

func turnAllocatesNothing(t *testing.T, cfg vrrp.SetConfig, want vrrp.State) {
	cfg.Routers[0].Interval = 10 * time.Millisecond
	if want == vrrp.Backup { // it learns the interval of the Active
		cfg.Routers[0].Interval = interval
	}
	l, say := loopHere(t, cfg)
	say(Ready{})
	l.come(t, want.String(), func() bool {
		s := l.snapshot(time.Now()).Status.Routers[0]
		return l.groups[0].state == want && (want == vrrp.Active || s.Received > 0)
	})
	l.turnFor(5 * interval)
	if got := l.groups[0].state; got != want {
		t.Errorf("the group is %v, want %v", got, want)
	}
	before := l.snapshot(time.Now()).Status.Routers[0]
	if n := testing.AllocsPerRun(20, func() {
		say(Beat{})
		l.turn()
	}); n != 1 {
		t.Errorf("%v allocations in two turns, one of them being the test's", n)
	}
	after := l.snapshot(time.Now()).Status.Routers[0]
	if after.Sent == before.Sent && after.Received == before.Received {
		t.Error("nothing was sent or received: the turns did nothing")
	}
}

// A daemon that announces an absence is neither killed for it nor given up.
func TestAnnouncedBudgetExtendsBothLimits(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		l.opt.Watchdog = 2 * time.Second
		say(Ready{})
		if at := l.watchdogAt(); at.After(l.now.Add(l.opt.Watchdog)) {
			t.Errorf("watchdog in %v", at.Sub(l.now))
		}
		say(Budget{For: time.Minute})
		until := l.now.Add(time.Minute)
		if at := l.watchdogAt(); !at.Equal(until) {
			t.Errorf("watchdog in %v", at.Sub(l.now))
		}
		l.down()
		if at := l.budgetAt(); !at.Equal(until) {
			t.Errorf("budget until %v", at.Sub(l.now))
		}
		say(Ready{}) // back: the announcement is used up
		l.down()
		if at := l.budgetAt(); at.After(l.now.Add(l.opt.Budget)) {
			t.Errorf("budget until %v", at.Sub(l.now))
		}
	})
}

// A program is unfit if it was never Ready, and only then.
func TestUnfitIsWhoWasNeverReady(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		unfit := 0
		l.opt.Unfit = func() { unfit++ }
		say(Ready{})
		other := *l.daemon
		l.down() // not Ready any more, but it was
		l.daemon.pidfd = -1
		l.daemon.conn = &conn{fd: -1}
		l.onExit(reaped{daemon: l.daemon})
		if unfit != 0 {
			t.Error("one that was Ready is unfit")
		}
		other.ready, other.came, other.pidfd, other.conn = false, false, -1, &conn{fd: -1}
		l.attach(&other)
		l.onExit(reaped{daemon: l.daemon})
		if unfit != 1 {
			t.Errorf("one that ended before it was Ready: %d", unfit)
		}
		l.onSpawned(spawned{err: unix.ENOEXEC})
		if unfit != 2 {
			t.Errorf("one that could not be started: %d", unfit)
		}
	})
}

// Faults of the daemon and the fault of not having one do not clear each other,
// and a new daemon begins with none.
func TestFaultsOfADaemonEndWithIt(t *testing.T) {
	c := newCable(t)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		state := func(want vrrp.State, what string) {
			t.Helper()
			if got := l.groups[0].state; got != want {
				t.Errorf("%s: %v, want %v", what, got, want)
			}
		}
		say(Ready{})
		state(vrrp.Backup, "started")
		say(Fault{Group: "gw", On: true, Reason: "apply-failed"})
		state(vrrp.Fault, "told")
		l.down()
		l.letGo()
		say(Fault{Group: "gw"})
		state(vrrp.Fault, "cleared, but there is no daemon")
		say(Fault{Group: "gw", On: true})
		say(Ready{})
		state(vrrp.Fault, "ready, but told so by this very daemon")
		l.attach(l.daemon) // as if it were another
		say(Ready{})
		state(vrrp.Backup, "a new daemon that has nothing to say")
	})
}

// What the daemon tells of a group's weight is on the wire at once.
func TestWeightIsAdvertised(t *testing.T) {
	c := newCable(t)
	heard := c.listen(t, 1, nil)
	within(c[0], func() {
		l, say := loopHere(t, configOf(200))
		say(Ready{})
		l.come(t, "an advert of 200", func() bool { return heard.count(200) > 0 })
		say(Weight{Group: "gw", Weight: -150})
		l.come(t, "two adverts of 50", func() bool { return heard.count(50) >= 2 })
		lowered := false
		for _, h := range heard.list() {
			lowered = lowered || h.priority == 50
			if h.priority == 0 || h.priority == 200 && lowered {
				t.Errorf("heard %+v", heard.list())
			}
		}
		if l.groups[0].state != vrrp.Active || heard.count(200) == 0 {
			t.Errorf("%v, %d adverts of 200", l.groups[0].state, heard.count(200))
		}
		if r := l.snapshot(time.Now()).Status.Routers[0]; r.Priority != 200 || r.Effective != 50 {
			t.Errorf("status: priority %d, effective %d", r.Priority, r.Effective)
		}
	})
}
