package replica_test

import (
	"context"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"runtime"
	"testing"
	"time"

	"understudy/appliance/replica"
	"understudy/nat/session"
)

// delay passes connections on, each way with a delay that varies: what is sent in one
// piece arrives in several, late. It listens in the box's namespace and leads to an
// address there.
func delay(t *testing.T, b *box, listen, to string, least, most time.Duration) {
	t.Helper()
	var l net.Listener
	must(t, b.node.Do(func() (err error) { l, err = net.Listen("tcp", listen); return err }))
	t.Cleanup(func() { l.Close() })
	pass := func(from, to net.Conn) {
		type piece struct {
			at time.Time
			b  []byte
		}
		pieces := make(chan piece, 1024)
		go func() {
			defer close(pieces)
			for {
				buf := make([]byte, 1+rand.IntN(1400))
				n, err := from.Read(buf)
				if err != nil {
					return
				}
				pieces <- piece{time.Now().Add(least + rand.N(most-least)), buf[:n]}
			}
		}()
		for p := range pieces {
			time.Sleep(time.Until(p.at))
			if _, err := to.Write(p.b); err != nil {
				break
			}
		}
		from.Close()
		to.Close()
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			var on net.Conn
			if b.node.Do(func() (err error) { on, err = net.DialTimeout("tcp", to, time.Second); return err }) != nil {
				c.Close()
				continue
			}
			go pass(c, on)
			go pass(on, c)
		}
	}()
}

// Case 7: the session link has a delay of about 50 ms that varies, and loses one packet
// in twenty, which comes again out of order. Nothing is lost for that, nor is the link.
func TestCase7DelayLossAndReorder(t *testing.T) {
	w := newWorld(t)
	for _, b := range []*box{w.a, w.b} {
		b.nft(`table netdev lossy { chain in { type filter hook ingress device "sync0" priority 0; numgen random mod 100 < 5 drop
		} }`)
		local := netip.AddrPortFrom(b.cfg.Listen.Addr(), 7790)
		delay(t, b, local.String(), b.cfg.Peers[0].Addr.String(), 40*time.Millisecond, 60*time.Millisecond)
		b.cfg.Peers[0].Addr = local
	}
	w.a.start()
	w.b.start()
	w.a.activate(1)
	rs := flows(2000)
	w.a.born(rs...)
	w.b.has("all of a burst", rs...)
	for range 10 {
		n := rand.IntN(len(rs))
		w.a.end(rs[n])
		rs = append(rs[:n], rs[n+1:]...)
		more := flow(uint32(5000+rand.IntN(10000)), 6)
		w.a.born(more)
		rs = append(rs, more)
		time.Sleep(20 * time.Millisecond)
	}
	w.b.has("and of what comes and goes", rs...)
	eventually(t, "acknowledged", func() bool { s := w.a.engine.Status(); return s.Lag == 0 && s.Dirty == 0 })
	if s := w.a.engine.Status().Peers[0].Sender; s.Transfers > 1 {
		t.Errorf("the link was made anew: %d full transfers", s.Transfers)
	}
}

// Case 48: three hand-overs, with flows that come and go; nothing is left behind in
// tables or kernels.
func TestCase48HandOversDoNotGrow(t *testing.T) {
	w := running(t)
	rs := flows(300)
	w.a.born(rs...)
	w.b.has("hot", rs...)
	from, to := w.a, w.b
	n := uint32(3000)
	goroutines := runtime.NumGoroutine()
	for i := range 3 {
		for range 200 {
			r := flow(n, 6)
			n++
			from.born(r)
			from.end(r)
		}
		to.has("as before", rs...)
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		must(t, from.engine.Drain(ctx, "gw"))
		cancel()
		to.activate(uint64(i + 2))
		from.engine.Deactivate("gw")
		eventually(t, "in sync", func() bool { return from.engine.Status().InSync && to.engine.Status().Covered })
		for _, b := range []*box{from, to} {
			b.has("nothing else", rs...)
			eventually(t, "nothing waits", func() bool {
				s := b.engine.Status()
				return s.Local+s.Foreign == len(rs) && s.Dirty == 0 && b.engine.Tombstones() == 0
			})
		}
		from, to = to, from
	}
	if now := runtime.NumGoroutine(); now > goroutines+4 {
		t.Errorf("%d goroutines, were %d", now, goroutines)
	}
}

// Case 60: a full transfer of many sessions does not overrun anybody's own events: what
// a node installs it does not hear of.
func TestCase60ManySessions(t *testing.T) {
	const many = 90000
	w := newWorld(t)
	w.a.start()
	w.a.activate(1)
	rs := flows(many)
	for from := 0; from < many; from += 1000 {
		w.a.born(rs[from : from+1000]...)
		time.Sleep(5 * time.Millisecond) // the test is quicker than traffic is
	}
	within(settle, func() bool { return w.a.engine.Status().Local == many })
	if s := w.a.engine.Status(); s.Local != many {
		t.Fatalf("a knows %d: %+v", s.Local, s.Counters)
	}
	over := w.a.engine.Status().Counters.Overruns
	w.b.start()
	if !within(4*settle, func() bool {
		s := w.b.engine.Status()
		return s.InSync && s.Foreign == many && w.a.engine.Status().Lag == 0
	}) {
		t.Fatalf("never in sync: %+v", w.b.engine.Status())
	}
	a, b := w.a.engine.Status().Counters, w.b.engine.Status().Counters
	if b.Overruns > 0 || a.Overruns > over || b.Installed != many {
		t.Errorf("a had %d overruns, b %d; %d installed", a.Overruns-over, b.Overruns, b.Installed)
	}
	w.a.stop()
	if r := w.b.activate(2); r.Installed > 0 {
		t.Errorf("%+v", r)
	}
	within(settle, func() bool { return w.b.engine.Status().Counters.Dumps > 0 })
	if s := w.b.engine.Status(); s.Local != many || s.Counters.Overruns > 0 || s.Counters.Swept > 0 {
		t.Errorf("after the takeover: %d local, %+v", s.Local, s.Counters)
	}
}

// Case 63: of three nodes two are lost, then one comes back, and the owner is cut off
// while its transfer to that one runs. What the one has counts, what the owner kept is
// fetched when it is there again, and nothing is swept that somebody had.
func TestCase63OwnerLostDuringTheTransferToTheThird(t *testing.T) {
	bs := newBoxes(t, "a", "b", "c")
	a, b, c := bs[0], bs[1], bs[2]
	for _, x := range bs {
		x.start()
	}
	a.activate(1)
	const many = 30000
	rs := flows(many)
	for from := 0; from < many; from += 1000 {
		a.born(rs[from : from+1000]...)
	}
	eventually(t, "the others have them", func() bool {
		return b.engine.Status().Foreign == many && c.engine.Status().Foreign == many && b.engine.Status().InSync && c.engine.Status().InSync
	})
	b.stop()
	c.stop() // its kernel is lost too
	c.end(rs...)
	more := flow(60000, 6)
	a.born(more)
	eventually(t, "a goes on alone", func() bool { s := a.engine.Status(); return s.Local == many+1 && !s.Connected })
	c.start()
	if !within(settle, func() bool { return c.engine.Status().Foreign > many/20 }) {
		t.Fatal("no transfer begins")
	}
	must(t, a.cable.Unplug())
	had := c.engine.Status()
	if had.InSync {
		t.Log("the transfer was quicker than the test")
	}
	c.activate(2)
	born := flow(61000, 17)
	c.born(born)
	a.engine.Deactivate("gw")
	b.start() // with the kernel of before, and without a table
	eventually(t, "b follows c", func() bool { return b.holds("c") })
	must(t, a.cable.Plug())
	want := append(append([]session.Record{}, rs...), more, born)
	for _, x := range bs {
		x.has("whatever anybody had", want...)
	}
	eventually(t, "all agree", func() bool {
		for _, x := range bs {
			if s := x.engine.Status(); s.Local+s.Foreign != len(want) || !s.InSync {
				return false
			}
		}
		return !c.engine.Status().Groups[0].Incomplete
	})
}

// Active/active: two groups, each on another box; one box dies, the survivor has both;
// it comes back with its kernel of before, and gets its group back.
func TestTwoGroups(t *testing.T) {
	w := newWorld(t)
	second := netip.MustParseAddr("203.0.113.2")
	for _, b := range []*box{w.a, w.b} {
		b.cfg.Groups = append(b.cfg.Groups, replica.Group{Name: "two", Addresses: []netip.Addr{second}})
	}
	other := func(n uint32) session.Record {
		r := flow(n, 6)
		r.ReplyDst = session.AddrFrom(second)
		return r
	}
	activate := func(b *box, group string, term uint64) replica.Report {
		ctx, cancel := context.WithTimeout(context.Background(), settle)
		defer cancel()
		r, err := b.engine.Activate(ctx, group, term)
		must(t, err)
		return r
	}
	has := func(b *box, why string, rs ...session.Record) {
		t.Helper()
		eventually(t, why, func() bool {
			for i := range rs {
				if got, err := b.kernel.Get(rs[i].Key); err != nil || !got.SameBinding(&rs[i]) {
					return false
				}
			}
			return true
		})
	}
	w.a.start()
	w.b.start()
	activate(w.a, "gw", 1)
	activate(w.b, "two", 1)
	sync := func() bool {
		a, b := w.a.engine.Status(), w.b.engine.Status()
		return a.InSync && b.InSync && a.Covered && b.Covered
	}
	eventually(t, "in sync", sync)
	var mine, theirs []session.Record
	for i := range uint32(100) {
		mine, theirs = append(mine, flow(i, 6)), append(theirs, other(1000+i))
	}
	w.a.born(mine...)
	w.b.born(theirs...)
	has(w.b, "b has a's", mine...)
	has(w.a, "a has b's", theirs...)
	if a, b := w.a.engine.Status(), w.b.engine.Status(); a.Local != 100 || a.Foreign != 100 || b.Local != 100 || b.Foreign != 100 {
		t.Errorf("a %d and %d, b %d and %d", a.Local, a.Foreign, b.Local, b.Foreign)
	}
	w.b.stop() // it dies
	if r := activate(w.a, "two", 2); r.Installed > 0 {
		t.Errorf("%+v", r)
	}
	eventually(t, "a owns both", func() bool { s := w.a.engine.Status(); return s.Local == 200 && s.Foreign == 0 })
	w.a.end(theirs[:40]...)
	fresh := other(5000)
	fresh.ReplyDstPort = theirs[0].ReplyDstPort // a port that is free now
	w.a.born(fresh)
	lives, err := w.b.kernel.Get(theirs[50].Key)
	must(t, err)
	w.b.start()
	eventually(t, "b has all", sync)
	has(w.b, "what began meanwhile, in the place of what ended", fresh)
	eventually(t, "what ended is gone", func() bool {
		for i := range theirs[:40] {
			if _, err := w.b.kernel.Get(theirs[i].Key); err == nil {
				return false
			}
		}
		return true
	})
	if now, err := w.b.kernel.Get(theirs[50].Key); err != nil || now.ID != lives.ID {
		t.Errorf("a flow that lives was taken away and made again: %v", err)
	}
	if r := activate(w.b, "two", 3); r.Installed > 0 {
		t.Errorf("fail-back: %+v", r)
	}
	w.a.engine.Deactivate("two")
	eventually(t, "each has its own", func() bool {
		a, b := w.a.engine.Status(), w.b.engine.Status()
		return sync() && a.Local == 100 && a.Foreign == 61 && b.Local == 61 && b.Foreign == 100
	})
}

// Case 64: whatever happens, for as long as it is let: flows come and go, the role
// moves, the link is cut, an engine is restarted. After each round both tables and both
// kernels are equal, and memory does not grow. UNDERSTUDY_SOAK says for how long.
func TestCase64Soak(t *testing.T) {
	lasts := 4 * time.Second
	if s := os.Getenv("UNDERSTUDY_SOAK"); s != "" {
		var err error
		lasts, err = time.ParseDuration(s)
		must(t, err)
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	w := newWorld(t)
	quiet := func(b *box) { b.cfg.Logger = nil }
	quiet(w.a)
	quiet(w.b)
	w.a.start()
	w.b.start()
	active, standby, term := w.a, w.b, uint64(1)
	active.activate(term)
	live := map[uint32]bool{}
	var baseline uint64
	rounds := 0
	for end := time.Now().Add(lasts); time.Now().Before(end); rounds++ {
		cut := random.IntN(3) == 0
		if cut {
			must(t, w.a.cable.Unplug())
		}
		for range 50 + random.IntN(200) {
			if n := random.Uint32N(2000); live[n] {
				active.end(flow(n, 6))
				delete(live, n)
			} else {
				active.born(flow(n, 6))
				live[n] = true
			}
		}
		if cut {
			must(t, w.a.cable.Plug())
		}
		var want []session.Record
		for n := range live {
			want = append(want, flow(n, 6))
		}
		settled := func(why string) {
			t.Helper()
			for _, b := range []*box{active, standby} {
				b.has(why, want...)
			}
			if !within(2*settle, func() bool {
				a, s := active.engine.Status(), standby.engine.Status()
				return a.Local == len(want) && s.Foreign == len(want) && s.InSync && a.Covered && a.Dirty == 0 && a.Lag == 0
			}) {
				t.Fatalf("%s, round %d: %d flows\n%+v\n%+v", why, rounds, len(want), active.engine.Status(), standby.engine.Status())
			}
			if a, b := active.engine.Digest(), standby.engine.Digest(); a != b {
				t.Fatalf("%s, round %d: the tables differ\n%s\n%s", why, rounds, a, b)
			}
		}
		settled("after flows came and went")
		switch random.IntN(4) {
		case 0:
			term++
			standby.activate(term)
			active.engine.Deactivate("gw")
			active, standby = standby, active
			settled("after a hand-over")
		case 1:
			standby.stop()
			standby.start()
			settled("after a restart of the standby")
		case 2:
			active.stop()
			active.start()
			active.activate(term)
			settled("after a restart of the owner")
		}
		if rounds%50 == 49 {
			runtime.GC()
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			if baseline == 0 {
				baseline = m.HeapAlloc
			} else if m.HeapAlloc > 2*baseline+16<<20 {
				t.Errorf("round %d: %d MiB, were %d", rounds, m.HeapAlloc>>20, baseline>>20)
			}
		}
	}
	t.Logf("%d rounds, %d flows at the end", rounds, len(live))
	if rounds < 2 {
		t.Error("too few rounds to show anything")
	}
}
