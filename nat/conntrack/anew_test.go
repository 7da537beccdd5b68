package conntrack_test

import (
	"testing"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// TestAnew: an entry is another one afterwards, translated as before, and without what
// the packets had made of it; where there was none there is one, and what another
// flow holds stays that flow's.
func TestAnew(t *testing.T) {
	n := newNode(t)
	k := n.kernel(t)
	tunnel := flow(gre, "10.0.0.2:7", "9.9.9.9:9", "9.9.9.9:9", "203.0.113.1:7")
	tunnel.Timeout, tunnel.Status = 86400, 0
	must(t, k.Anew(&tunnel, conntrack.InstallOptions{}))
	first, err := k.Get(tunnel.Key)
	must(t, err)
	// As packets do: what is set once can be cleared by nobody.
	used := first
	used.Status |= session.StatusSeenReply
	var res [1]error
	must(t, k.Update([]session.Record{used}, conntrack.UpdateOptions{Fields: conntrack.UpdateStatus}, res[:]))
	must(t, res[0])
	if used, err = k.Get(tunnel.Key); err != nil || used.Status&session.StatusSeenReply == 0 {
		t.Fatalf("the entry is not as after a packet: %v %v", used.Status, err)
	}
	must(t, k.Anew(&tunnel, conntrack.InstallOptions{}))
	got, err := k.Get(tunnel.Key)
	must(t, err)
	if got.Status&session.StatusSeenReply != 0 || !conntrack.InEffect(&got) || !got.SameBinding(&tunnel) {
		t.Errorf("installed anew: %s, status %v", got.String(), got.Status)
	}
	other := flow(gre, "10.0.0.3:7", "9.9.9.9:9", "9.9.9.9:9", "203.0.113.1:7")
	if err := k.Anew(&other, conntrack.InstallOptions{}); err != conntrack.ErrClash {
		t.Errorf("another flow's translated tuple: %v, want a clash", err)
	}
	if _, err := k.Get(tunnel.Key); err != nil {
		t.Errorf("the flow that holds the tuple: %v", err)
	}
}
