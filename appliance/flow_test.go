package appliance

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"text/tabwriter"
	"time"
)

func end(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func someFlow() Flow {
	return Flow{Group: "gateway", FlowName: FlowName{Protocol: "tcp", Source: end("10.0.0.9:4000"), Destination: end("198.51.100.9:443")},
		ReplySource: end("198.51.100.9:443"), ReplyDestination: end("203.0.113.1:20000"), State: "established", Own: true, Installed: true}
}

func TestFlowsText(t *testing.T) {
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	WriteFlowsHead(w)
	own, young, held, cold := someFlow(), someFlow(), someFlow(), someFlow()
	young.Young = true
	held.Own, held.State = false, ""
	cold.Own, cold.Installed = false, false
	for _, f := range []Flow{own, young, held, cold} {
		f.WriteText(w)
	}
	w.Flush()
	want := `GROUP    PROTOCOL  SOURCE         DESTINATION       REPLY FROM        REPLY TO           STATE        HERE
gateway  tcp       10.0.0.9:4000  198.51.100.9:443  198.51.100.9:443  203.0.113.1:20000  established  own
gateway  tcp       10.0.0.9:4000  198.51.100.9:443  198.51.100.9:443  203.0.113.1:20000  established  own, young
gateway  tcp       10.0.0.9:4000  198.51.100.9:443  198.51.100.9:443  203.0.113.1:20000  -            held for a peer
gateway  tcp       10.0.0.9:4000  198.51.100.9:443  198.51.100.9:443  203.0.113.1:20000  established  held, not in the kernel
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
}

func TestDiffText(t *testing.T) {
	f := someFlow()
	one := FlowDifference{Group: f.Group, FlowName: f.FlowName, ReplySource: f.ReplySource, ReplyDestination: f.ReplyDestination,
		What: "lacks", Why: "refused", Detail: "its table is full"}
	two := FlowDifference{Group: f.Group, FlowName: f.FlowName, What: "extra", Why: "missing"}
	for _, tt := range []struct {
		name string
		d    FlowsDiff
		want string
	}{
		{"some", FlowsDiff{DiffSummary{Peer: "gw2", Asked: true}, []FlowDifference{one, two}},
			`gw2    WHY                         GROUP    PROTOCOL  SOURCE         DESTINATION       REPLY FROM        REPLY TO
lacks  refused: its table is full  gateway  tcp       10.0.0.9:4000  198.51.100.9:443  198.51.100.9:443  203.0.113.1:20000
extra  missing                     gateway  tcp       10.0.0.9:4000  198.51.100.9:443  -                 -
2 flows differ from those of gw2
`},
		{"none", FlowsDiff{DiffSummary: DiffSummary{Peer: "gw2", Asked: true, Equal: true}}, "gw2 has the same sessions\n"},
		{"none, of an old peer", FlowsDiff{DiffSummary: DiffSummary{Peer: "gw2", Equal: true}},
			"gw2 has acknowledged every session (its version cannot be asked what it has)\n"},
	} {
		var b bytes.Buffer
		if err := tt.d.WriteText(&b); err != nil || b.String() != tt.want {
			t.Errorf("%s: %v, got\n%swant\n%s", tt.name, err, b.String(), tt.want)
		}
	}
}

func TestUnprotectedText(t *testing.T) {
	for _, tt := range []struct {
		name string
		u    UnprotectedStatus
		want string
	}{
		{"none", UnprotectedStatus{}, "if it died now\tevery flow goes on\n"},
		{"some", UnprotectedStatus{Total: 10, Young: 5, Dirty: 1, InFlight: 2, Refused: 2, Classes: []ClassUnprotected{{"udp 53", 5, 0}}},
			"if it died now\t10 flows unprotected: 5 young, 1 not sent yet, 2 in flight, 2 refused by the peer, class udp 53: 5\n"},
		{"no peer", UnprotectedStatus{Total: 7, Unsynced: 7}, "if it died now\t7 flows unprotected: 7 not known to be at a peer\n"},
	} {
		var b bytes.Buffer
		if tt.u.writeText(&b); b.String() != tt.want {
			t.Errorf("%s: got %q, want %q", tt.name, b.String(), tt.want)
		}
	}
}

func TestTakeoversText(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	n := 3
	f := someFlow()
	all := []TakeoverStatus{{At: at, Group: "gateway", Term: 4, From: "gw1", Sessions: 100, Hot: 99, Installed: 1, DurationSeconds: 0.004, LostEstimate: &n,
		LostCount: 2, Lost: []LostFlow{{f.FlowName, "another flow of this kernel was in the way"}}}, {At: at, Group: "gateway", Term: 2}}
	var b bytes.Buffer
	if err := WriteTakeovers(&b, all, at); err != nil {
		t.Fatal(err)
	}
	want := `WHEN                  GROUP    TERM  FROM  SESSIONS  HOT  INSTALLED  REFUSED  CLASHES  LOST  LATE  TOOK   EVENTS  LINK   KERNEL
2026-01-02T03:04:05Z  gateway  4     gw1   100       99   1          0        0        ~3    0     4.0ms  0.0ms   0.0ms  0.0ms
2026-01-02T03:04:05Z  gateway  2     -     0         0    0          0        0        ?     0     0.0ms  0.0ms   0.0ms  0.0ms
lost at 2026-01-02T03:04:05Z: tcp 10.0.0.9:4000 > 198.51.100.9:443: another flow of this kernel was in the way
lost at 2026-01-02T03:04:05Z: 1 more
`
	if b.String() != want {
		t.Errorf("got\n%swant\n%s", b.String(), want)
	}
	for _, tt := range []struct{ l, want string }{
		{all[0].text(at.Add(time.Minute)), "1m0s ago, 99 sessions hot, 1 installed in 4.0 ms, from gw1, about 3 lost, 2 known to be lost"},
		{all[1].text(at), "0s ago, 0 sessions hot, 0 installed in 0.0 ms, lost: not known"},
	} {
		if strings.TrimSpace(tt.l) != tt.want {
			t.Errorf("got %q, want %q", tt.l, tt.want)
		}
	}
}
