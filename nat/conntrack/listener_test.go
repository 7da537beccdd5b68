package conntrack_test

import (
	"net/netip"
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// numbered returns n flows that do not clash.
func numbered(n int) []session.Record {
	recs := make([]session.Record, n)
	for i := range recs {
		recs[i] = flow(udp, "10.0.0.2:1", "198.51.100.80:443", "198.51.100.80:443", "10.0.0.2:1")
		recs[i].Src[2], recs[i].ReplyDst[2] = byte(i>>14), byte(i>>14)
		recs[i].SrcPort, recs[i].ReplyDstPort = uint16(1+i&0x3fff), uint16(1+i&0x3fff)
	}
	return recs
}

// drain reads what is queued.
func drain(t testing.TB, l *conntrack.Listener) (events []conntrack.Event) {
	t.Helper()
	_, err := l.Drain(1<<20, func(ev *conntrack.Event) { events = append(events, *ev) })
	must(t, err)
	return events
}

// TestOwnChangesYieldNoEvent: the filter drops what the injector causes, in all
// three groups, and nothing of another process.
func TestOwnChangesYieldNoEvent(t *testing.T) {
	n := newNode(t)
	own, other := n.kernel(t), n.kernel(t)
	l := n.listener(t, conntrack.ListenerConfig{IgnorePort: own.PortID()})
	recs := numbered(2)
	change := func(k *conntrack.Kernel, r session.Record) {
		t.Helper()
		must(t, install(t, k, conntrack.InstallOptions{}, r))
		var results [1]error
		must(t, k.Update([]session.Record{r}, conntrack.UpdateOptions{Fields: conntrack.UpdateTimeout}, results[:]))
		must(t, results[0])
		must(t, k.Delete([]session.Key{r.Key}, results[:]))
		must(t, results[0])
	}
	change(own, recs[0])
	if events := drain(t, l); len(events) != 0 {
		t.Errorf("own changes: want no events, got %+v", events)
	}
	change(other, recs[1])
	events := drain(t, l)
	if len(events) != 3 {
		t.Fatalf("another's changes: want 3 events, got %+v", events)
	}
	for i, kind := range []conntrack.EventKind{conntrack.New, conntrack.Update, conntrack.Destroy} {
		if ev := events[i]; ev.Kind != kind || ev.Rec.Key != recs[1].Key || ev.PortID != other.PortID() {
			t.Errorf("event %d: want %v by port %d, got %+v", i, kind, other.PortID(), ev)
		}
	}

	must(t, l.Ignore(own.PortID(), other.PortID()))
	change(other, recs[0])
	change(own, recs[1])
	if events := drain(t, l); len(events) != 0 {
		t.Errorf("two ignored ports: want no events, got %+v", events)
	}
	must(t, l.Ignore())
	change(own, recs[0])
	change(other, recs[1])
	if events := drain(t, l); len(events) != 6 {
		t.Errorf("no ignored port: want 6 events, got %d", len(events))
	}
	if s := l.Stats(); s.Malformed != 0 || s.Events != 9 {
		t.Errorf("stats: %+v", s)
	}
}

// TestGroupsAtRunTime: a standby leaves NEW and UPDATE and keeps DESTROY.
func TestGroupsAtRunTime(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	l := n.listener(t, conntrack.ListenerConfig{})
	r := numbered(1)[0]
	kinds := func() (kinds []conntrack.EventKind) {
		must(t, install(t, k, conntrack.InstallOptions{}, r))
		var results [1]error
		must(t, k.Delete([]session.Key{r.Key}, results[:]))
		for _, ev := range drain(t, l) {
			kinds = append(kinds, ev.Kind)
		}
		return kinds
	}
	if got := kinds(); len(got) != 2 || got[0] != conntrack.New || got[1] != conntrack.Destroy {
		t.Errorf("all groups: got %v", got)
	}
	must(t, l.Leave(conntrack.GroupNew, conntrack.GroupUpdate))
	if got := kinds(); len(got) != 1 || got[0] != conntrack.Destroy {
		t.Errorf("only DESTROY: got %v", got)
	}
	must(t, l.Join(conntrack.GroupNew))
	if got := kinds(); len(got) != 2 {
		t.Errorf("joined again: got %v", got)
	}
}

// TestOverrunIsToldAndEnds: a buffer that is too small loses events, the error
// says so once, what is left is read, and the socket goes on.
func TestOverrunIsToldAndEnds(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	l := n.listener(t, conntrack.ListenerConfig{RcvBuf: 4096})
	recs := numbered(1000)
	results := make([]error, len(recs))
	must(t, k.Install(recs, conntrack.InstallOptions{}, results))

	got := 0
	count := func(*conntrack.Event) { got++ }
	_, err := l.Drain(1<<20, count)
	wantResult(t, err, conntrack.ErrOverrun)
	_, err = l.Drain(1<<20, count)
	must(t, err)
	if got == 0 || got >= len(recs) {
		t.Errorf("events: want some of %d, got %d", len(recs), got)
	}
	if s := l.Stats(); s.Overruns != 1 || s.Events != uint64(got) || s.Malformed != 0 {
		t.Errorf("stats: %+v", s)
	}

	// It goes on: the next event arrives.
	var one [1]error
	must(t, k.Delete([]session.Key{recs[0].Key}, one[:]))
	if events := drain(t, l); len(events) != 1 || events[0].Kind != conntrack.Destroy || events[0].Rec.Key != recs[0].Key {
		t.Errorf("after the overrun: got %+v", events)
	}
}

// TestDrainStopsAtTheLimit, and the rest is still there.
func TestDrainStopsAtTheLimit(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	l := n.listener(t, conntrack.ListenerConfig{})
	recs := numbered(100)
	results := make([]error, len(recs))
	must(t, k.Install(recs, conntrack.InstallOptions{}, results))
	var keys []session.Key
	for _, step := range []struct{ limit, want int }{{3, 3}, {70, 70}, {70, 27}, {70, 0}} {
		n, err := l.Drain(step.limit, func(ev *conntrack.Event) { keys = append(keys, ev.Rec.Key) })
		must(t, err)
		if n != step.want {
			t.Errorf("drained with limit %d: want %d, got %d", step.limit, step.want, n)
		}
	}
	for i := range recs {
		if keys[i] != recs[i].Key {
			t.Fatalf("event %d out of order: %+v", i, keys[i])
		}
	}
}

// TestEventsOfFlowsOlderThanTheListener: events of flows that were created while
// nobody listened come if nf_conntrack_events is 1, and never if it is 0. With 2,
// the kernel's default, it depends on whether anybody listened anywhere on the
// machine, in whatever namespace, so the daemon sets 1.
func TestEventsOfFlowsOlderThanTheListener(t *testing.T) {
	for _, tt := range []struct {
		sysctl string
		want   int
	}{{"1", 2}, {"0", 0}} {
		t.Run("nf_conntrack_events="+tt.sysctl, func(t *testing.T) {
			n := newNode(t)
			n.sysctl(t, "net/netfilter/nf_conntrack_events", tt.sysctl)
			k := n.kernel(t)
			r := numbered(1)[0]
			must(t, install(t, k, conntrack.InstallOptions{}, r))
			l := n.listener(t, conntrack.ListenerConfig{})
			var results [1]error
			must(t, k.Update([]session.Record{r}, conntrack.UpdateOptions{}, results[:]))
			must(t, k.Delete([]session.Key{r.Key}, results[:]))
			if events := drain(t, l); len(events) != tt.want {
				t.Errorf("want %d events, got %+v", tt.want, events)
			}
		})
	}
}

// TestDumpFilters: the kernel selects.
func TestDumpFilters(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	plain := numbered(1)[0]
	snat := snatFlow()
	marked := snatFlow()
	marked.SrcPort, marked.ReplyDstPort, marked.Mark = 2, 2, 0x105
	zoned := snatFlow()
	zoned.Zone = 9
	half := numbered(2)[1]
	half.Status = session.StatusConfirmed
	v6 := flow(tcp, "[fd00::2]:5000", "[2001:db8::1]:80", "[2001:db8::1]:80", "[2001:db8:1::1]:6000")
	v6b := flow(tcp, "[fd00::2]:5000", "[2001:db8::2]:80", "[2001:db8::2]:80", "[2001:db8:1::1]:6000")
	all := []session.Record{plain, snat, marked, zoned, half, v6, v6b}
	results := make([]error, len(all))
	must(t, k.Install(all, conntrack.InstallOptions{}, results))
	for i, err := range results {
		if err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
	}
	publicAddr := netip.MustParseAddr("203.0.113.1")
	tests := []struct {
		name string
		f    conntrack.Filter
		want []session.Record
	}{
		{"all", conntrack.Filter{}, all},
		{"ipv4", conntrack.Filter{Family: 4}, []session.Record{plain, snat, marked, zoned, half}},
		{"ipv6", conntrack.Filter{Family: 6}, []session.Record{v6, v6b}},
		{"zone", conntrack.Filter{Zone: 9}, []session.Record{zoned}},
		{"assured", conntrack.Filter{Status: session.StatusAssured, StatusMask: session.StatusAssured}, []session.Record{plain, snat, marked, zoned, v6, v6b}},
		{"translated source", conntrack.Filter{Status: session.StatusSrcNAT, StatusMask: session.StatusSrcNAT}, []session.Record{snat, marked, zoned, v6, v6b}},
		{"mark", conntrack.Filter{Mark: 5, MarkMask: 0xff}, []session.Record{marked}},
		{"reply to the public address", conntrack.Filter{Family: 4, ReplyDst: publicAddr}, []session.Record{snat, marked, zoned}},
		{"from and to", conntrack.Filter{Family: 4, OrigSrc: netip.MustParseAddr("10.0.0.2"), OrigDst: netip.MustParseAddr("198.51.100.80")}, []session.Record{plain, snat, marked, zoned, half}},
		{"from nobody", conntrack.Filter{Family: 4, OrigSrc: netip.MustParseAddr("10.0.0.99")}, nil},
		{"reply from, ipv6", conntrack.Filter{Family: 6, ReplySrc: netip.MustParseAddr("2001:db8::1")}, []session.Record{v6}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := map[session.Key]bool{}
			must(t, k.Dump(tt.f, func(ev *conntrack.Event) {
				if ev.Kind != conntrack.Entry {
					t.Errorf("kind: want entry, got %v", ev.Kind)
				}
				got[ev.Rec.Key] = true
			}))
			for _, r := range tt.want {
				if !got[r.Key] {
					t.Errorf("missing: %+v", r.Key)
				}
				delete(got, r.Key)
			}
			for k := range got {
				t.Errorf("not asked for: %+v", k)
			}
		})
	}
}
