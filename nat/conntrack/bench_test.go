package conntrack_test

import (
	"errors"
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// TestNoAllocation: the decoder, a drain and an installation live on what they
// were given.
func TestNoAllocation(t *testing.T) {
	t.Run("ParseMessage", func(t *testing.T) {
		var ev conntrack.Event
		for _, g := range readGolden(t, "messages") {
			if n := testing.AllocsPerRun(100, func() { _ = conntrack.ParseMessage(g.data, &ev) }); n != 0 {
				t.Errorf("%s: %v allocations", g.path, n)
			}
		}
	})
	t.Run("Install, Update, Delete and Drain", func(t *testing.T) {
		n := newNode(t)
		k := n.kernel(t)
		l := n.listener(t, conntrack.ListenerConfig{})
		recs := translatedFlows(200)
		keys := make([]session.Key, len(recs))
		for i := range recs {
			keys[i] = recs[i].Key
		}
		results := make([]error, len(recs))
		events := 0
		count := func(*conntrack.Event) { events++ }
		var errs error
		allocs := testing.AllocsPerRun(5, func() {
			errs = errors.Join(errs,
				k.Install(recs, conntrack.InstallOptions{}, results),
				k.Install(recs, conntrack.InstallOptions{}, results),
				k.Update(recs, conntrack.UpdateOptions{}, results),
				k.Delete(keys, results))
			if _, err := l.Drain(1<<20, count); err != nil {
				errs = err
			}
		})
		must(t, errs)
		if allocs != 0 {
			t.Errorf("%v allocations", allocs)
		}
		if events != 6*(4*len(recs)) {
			t.Errorf("events: want %d, got %d", 6*4*len(recs), events)
		}
	})
}

// translatedFlows returns n TCP flows behind source NAT that do not clash.
func translatedFlows(n int) []session.Record {
	recs := make([]session.Record, n)
	for i := range recs {
		recs[i] = snatFlow()
		recs[i].Dst[3], recs[i].ReplySrc[3] = byte(i>>14), byte(i>>14)
		recs[i].SrcPort, recs[i].ReplyDstPort = uint16(1000+i&0x3fff), uint16(20000+i&0x3fff)
	}
	return recs
}

// BenchmarkParseEvent decodes the events of a short TCP connection.
func BenchmarkParseEvent(b *testing.B) {
	var msgs [][]byte
	size := 0
	for _, g := range readGolden(b, "messages") {
		var ev conntrack.Event
		if conntrack.ParseMessage(g.data, &ev) == nil && ev.Rec.Proto == tcp && ev.Kind != conntrack.Entry {
			msgs = append(msgs, g.data)
			size += len(g.data)
		}
	}
	b.ReportAllocs()
	b.SetBytes(int64(size / len(msgs)))
	var ev conntrack.Event
	i := 0
	for b.Loop() {
		if err := conntrack.ParseMessage(msgs[i], &ev); err != nil {
			b.Fatal(err)
		}
		if i++; i == len(msgs) {
			i = 0
		}
	}
}

// benchEntries is how many entries the kernel's benchmarks work on.
const benchEntries = 6400

// BenchmarkInstall creates translated TCP entries, in batches of 64; the metric
// is per entry. Without verification, with it by echo, and with it by asking
// (where the kernel echoes nothing).
func BenchmarkInstall(b *testing.B) {
	for _, bb := range []struct {
		name, events string
		o            conntrack.InstallOptions
	}{
		{"verify=no", "1", conntrack.InstallOptions{NoVerify: true}},
		{"verify=echo", "1", conntrack.InstallOptions{}},
		{"verify=get", "0", conntrack.InstallOptions{}},
	} {
		b.Run(bb.name, func(b *testing.B) {
			n := newNode(b)
			n.sysctl(b, "net/netfilter/nf_conntrack_events", bb.events)
			k := n.kernel(b)
			recs := translatedFlows(benchEntries)
			bench(b, func(results []error) error { return k.Install(recs, bb.o, results) },
				func(results []error) error { return k.Delete(keysOf(recs), results) })
		})
	}
}

// BenchmarkReinstall installs entries that are there already.
func BenchmarkReinstall(b *testing.B) {
	k := newNode(b).kernel(b)
	recs := translatedFlows(benchEntries)
	must(b, k.Install(recs, conntrack.InstallOptions{}, make([]error, len(recs))))
	bench(b, func(results []error) error { return k.Install(recs, conntrack.InstallOptions{}, results) }, nil)
}

// BenchmarkRenew renews timeouts, as a standby does.
func BenchmarkRenew(b *testing.B) {
	k := newNode(b).kernel(b)
	recs := translatedFlows(benchEntries)
	must(b, k.Install(recs, conntrack.InstallOptions{}, make([]error, len(recs))))
	o := conntrack.UpdateOptions{Fields: conntrack.UpdateTimeout, Hold: 600}
	bench(b, func(results []error) error { return k.Update(recs, o, results) }, nil)
}

// BenchmarkDump reads the table.
func BenchmarkDump(b *testing.B) {
	k := newNode(b).kernel(b)
	recs := translatedFlows(benchEntries)
	must(b, k.Install(recs, conntrack.InstallOptions{}, make([]error, len(recs))))
	bench(b, func([]error) error { return k.Dump(conntrack.Filter{}, func(*conntrack.Event) {}) }, nil)
}

// bench times work, on benchEntries entries, and not undo.
func bench(b *testing.B, work, undo func(results []error) error) {
	b.Helper()
	results := make([]error, benchEntries)
	b.ReportAllocs()
	for b.Loop() {
		must(b, work(results))
		if err := errors.Join(results...); err != nil {
			b.Fatal(err)
		}
		if undo != nil {
			b.StopTimer()
			must(b, undo(results))
			b.StartTimer()
		}
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/benchEntries, "ns/entry")
}

func keysOf(recs []session.Record) []session.Key {
	keys := make([]session.Key, len(recs))
	for i := range recs {
		keys[i] = recs[i].Key
	}
	return keys
}
