package conntrack_test

import (
	"testing"

	"golang.org/x/sys/unix"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// ftpData is the data connection of snatFlow: announced by the client, whose words
// the gateway has rewritten.
func ftpData(master *session.Record) session.Expect {
	x := session.Expect{
		Key: session.Key{Src: master.Dst, Dst: master.ReplyDst, DstPort: 30000, Proto: tcp, Family: 4},
		NAT: true, NATDir: 1, NATPort: 2000, Timeout: 300,
		Helper: session.NameFrom("ftp"), Fn: session.FnFrom("nat-follow-master"),
	}
	for i := range 4 {
		x.MaskSrc[i] = 0xff
	}
	return x
}

func control() session.Record {
	r := snatFlow()
	r.DstPort, r.ReplySrcPort = 21, 21
	r.Helper = session.NameFrom("ftp")
	return r
}

// TestExpectGivesBack: what is created is what a dump and an event show.
func TestExpectGivesBack(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	l := n.listener(t, conntrack.ListenerConfig{})
	must(t, l.Join(conntrack.GroupExpectNew, conntrack.GroupExpectDestroy))
	var events []conntrack.ExpectEvent
	l.OnExpect(func(ev *conntrack.ExpectEvent) { events = append(events, *ev) })
	master := control()
	must(t, install(t, k, conntrack.InstallOptions{}, master))
	want := ftpData(&master)
	var res [1]error
	must(t, k.Expect(master.Key, []session.Expect{want}, res[:]))
	must(t, res[0])
	var got []conntrack.ExpectEvent
	must(t, k.DumpExpects(func(ev *conntrack.ExpectEvent) { got = append(got, *ev) }))
	if len(got) != 1 || got[0].Kind != conntrack.Entry || got[0].Master != master.Key || !got[0].Expect.Same(&want) {
		t.Fatalf("dump:\ngot  %+v\nwant %+v", got, want)
	}
	if e, err := k.Get(master.Key); err != nil || e.Helper != master.Helper {
		t.Errorf("master: %s, %v", e.String(), err)
	}
	must(t, k.Expect(master.Key, []session.Expect{want}, res[:]))
	if res[0] != nil {
		t.Errorf("once more: %v", res[0])
	}
	must(t, k.Unexpect([]session.Expect{want}, res[:]))
	must(t, res[0])
	must(t, k.Unexpect([]session.Expect{want}, res[:]))
	if res[0] != conntrack.ErrNotFound {
		t.Errorf("a second end: %v", res[0])
	}
	_, err := l.Drain(100, func(*conntrack.Event) {})
	must(t, err)
	if len(events) < 2 || events[0].Kind != conntrack.New || events[len(events)-1].Kind != conntrack.Destroy || !events[0].Expect.Same(&want) || events[0].Master != master.Key {
		t.Errorf("events %+v", events)
	}
	if s := l.Stats(); s.Malformed != 0 {
		t.Errorf("%+v", s)
	}
}

// TestExpectNeedsItsMaster: what the kernel says if that is not there, or has no
// helper, and of a related flow.
func TestExpectNeedsItsMaster(t *testing.T) {
	k := newNode(t).kernel(t)
	master := control()
	x := ftpData(&master)
	var res [1]error
	must(t, k.Expect(master.Key, []session.Expect{x}, res[:]))
	if res[0] != conntrack.ErrNotFound {
		t.Errorf("without its master: %v", res[0])
	}
	bare := master
	bare.Helper = session.Name{}
	must(t, install(t, k, conntrack.InstallOptions{}, bare))
	must(t, k.Expect(master.Key, []session.Expect{x}, res[:]))
	if res[0] != unix.EOPNOTSUPP {
		t.Errorf("of a master without a helper: %v", res[0])
	}
	unknown := control()
	unknown.SrcPort, unknown.ReplyDstPort = 40001, 20002
	unknown.Helper = session.NameFrom("no-such-helper")
	wantResult(t, install(t, k, conntrack.InstallOptions{}, unknown), unix.EOPNOTSUPP)
	child := flow(tcp, "10.0.0.2:40002", "198.51.100.80:2000", "198.51.100.80:2000", "203.0.113.1:40002")
	child.Master = unknown.Key
	wantResult(t, install(t, k, conntrack.InstallOptions{}, child), conntrack.ErrNotFound)
	child.Master = bare.Key
	wantResult(t, install(t, k, conntrack.InstallOptions{}, child), nil)
	e, err := k.Get(child.Key)
	must(t, err)
	if e.Master != bare.Key || e.Status&session.StatusExpected == 0 || e.Status&session.StatusSrcNAT == 0 {
		t.Errorf("entry %s", e.String())
	}
}

// FuzzParseExpect: whatever the bytes, no panic, and what is parsed is made again.
func FuzzParseExpect(f *testing.F) {
	master := control()
	x := ftpData(&master)
	f.Add(conntrack.AppendExpectCreate(nil, 1, &master.Key, &x))
	six := x
	six.Family, six.Zone = 6, 3
	six.Src[15], six.Dst[15] = 1, 2
	m6 := master.Key
	m6.Family, m6.Zone = 6, 3
	f.Add(conntrack.AppendExpectCreate(nil, 1, &m6, &six))
	f.Fuzz(func(t *testing.T, b []byte) {
		var ev, again conntrack.ExpectEvent
		if conntrack.ParseExpect(b, &ev) != nil || ev.Kind == conntrack.Destroy {
			return
		}
		out := conntrack.AppendExpectCreate(nil, 1, &ev.Master, &ev.Expect)
		if err := conntrack.ParseExpect(out, &again); err != nil {
			t.Fatalf("%v\n%+v", err, ev)
		}
		if ev.Expect.NATAddr != again.Expect.NATAddr || ev.Master.Src != again.Master.Src || ev.Expect.Dst != again.Expect.Dst || ev.Expect.MaskSrc != again.Expect.MaskSrc {
			t.Fatalf("%+v\n%+v", ev, again)
		}
	})
}
