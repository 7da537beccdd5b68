package metrics_test

import (
	"context"
	"errors"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"understudy/appliance"
	"understudy/appliance/metrics"
)

var update = flag.Bool("update", false, "write docs/metrics.md")

// node is a source whose status a test writes.
type node struct {
	status    appliance.Status
	takeovers []appliance.TakeoverStatus
	err       error
}

func (n *node) Status(context.Context) (appliance.Status, error) { return n.status, n.err }
func (n *node) Takeovers(context.Context) ([]appliance.TakeoverStatus, error) {
	return n.takeovers, n.err
}

// full has something of everything.
func full() *node {
	at, lag := time.Unix(1_700_000_000, 0), 0.002
	bound := .001
	s := appliance.NewStatus()
	s.Node, s.Version, s.UptimeSeconds = "gw1", "v1", 12.5
	s.Election = appliance.ElectionStatus{Version: "v0", Realtime: true, Lateness: appliance.Histogram{Count: 5, SumSeconds: .5, MaxSeconds: .2,
		Buckets: []appliance.Bucket{{UpToSeconds: &bound, Count: 3}, {Count: 2}}}}
	s.Routers = []appliance.RouterStatus{
		{Name: "lan", Family: "ipv4", State: "active", Priority: 200, EffectivePriority: 180, AdvertIntervalSeconds: .1, Transitions: 3,
			LastTransition: &at, Adverts: appliance.AdvertStatus{Sent: 10}, Drops: map[string]uint64{"ttl": 2, "checksum": 0}, Rivals: []appliance.RivalStatus{{}}},
		{Name: "lan", Family: "ipv6", State: "active", Drops: map[string]uint64{}},
	}
	s.Groups = []appliance.GroupStatus{{Name: "gateway", State: "active", Term: 4, Notify: []appliance.NotifyStatus{{Failures: 1}, {Failures: 2}}}}
	s.Sessions = &appliance.SessionsStatus{Local: 7, InSync: true, Overload: appliance.OverloadStatus{Step: "calm"}, Counters: map[string]uint64{"events": 9},
		Peers: []appliance.PeerStatus{{Name: "gw2", Connected: true, LagSeconds: &lag}, {Name: "gw3"}}, Journal: &appliance.JournalStatus{State: "idle"}}
	s.NAT.Entries = []appliance.EntryStatus{{Name: "web", OnFailure: "move", Moved: 3, NotMoved: map[string]uint64{"closing": 1}, Takeover: &appliance.TakeoverMoves{Known: 5, Lost: map[string]int{"unlogged": 2}}, Stall: &appliance.Histogram{Count: 3, SumSeconds: .05, MaxSeconds: .03,
		Buckets: []appliance.Bucket{{UpToSeconds: appliance.Seconds(10 * time.Millisecond), Count: 2}, {Count: 1}}}, Servers: []appliance.ServerStatus{{Address: "10.0.0.21:80", State: "up", Weight: 2}}}}
	s.NAT.Drops = map[string]uint64{"gate": 3}
	s.Checks = []appliance.CheckStatus{{Name: "uplink", Kind: "icmp", State: "down"}}
	s.Bonds = []appliance.BondStatus{{Name: "bond0", State: "degraded", Findings: []appliance.BondFinding{{Severity: "warning"}},
		Members: []appliance.BondMember{{Interface: "eth0", Received: 5, Lost: 2}}}}
	s.Alarms = []appliance.Alarm{{Name: "lag"}}
	return &node{status: s, takeovers: []appliance.TakeoverStatus{{At: at, DurationSeconds: .004}}}
}

func scrape(t *testing.T, h http.Handler) (int, string) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	return w.Code, w.Body.String()
}

func TestEverythingIsShown(t *testing.T) {
	code, text := scrape(t, metrics.Handler(full()))
	if code != http.StatusOK {
		t.Fatalf("%d: %s", code, text)
	}
	for _, want := range []string{
		`understudy_info{election_version="v0",node="gw1",version="v1"} 1`,
		`understudy_router_state{family="ipv4",router="lan",state="active"} 1`,
		`understudy_router_state{family="ipv4",router="lan",state="backup"} 0`,
		`understudy_router_effective_priority{family="ipv4",router="lan"} 180`,
		`understudy_router_drops_total{family="ipv4",reason="ttl",router="lan"} 2`,
		`understudy_router_last_transition_timestamp_seconds{family="ipv4",router="lan"} 1.7e+09`,
		`understudy_group_term{group="gateway"} 4`,
		`understudy_entry_moves_total{entry="web",outcome="moved"} 3`,
		`understudy_entry_moves_total{entry="web",outcome="closing"} 1`,
		`understudy_entry_takeover_connections{entry="web",outcome="known"} 5`,
		`understudy_entry_takeover_connections{entry="web",outcome="unlogged"} 2`,
		`understudy_entry_move_stall_seconds_bucket{entry="web",le="0.01"} 2`,
		`understudy_entry_move_stall_seconds_count{entry="web"} 3`,
		`understudy_group_notify_failures_total{group="gateway"} 3`,
		`understudy_election_lateness_seconds_bucket{le="0.001"} 3`,
		`understudy_election_lateness_seconds_bucket{le="+Inf"} 5`,
		`understudy_sessions_local 7`,
		`understudy_sessions_lag_seconds{peer="gw2"} 0.002`,
		`understudy_sessions_peer_connected{peer="gw3"} 0`,
		`understudy_sessions_total{what="events"} 9`,
		`understudy_sessions_journal{state="idle"} 1`,
		`understudy_takeover_phase_seconds_count{phase="all"} 1`,
		`understudy_nat_drops_total{reason="gate"} 3`,
		`understudy_entry_server_weight{entry="web",server="10.0.0.21:80"} 2`,
		`understudy_check_state{check="uplink",kind="icmp",state="down"} 1`,
		`understudy_bond_state{bond="bond0",state="degraded"} 1`,
		`understudy_bond_findings{bond="bond0",severity="warning"} 1`,
		`understudy_bond_member_frames_total{bond="bond0",kind="received",member="eth0"} 5`,
		`understudy_bond_member_frames_total{bond="bond0",kind="lost",member="eth0"} 2`,
		`understudy_alarm{alarm="lag"} 1`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("missing: %s", want)
		}
	}
	if strings.Contains(text, `lag_seconds{peer="gw3"}`) {
		t.Error("a peer that is not connected has a lag")
	}
}

// TestNamesAreConventional holds names, units and help to what Prometheus asks for.
func TestNamesAreConventional(t *testing.T) {
	_, text := scrape(t, metrics.Handler(full()))
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// TestATakeoverIsCountedOnce: scrapes see the same list again and again.
func TestATakeoverIsCountedOnce(t *testing.T) {
	n := full()
	h := metrics.Handler(n)
	scrape(t, h)
	n.takeovers = append([]appliance.TakeoverStatus{{At: n.takeovers[0].At.Add(time.Second), DurationSeconds: .5}}, n.takeovers...)
	scrape(t, h)
	_, text := scrape(t, h)
	if want := `understudy_takeover_phase_seconds_count{phase="all"} 2` + "\n"; !strings.Contains(text, want) {
		t.Errorf("want %s in\n%s", want, text)
	}
}

func TestWithoutSessions(t *testing.T) {
	n := &node{status: appliance.NewStatus()}
	if code, text := scrape(t, metrics.Handler(n)); code != http.StatusOK || strings.Contains(text, "understudy_sessions") {
		t.Errorf("%d:\n%s", code, text)
	}
}

// TestAnUnknownStateIsShown: what a later version calls a state is not lost.
func TestAnUnknownStateIsShown(t *testing.T) {
	n := full()
	n.status.Groups[0].State = "resting"
	if _, text := scrape(t, metrics.Handler(n)); !strings.Contains(text, `understudy_group_state{group="gateway",state="resting"} 1`) {
		t.Error("missing")
	}
}

func TestNoAnswerIsAnError(t *testing.T) {
	if code, text := scrape(t, metrics.Handler(&node{err: errors.New("busy")})); code != http.StatusInternalServerError || !strings.Contains(text, "busy") {
		t.Errorf("%d: %s", code, text)
	}
}

const docsFile = "../../docs/metrics.md"

// TestReference: docs/metrics.md has the table of this program, and every metric that
// is shown is in it.
func TestReference(t *testing.T) {
	b, err := os.ReadFile(docsFile)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(b), "| metric |")
	if !ok {
		t.Fatal("no table")
	}
	want := head + metrics.Reference()
	if *update {
		if err := os.WriteFile(docsFile, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(b) != want {
		t.Error("docs/metrics.md is out of step: go test ./appliance/metrics -run TestReference -update")
	}
	r := prometheus.NewPedanticRegistry()
	r.MustRegister(metrics.NewCollector(full()))
	all, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range all {
		if !strings.Contains(want, "| `"+f.GetName()+"` |") {
			t.Errorf("%s is not documented", f.GetName())
		}
	}
	if n := testutil.CollectAndCount(metrics.NewCollector(full())); n < 50 {
		t.Errorf("only %d series", n)
	}
}
