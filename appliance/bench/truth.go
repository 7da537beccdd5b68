package bench

import (
	"net/netip"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Truth compares what the standby's kernel has, after a takeover if it needs one
// to have it, with what the active gateway's has: entry by entry.
type Truth struct {
	Sessions int `json:"sessions"` // that both should have
	Missing  int `json:"missing"`
	Ghosts   int `json:"ghosts"` // that are over
	Wrong    int `json:"wrong"`  // translated otherwise, or not
}

// Whole tells whether there is nothing to find fault with.
func (t Truth) Whole() bool { return t.Missing+t.Ghosts+t.Wrong == 0 }

// made tells whether a flow is one of those that the measurements make.
func made(k *session.Key) bool {
	there := netip.MustParsePrefix("198.18.0.0/15")
	return k.Family == 4 && (there.Contains(k.Dst.Netip(4)) || there.Contains(k.Src.Netip(4)) || floodNet.Contains(k.Src.Netip(4)))
}

// truth compares the two. Of a connection that is not established, or is over, the
// other gateway need not know.
func truth(active, standby map[session.Key]session.Record) (t Truth) {
	for k, r := range active {
		if !made(&k) || !r.Replicable() {
			continue
		}
		t.Sessions++
		s, ok := standby[k]
		switch {
		case !ok:
			t.Missing++
		case !s.SameBinding(&r) || !conntrack.InEffect(&s):
			t.Wrong++
		}
	}
	for k, r := range standby {
		if _, ok := active[k]; !ok && made(&k) && r.Replicable() {
			t.Ghosts++
		}
	}
	return t
}
