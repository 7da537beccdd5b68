package replica_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/replica"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// benchPair is two engines without a test's patience.
func benchPair(b *testing.B, setup ...func(*box)) (owner, standby *box) {
	b.Helper()
	l := lab.NewT(b)
	seg := l.Segment("sync")
	open := func(name, addr, peer, peerAddr string) *box {
		n := l.Node(name)
		l.Join(n, seg, "sync0", addr+"/24")
		must(b, n.Sysctl("netfilter/nf_conntrack_events", "1"))
		x := &box{name: name, node: n}
		must(b, n.Do(func() (err error) { x.kernel, err = conntrack.OpenKernel(); return err }))
		x.cfg = replica.Config{Node: name, Listen: netip.AddrPortFrom(netip.MustParseAddr(addr), 7788),
			Peers:   []replica.Peer{{Name: peer, Addr: netip.AddrPortFrom(netip.MustParseAddr(peerAddr), 7788)}},
			Secrets: [][]byte{bytes.Repeat([]byte{7}, 32)}, Groups: []replica.Group{{Name: "gw", Addresses: []netip.Addr{vip}}},
			Namespace: n.Do, Logger: slog.New(slog.NewTextHandler(io.Discard, nil))}
		for _, fn := range setup {
			fn(x)
		}
		e, err := replica.Open(x.cfg)
		must(b, err)
		x.engine = e
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- e.Run(ctx) }()
		b.Cleanup(func() { cancel(); must(b, <-done); must(b, e.Close()); must(b, x.kernel.Close()) })
		return x
	}
	owner, standby = open("a", "10.255.0.1", "b", "10.255.0.2"), open("b", "10.255.0.2", "a", "10.255.0.1")
	if _, err := owner.engine.Activate(context.Background(), "gw", 1); err != nil {
		b.Fatal(err)
	}
	waitFor(b, func() bool { return standby.holds("a") && standby.engine.Status().InSync })
	return owner, standby
}

func waitFor(b *testing.B, ok func() bool) {
	b.Helper()
	if !within(30*time.Second, ok) {
		b.Fatal("never")
	}
}

// cpu is what this process used; the test's own thread is told apart.
func cpu(who int) time.Duration {
	var u unix.Rusage
	if unix.Getrusage(who, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkConnection prints the CPU time of both engines together for one TCP
// connection: established, two closing states, over.
func BenchmarkConnection(b *testing.B) {
	owner, standby := benchPair(b)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const each = 4 * conntrack.MaxBatch // more would fight the engines for the kernel's one lock
	rs := make([]session.Record, each)
	keys := make([]session.Key, each)
	results := make([]error, each)
	n := uint32(0)
	var total, traffic time.Duration
	for b.Loop() {
		for i := range rs {
			rs[i] = flow(n%100000, 6)
			keys[i] = rs[i].Key
			n++
		}
		all, own := cpu(unix.RUSAGE_SELF), cpu(unix.RUSAGE_THREAD)
		step := func(do func() error) {
			must(b, do())
			time.Sleep(3 * time.Millisecond) // connections last a while
		}
		step(func() error { return owner.kernel.Install(rs, conntrack.InstallOptions{NoVerify: true}, results) })
		for _, s := range []session.TCPState{session.TCPFinWait, session.TCPLastAck, session.TCPTimeWait} {
			for i := range rs {
				rs[i].TCP.State = s
			}
			step(func() error {
				return owner.kernel.Update(rs, conntrack.UpdateOptions{Fields: conntrack.UpdateTCPState}, results)
			})
		}
		step(func() error { return owner.kernel.Delete(keys, results) })
		waitFor(b, func() bool {
			s := owner.engine.Status()
			return s.Lag == 0 && s.Local == 0 && standby.engine.Status().Foreign == 0
		})
		own = cpu(unix.RUSAGE_THREAD) - own
		traffic += own
		total += cpu(unix.RUSAGE_SELF) - all - own
	}
	per := float64(b.N * each)
	b.ReportMetric(float64(total.Microseconds())/per, "cpu-us/conn")
	b.ReportMetric(float64(traffic.Microseconds())/per, "test-us/conn")
	s := owner.engine.Status()
	b.ReportMetric(float64(s.Peers[0].Sender.Bytes)/float64(n), "bytes/conn")
}

// BenchmarkTakeover is the time of an activation by the number of hot sessions.
func BenchmarkTakeover(b *testing.B) {
	for _, n := range []int{100, 100_000} {
		b.Run(fmt.Sprintf("flows=%d", n), func(b *testing.B) {
			owner, standby := benchPair(b)
			rs := make([]session.Record, n)
			for i := range rs {
				rs[i] = flow(uint32(i), 6)
			}
			must(b, owner.kernel.Install(rs, conntrack.InstallOptions{NoVerify: true}, make([]error, n)))
			rs = nil
			waitFor(b, func() bool { return standby.engine.Status().Foreign == n && owner.engine.Status().Lag == 0 })
			term := uint64(2)
			for b.Loop() {
				r, err := standby.engine.Activate(context.Background(), "gw", term)
				if err != nil || r.Installed != 0 {
					b.Fatal(r, err)
				}
				b.StopTimer()
				standby.engine.Deactivate("gw")
				term = r.Term + 1
				if _, err := owner.engine.Activate(context.Background(), "gw", term); err != nil {
					b.Fatal(err)
				}
				term++

				waitFor(b, func() bool {
					return standby.holds("a") && standby.engine.Status().InSync && owner.engine.Status().Lag == 0
				})
				b.StartTimer()
			}
		})
	}
}

// BenchmarkMemory prints what a session costs both nodes' engines, all told.
func BenchmarkMemory(b *testing.B) {
	const n = 100_000
	for b.Loop() {
		owner, standby := benchPair(b)
		rs := make([]session.Record, n)
		for i := range rs {
			rs[i] = flow(uint32(i), 6)
		}
		results := make([]error, n)
		before := heap()
		must(b, owner.kernel.Install(rs, conntrack.InstallOptions{NoVerify: true}, results))
		waitFor(b, func() bool { return standby.engine.Status().Foreign == n && owner.engine.Status().Lag == 0 })
		b.ReportMetric(float64(heap()-before)/n/2, "bytes/session/node")
		runtime.KeepAlive(rs)
		runtime.KeepAlive(results)
	}
}

func heap() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
