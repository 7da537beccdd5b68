package replica

import (
	"net/netip"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/replica/journal"
	"understudy/nat/session"
)

// When the journal is written, when it goes, by what is known of peers. There is no
// peer but in words: nothing is sent.
func TestWhenTheDiskIsWritten(t *testing.T) {
	node := lab.NewT(t).Node("a")
	if err := node.Sysctl("netfilter/nf_conntrack_events", "1"); err != nil {
		t.Fatal(err)
	}
	vip := netip.MustParseAddr("203.0.113.1")
	e, err := Open(Config{Node: "a", Listen: netip.MustParseAddrPort("127.0.0.1:7788"), Peers: []Peer{{Name: "b", Addr: netip.MustParseAddrPort("127.0.0.1:7789")}}, Secrets: [][]byte{rogueSecret},
		Groups: []Group{{Name: "gw", Addresses: []netip.Addr{vip}}}, Namespace: node.Do,
		Knobs: session.Knobs{Disk: session.DiskAlone}, Journal: JournalConfig{Dir: t.TempDir()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() }) // it never ran, so there is nothing to lock
	a := session.AddrFrom(vip)
	rec := session.Record{Key: session.Key{Src: a, SrcPort: 1, Proto: 17, Family: 4}, ReplyDst: a, Timeout: 100}
	now := time.Now()
	want := func(what string, passes time.Duration, w journal.Want) {
		t.Helper()
		now = now.Add(passes)
		if got := e.wantsDisk(now); got != w {
			t.Errorf("%s: %d, want %d", what, got, w)
		}
	}
	synced := func(on bool) {
		if e.peers[0].out = nil; on {
			e.peers[0].out = &wire{}
		}
	}
	want("there is nothing at all", 0, journal.Leave)
	want("and nobody who would know", time.Minute, journal.Leave)
	e.table.Upsert(&rec, 0, 0)
	want("restored, nobody is Active", 0, journal.Leave)
	want("for a while", time.Hour, journal.Leave)
	e.groups.Activate(0, 1)
	want("Active, alone", 0, journal.Leave)
	want("for a moment", aloneFor/2, journal.Leave)
	want("for a while", aloneFor, journal.Write)
	// A sender that has sent everything to somebody who has applied it.
	e.peers[0].sender = syncedSender(t, e)
	synced(true)
	want("a peer has all", 0, journal.Leave)
	want("for a while", vouchedFor, journal.Drop)
	synced(false)
	want("the peer is gone", 0, journal.Leave)
	want("for a while", aloneFor, journal.Write)
	synced(true)
	want("back", 0, journal.Leave)
	want("for less than a while", vouchedFor/2, journal.Leave)
	synced(false)
	want("and gone", 0, journal.Leave)
	want("for a while", aloneFor, journal.Write)
	synced(true)
	e.groups.SetIncomplete(0, true)
	want("a peer has all, but we have not", 0, journal.Leave)
	want("for a while", time.Hour, journal.Leave)
	e.groups.SetIncomplete(0, false)
	e.groups.Deactivate(0)
	want("handed over, the peer's set has not come", time.Hour, journal.Leave)
	want("for a while", time.Hour, journal.Leave)
	e.cfg.Journal.When = JournalAlways
	want("always", 0, journal.Write)
	e.cfg.Journal.When = JournalOff
	want("off by a reload: what was written gets old", 0, journal.Drop)
	want("off", 0, journal.Leave)
}

// syncedSender is one whose peer has applied a full transfer.
func syncedSender(t *testing.T, e *Engine) *session.Sender {
	t.Helper()
	s := session.NewSender(e.table, e.groups, 1, session.Hello{Node: "a"})
	tb := session.NewTable([2]uint64{1, 2}, time.Now(), 0)
	g := session.NewGroups("b", "gw")
	r := session.NewReceiver(tb, g, e.scope, session.Hello{Node: "b"})
	now := time.Now()
	s.Connect(now)
	r.Connect(now)
	for range 10 {
		each(t, s.Fill(now, make([]byte, 0, 16<<10)), func(typ session.Type, b []byte) error { return r.Handle(now, typ, b) })
		r.Applied(tb.KernelQueue())
		each(t, r.Reply(nil), func(typ session.Type, b []byte) error { return s.Handle(now, typ, b) })
	}
	if ok, _ := s.Synced(); !ok {
		t.Fatal("not synced")
	}
	return s
}

func each(t *testing.T, b []byte, fn func(session.Type, []byte) error) {
	t.Helper()
	for len(b) > 0 {
		h, err := session.ParseHeader(b)
		if err == nil {
			err = fn(h.Type, b[session.HeaderLen:session.HeaderLen+h.Length])
		}
		if err != nil {
			t.Fatal(err)
		}
		b = b[session.HeaderLen+h.Length:]
	}
}
