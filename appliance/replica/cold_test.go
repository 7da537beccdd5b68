package replica_test

import (
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// cold waits until the box holds n sessions of the kind in its table, and checks that
// its kernel has none of them.
func (b *box) cold(n int, fn func(*sessionView) bool) (have []sessionView) {
	b.t.Helper()
	if !within(settle, func() bool { have = b.sessionsOf(fn); return len(have) == n }) {
		b.t.Fatalf("%s: %d sessions, want %d: %v\n%+v", b.name, len(have), n, have, b.engine.Status())
	}
	for i := range have {
		if _, err := b.kernel.Get(have[i].Key); have[i].Installed || err == nil {
			b.t.Errorf("%s is in %s's kernel", have[i].String(), b.name)
		}
	}
	return have
}

// coldPair is a pair whose standby keeps sessions in its table.
func coldPair(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	w.a.cfg.Cold, w.b.cfg.Cold = true, true
	w.runMode()
	return w
}

// The kernel of a standby that installs at a takeover is empty before; then it has all,
// when the activation returns.
func TestInstallAtTakeover(t *testing.T) {
	w := coldPair(t)
	rs := flows(1000)
	w.a.born(rs...)
	eventually(t, "all in b's table", func() bool { return w.b.engine.Status().Foreign == len(rs) })
	eventually(t, "all applied", func() bool { s := w.a.engine.Status(); return s.Lag == 0 && s.Dirty == 0 })
	w.a.end(rs[:100]...)
	eventually(t, "ends too", func() bool { return w.b.engine.Status().Foreign == 900 })
	w.b.still("nothing in its kernel")
	if s := w.b.engine.Status(); !s.InSync || s.Counters.Installed+s.Counters.Renewed+s.Counters.Reinstalled+s.Counters.Removed != 0 {
		t.Errorf("%+v", s.Counters)
	}
	if n := w.b.engine.Leftovers("gw"); n != 900 {
		t.Errorf("%d would be installed", n)
	}
	w.a.stop()
	r := w.b.activate(2)
	if d := w.b.differs(rs[100:]); d != "" {
		t.Errorf("when the activation returns b %s", d)
	}
	if r.Installed != 900 || r.Outlived != 0 {
		t.Errorf("%+v", r)
	}
	t.Logf("%d installed in %v", r.Installed, r.Duration)
	eventually(t, "reconciled", func() bool { return w.b.engine.Status().Counters.Dumps > 0 })
	w.b.still("and stay", rs[100:]...)
}

// Hand-overs to and fro lose nothing, and add nothing: what a former owner's kernel has
// ends with its flow.
func TestInstallAtTakeoverHandOvers(t *testing.T) {
	t.Parallel()
	w := coldPair(t)
	boxes := []*box{w.a, w.b}
	rs := flows(100)
	w.a.born(rs...)
	for i := range 4 {
		from, to := boxes[i%2], boxes[(i+1)%2]
		from.knows(len(rs))
		w.handsOver(from, to, uint64(i+2))
		to.has("taken over", rs...)
		eventually(t, "in sync", func() bool { s := from.engine.Status(); return s.InSync && from.holds(to.name) })
		more := flow(uint32(4000+i), 17)
		to.born(more)
		eventually(t, "in the table", func() bool { return from.engine.Status().Foreign == len(rs)+1 })
		from.still("not in the kernel", rs...)
		to.end(rs[0])
		from.has("what has ended is gone", rs[1:]...)
		rs = append(rs[1:], more)
	}
}

// What outlived its owner's silence is not installed. The other flows are.
func TestInstallAtTakeoverLeavesOutWhatHasOutlived(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.b.cfg.Cold = true
	w.b.cfg.Hold, w.b.cfg.Renew = time.Second, 500*time.Millisecond
	w.runMode()
	long, short := flow(1, 6), flow(2, 17)
	short.Timeout = 1
	alive := []session.Record{long, short}
	w.a.born(alive...)
	eventually(t, "in b's table", func() bool { return w.b.engine.Status().Foreign == 2 })
	w.a.stop()
	time.Sleep(3 * time.Second) // of the owner's silence; more is no harm
	r := w.b.activate(2)
	if r.Installed != 1 || r.Outlived != 1 {
		t.Errorf("%+v", r)
	}
	if d := w.b.differs(alive[:1]); d != "" {
		t.Errorf("b %s", d)
	}
}

// While the owner is heard a flow is alive, however long ago it was told of.
func TestInstallAtTakeoverTrustsALivingOwner(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.b.cfg.Cold = true
	w.b.cfg.Hold, w.b.cfg.Renew = time.Second, 500*time.Millisecond
	w.runMode()
	r := flow(2, 17)
	r.Timeout = 3
	w.a.born(r)
	eventually(t, "in b's table", func() bool { return w.b.engine.Status().Foreign == 1 })
	r.Timeout = 600 // a packet has renewed it
	must(t, w.a.kernel.Update([]session.Record{r}, updateTimeout, make([]error, 1)))
	time.Sleep(4 * time.Second)
	w.a.stop()
	if rep := w.b.activate(2); rep.Installed != 1 || rep.Outlived != 0 {
		t.Errorf("%+v", rep)
	}
}

// A kernel entry from an earlier life that has another translation is replaced when the
// time comes.
func TestInstallAtTakeoverReplacesWhatIsStale(t *testing.T) {
	w := newWorld(t)
	w.b.cfg.Cold = true
	r := flow(2, 17)
	old := r
	old.ReplyDstPort = 60000
	w.b.born(old)
	w.a.born(r)
	w.runMode()
	eventually(t, "in b's table", func() bool { return w.b.engine.Status().Foreign == 1 })
	w.a.stop()
	w.b.activate(2)
	if d := w.b.differs([]session.Record{r}); d != "" {
		t.Errorf("b %s", d)
	}
}

// Flows of every class go on after a takeover that installs them: translated both ways
// and only forwarded, of IPv4 and IPv6, TCP in the middle of a transfer, UDP, echo, and
// related ones with what their helper expects.
func TestInstallAtTakeoverFlowsGoOn(t *testing.T) {
	g := newGateways(t, helperRules)
	g.b.cfg.Cold = true
	g.runs()
	g.b.nothingNew()
	serve(t, g.server, "tcp", serverIP+":80")
	serve(t, g.server, "udp", serverIP+":53")
	serve(t, g.server, "tcp6", "["+serverIP6+"]:80")
	serve(t, g.client, "tcp", clientIP+":80")
	serve(t, g.client, "udp", clientIP+":53")
	serve(t, g.server, "tcp", serverIP+":2000")
	conns := map[string]net.Conn{
		"source, TCP":    dialFrom(t, g.client, "tcp", serverIP+":80"),
		"source, UDP":    dialFrom(t, g.client, "udp", serverIP+":53"),
		"forward, TCP":   dialFrom(t, g.server, "tcp", "203.0.113.1:8080"),
		"forward, UDP":   dialFrom(t, g.server, "udp", "203.0.113.1:5353"),
		"forwarded only": dialFrom(t, g.server, "tcp", clientIP+":80"),
		"NAT66, TCP":     dialFrom(t, g.client, "tcp6", "["+serverIP6+"]:80"),
	}
	echo := rawSocket(t, g.client, clientIP, 1)
	for name, c := range conns {
		if err := talk(c, "one"); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	ping := func(seq uint16) error {
		echo.send(serverIP, echoRequest(false, 77, seq))
		if _, ok := echo.receive(isEchoReply(77, seq)); !ok {
			return errors.New("no answer")
		}
		return nil
	}
	must(t, ping(1))
	c, s := g.connected(443)
	b := stream(s, c)
	must(t, b.more(1<<20))
	f := g.ftp()
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,208)")
	data := dialFrom(t, g.client, "tcp", serverIP+":2000")
	must(t, talk(data, "half of it"))
	f.answer("150 here it comes")
	f.command("PASV")
	f.answer("227 Entering Passive Mode (198,51,100,9,7,208)")
	conns["the last"] = dialFrom(t, g.client, "udp", serverIP+":53") // known behind what is expected
	must(t, talk(conns["the last"], "one"))
	// 7 connections, the echo, the transfer, and FTP's two.
	g.b.cold(11, func(*sessionView) bool { return true })
	if n := len(g.b.expected()); n != 0 {
		t.Errorf("b's kernel expects %d flows", n)
	}
	g.dies()
	st := g.b.engine.Status()
	if st.LastTakeover.Installed < 11 || st.Counters.Bare != 0 || st.Counters.Errors != 0 {
		t.Errorf("%+v %+v", st.LastTakeover, st.Counters)
	}
	for name, c := range conns {
		if err := talk(c, "two"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := ping(2); err != nil {
		t.Errorf("echo: %v", err)
	}
	if err := b.more(1 << 20); err != nil {
		t.Errorf("transfer: %v", err)
	}
	must(t, b.end())
	if err := talk(data, "the rest"); err != nil {
		t.Errorf("FTP, data: %v", err)
	}
	f.answer("226 done")
	next := dialFrom(t, g.client, "tcp", serverIP+":2000")
	if err := talk(next, "another file"); err != nil {
		t.Errorf("FTP, the data connection that was expected: %v", err)
	}
}

// Case 59 with a standby that is not asked to install anything: what its kernel lacks is
// found before the takeover.
func TestCase59ColdStandbyIsNotReady(t *testing.T) {
	w := newWorld(t)
	w.b.cfg.Cold = true
	w.b.cfg.NATHooks = func() (bool, bool, error) { return false, false, nil }
	w.a.born(flow(2, 6))
	w.runMode0()
	eventually(t, "not ready to translate", func() bool { s := w.b.engine.Status(); return len(s.NotReady) == 1 && !s.InSync })
}

// runMode0 is runMode for a standby that will not be in sync.
func (w *world) runMode0() {
	w.a.start()
	w.b.start()
	w.a.activate(1)
}

// BenchmarkColdTakeover is the time of an activation that installs its sessions.
func BenchmarkColdTakeover(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			owner, standby := benchPair(b, func(b *box) { b.cfg.Cold = true })
			rs := make([]session.Record, n)
			for i := range rs {
				rs[i] = flow(uint32(i), 6)
			}
			must(b, owner.kernel.Install(rs, conntrack.InstallOptions{NoVerify: true}, make([]error, n)))
			waitFor(b, func() bool { return standby.engine.Status().Foreign == n && owner.engine.Status().Lag == 0 })
			term, installed := uint64(2), 0
			used := time.Duration(0)
			for b.Loop() {
				before := cpu(unix.RUSAGE_SELF)
				r, err := standby.engine.Activate(b.Context(), "gw", term)
				used += cpu(unix.RUSAGE_SELF) - before
				if err != nil || r.Installed != n {
					b.Fatal(r, err)
				}
				b.StopTimer()
				installed += r.Installed
				standby.engine.Deactivate("gw")
				term = r.Term + 1
				if _, err := owner.engine.Activate(b.Context(), "gw", term); err != nil {
					b.Fatal(err)
				}
				term++
				waitFor(b, func() bool {
					return standby.holds("a") && standby.engine.Status().InSync && owner.engine.Status().Lag == 0
				})
				// Its kernel forgets, as if it had been restarted.
				keys := make([]session.Key, 0, n)
				for i := range rs {
					keys = append(keys, rs[i].Key)
				}
				must(b, standby.kernel.Delete(keys, make([]error, n)))
				waitFor(b, func() bool { return standby.engine.Leftovers("gw") == n && standby.hasNone() })
				b.StartTimer()
			}
			b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(installed), "us/flow")
			b.ReportMetric(float64(used.Microseconds())/float64(installed), "cpu-us/flow")
		})
	}
}

// hasNone tells whether the engine knows that its kernel has no session.
func (b *box) hasNone() bool {
	none := true
	b.engine.Sessions(func(s *sessionView) bool { none = !s.Installed; return none })
	return none
}

// What a former owner's kernel had and has lost is not installed again before the next
// takeover, even if the events that would have told of it were lost.
func TestInstallAtTakeoverDoesNotRestoreWhatTheKernelLost(t *testing.T) {
	w := newWorld(t)
	w.a.cfg.Cold = true
	w.a.cfg.RcvBuf = 4096 // a few events
	w.a.cfg.Harvest = 20 * time.Millisecond
	w.runMode()
	rs := flows(2000)
	w.a.born(rs...)
	w.a.knows(len(rs))
	w.handsOver(w.a, w.b, 2)
	eventually(t, "a is in sync", func() bool { s := w.a.engine.Status(); return s.InSync && s.Foreign == len(rs) })
	w.a.has("what it had", rs...)
	before := w.a.engine.Status().Counters.Overruns
	w.a.end(rs...)
	eventually(t, "events are lost", func() bool { return w.a.engine.Status().Counters.Overruns > before })
	if !within(settle, w.a.hasNone) {
		t.Fatalf("it does not know that its kernel has nothing: %+v", w.a.engine.Status().Counters)
	}
	w.a.still("and leaves it so")
	if n := w.a.engine.Status().Foreign; n != len(rs) {
		t.Errorf("%d in its table", n)
	}
	w.b.stop()
	w.a.activate(3)
	if d := w.a.differs(rs); d != "" {
		t.Errorf("after the takeover a %s", d)
	}
}
