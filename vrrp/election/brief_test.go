package election

import (
	"net/netip"
	"reflect"
	"testing"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/witness"
)

// A new election is told what the daemon has decided so far, and the last word
// only: before it may go on as Active, and before it begins.
func TestANewElectionIsToldEverything(t *testing.T) {
	mine, theirs, err := SocketPair()
	if err != nil {
		t.Fatal(err)
	}
	defer theirs.Close()
	defer mine.Close()
	board, err := NewBoard()
	if err != nil {
		t.Fatal(err)
	}
	defer board.Close()
	guard := Guard{Config: witness.Config{Node: "n", Mode: witness.ModeHold, Listen: netip.MustParseAddrPort("10.255.0.1:7788"), Key: witness.Key{1},
		Peers: []witness.Peer{{Name: "m", Address: netip.MustParseAddrPort("10.255.0.2:7788"), Keys: []witness.Key{{2}, {3}}}}}}
	c := &Client{link: mine, board: board, fences: map[string]Fence{}, eligible: map[string]Eligible{},
		faults: map[string]Fault{}, weights: map[string]Weight{}}
	for _, m := range []Message{
		Configure{Config: configOf(200)}, Guard{}, guard, Neighbour{State: witness.NeighbourDown}, Neighbour{State: witness.NeighbourUp},
		Fence{Group: "gw"}, Eligible{Group: "gw", Reason: "not-in-sync"},
		Fault{Group: "gw", On: true, Reason: "check web down"}, Weight{Group: "gw", Weight: -20}, Weight{Group: "gw", Weight: -50}, Ready{},
	} {
		if err := c.remember(m); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.brief([]GroupState{{Group: "gw", State: vrrp.Active, Term: 7}}); err != nil {
		t.Fatal(err)
	}
	want := []Message{Configure{Config: configOf(200)}, guard, Neighbour{State: witness.NeighbourUp}, Fence{Group: "gw"}, Eligible{Group: "gw", Reason: "not-in-sync"},
		Fault{Group: "gw", On: true, Reason: "check web down"}, Weight{Group: "gw", Weight: -50}, Resume{Group: "gw", Term: 7}, Ready{}}
	b := make([]byte, maxMessage)
	for _, w := range want {
		_ = theirs.SetReadDeadline(time.Now().Add(time.Second))
		n, err := theirs.Read(b)
		if err != nil {
			t.Fatalf("instead of %+v: %v", w, err)
		}
		if m, err := Unmarshal(b[:n]); err != nil || !reflect.DeepEqual(w, m) {
			t.Errorf("want %+v, got %+v (%v)", w, m, err)
		}
	}
}
