package replica

import (
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// A session that came from a peer carries that peer's ID. If it ends while the
// first dump after a takeover is read, the dump, which still shows it, with the
// ID of this kernel, must not bring it back.
func TestEndDuringTheFirstDump(t *testing.T) {
	e := &Engine{cfg: Config{Node: "a", Groups: []Group{{Name: "g"}}}}
	e.newTable()
	rec := rogueFlow(1)
	rec.ID = 1
	if _, _, err := e.table.Upsert(&rec, 0, 0); err != nil {
		t.Fatal(err)
	}
	e.groups.Activate(0, 1)
	gen := e.table.NextGeneration()
	e.table.KeepTombstones(true)
	rec.ID = 99
	e.ended(&conntrack.Event{Kind: conntrack.Destroy, Has: conntrack.HasID, Rec: rec})
	if _, _, err := e.table.Reconcile(&rec, 0, gen); err != nil || e.table.Len() != 0 {
		t.Fatalf("%d sessions, %v", e.table.Len(), err)
	}
	// Another incarnation is another matter; and its end is not heard twice.
	rec.ID = 100
	s, ch, err := e.table.Reconcile(&rec, 0, gen)
	if err != nil || ch&session.ChangeNew == 0 {
		t.Fatal(ch, err)
	}
	e.own(s, &rec.Key, ch, -1, nil)
	old := rec
	old.ID = 99
	e.ended(&conntrack.Event{Kind: conntrack.Destroy, Has: conntrack.HasID, Rec: old})
	if e.table.Len() != 1 {
		t.Fatal("ended by the end of an earlier incarnation")
	}
	e.table.KeepTombstones(false)
	e.table.Ignore(session.SinkKernel)
}
