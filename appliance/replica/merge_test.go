package replica

import (
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// An event leaves out what did not change; what is known must not be lost by it.
func TestMergeKeepsWhatAnEventLeavesOut(t *testing.T) {
	whole := rogueFlow(1)
	whole.Proto, whole.Mark, whole.Status = 6, 7, session.StatusSeenReply|session.StatusAssured
	whole.TCP = session.TCP{State: session.TCPEstablished, WScaleOrig: 3, WScaleReply: 4, FlagsOrig: 0x03, FlagsReply: 0x03}
	whole.SeqAdj[1].OffsetAfter = 5
	const all = conntrack.HasStatus | conntrack.HasTimeout | conntrack.HasMark | conntrack.HasID | conntrack.HasTCP |
		conntrack.HasTCPOptions | conntrack.HasSCTP | conntrack.HasSeqAdj
	e := &Engine{cfg: Config{Node: "a", Groups: []Group{{Name: "g"}}}}
	e.newTable()
	s, _, err := e.table.Upsert(&whole, 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		has    conntrack.HasBits
		change func(*session.Record)
		want   func(*session.Record)
	}{
		{"nothing", 0, func(*session.Record) {}, func(*session.Record) {}},
		{"only the state", conntrack.HasTCP, func(r *session.Record) { r.TCP.State = session.TCPFinWait },
			func(r *session.Record) { r.TCP.State = session.TCPFinWait }},
		{"only the mark", conntrack.HasMark, func(r *session.Record) { r.Mark = 9 }, func(r *session.Record) { r.Mark = 9 }},
		{"only the status", conntrack.HasStatus, func(r *session.Record) { r.Status = 2 }, func(r *session.Record) { r.Status = 2 }},
		{"a mark that was taken away", all, func(r *session.Record) { *r = whole; r.Mark = 0 }, func(r *session.Record) { r.Mark = 0 }},
		{"flags about numbers that do not travel", all, func(r *session.Record) { *r = whole; r.TCP.FlagsOrig |= 0x30 }, func(*session.Record) {}},
		{"liberal by installation", all, func(r *session.Record) { *r = whole; r.TCP.FlagsOrig |= session.TCPFlagLiberal }, func(*session.Record) {}},
	} {
		ev := conntrack.Event{Has: tt.has, Rec: session.Record{Key: whole.Key, ReplySrc: whole.ReplySrc, ReplyDst: whole.ReplyDst,
			ReplySrcPort: whole.ReplySrcPort, ReplyDstPort: whole.ReplyDstPort, ID: whole.ID}}
		tt.change(&ev.Rec)
		want := whole
		tt.want(&want)
		if got, ok := e.merge(&ev, s, true); !ok || *got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", tt.name, got.String(), want.String())
		}
	}
	ev := conntrack.Event{Rec: whole, Has: all &^ conntrack.HasTCP}
	if _, ok := e.merge(&ev, 0, false); ok || e.counters.Partial != 1 {
		t.Error("a TCP flow of which the state is not known is taken")
	}
	ev.Has = all | conntrack.HasTupleZone
	if _, ok := e.merge(&ev, 0, false); ok || e.counters.Unsupported != 1 {
		t.Error("a flow with a zone in one direction is taken")
	}
}
