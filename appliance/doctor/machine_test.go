package doctor

import (
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/vrrp"
)

func TestClock(t *testing.T) {
	x := newExam(Options{})
	for _, row := range []struct {
		name string
		kept bool
		err  error
		step time.Duration // between two looks
		want []Severity
		says string
	}{
		{"kept right", true, nil, 0, []Severity{OK}, "kept right"},
		{"nothing keeps it right", false, nil, 0, []Severity{Warning}, "nothing keeps the clock right"},
		{"it cannot be read", false, errors.New("no"), 0, []Severity{Unknown}, "cannot be read: no"},
		{"slewed", true, nil, time.Millisecond, []Severity{OK}, ""},
		{"stepped", true, nil, -time.Second, []Severity{OK, Warning}, "jumps"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var ahead time.Duration
			x.kept = func() (bool, error) { return row.kept, row.err }
			x.ahead = func() time.Duration { ahead += row.step; return ahead }
			checkFindings(t, x.clock(t.Context()), row.want, row.says)
		})
	}
}

func checkFindings(t *testing.T, got []Finding, want []Severity, says string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%+v, want %v", got, want)
	}
	all := ""
	for i, f := range got {
		if f.Severity != want[i] {
			t.Errorf("%+v, want %s", f, want[i])
		}
		if (f.Severity == Error || f.Severity == Warning) && f.Fix == "" {
			t.Errorf("no fix: %+v", f)
		}
		all += f.Text + "\n"
	}
	if !strings.Contains(all, says) {
		t.Errorf("no %q in %q", says, all)
	}
}

func TestConntrack(t *testing.T) {
	peer := &appliance.Status{Sessions: &appliance.SessionsStatus{Peers: []appliance.PeerStatus{{Name: "gw2", TableMax: 1 << 20}}}}
	for _, row := range []struct {
		name                string
		count, max, buckets string // empty: no such file
		status              *appliance.Status
		want                []Severity
		says                string
	}{
		{"room", "10", "262144", "262144", nil, []Severity{OK}, "has room"},
		{"more than half full", "200000", "262144", "262144", nil, []Severity{Warning}, "70 %"},
		{"nearly full", "260000", "262144", "262144", nil, []Severity{Error}, "nearly full"},
		{"long chains", "10", "1048576", "16384", nil, []Severity{Warning}, "few buckets"},
		{"smaller than the peer's", "10", "262144", "262144", peer, []Severity{Warning}, "smaller here than at the peer"},
		{"not loaded, and not needed", "", "", "", nil, []Severity{Info}, "need not be"},
		{"half of it", "", "262144", "262144", nil, []Severity{Unknown}, "cannot be read"},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := newExam(Options{Status: row.status})
			x.proc = t.TempDir()
			dir := filepath.Join(x.proc, "sys/net/netfilter")
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			for name, v := range map[string]string{"nf_conntrack_count": row.count, "nf_conntrack_max": row.max, "nf_conntrack_buckets": row.buckets} {
				if v == "" {
					continue
				}
				if err := os.WriteFile(filepath.Join(dir, name), []byte(v+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			checkFindings(t, x.conntrack(t.Context()), row.want, row.says)
		})
	}
	x := newExam(Options{Config: &config.Config{Sessions: &config.Sessions{}}})
	x.proc = t.TempDir()
	checkFindings(t, x.conntrack(t.Context()), []Severity{Warning}, "not tracked")
}

func TestFeatures(t *testing.T) {
	got := try([]trial{
		{"this", "this_module", func() error { return nil }},
		{"that", "that_module, another", func() error { return errors.New("operation not supported") }},
		{"the third", "m", func() error { return errNoTrial }},
	})
	checkFindings(t, got, []Severity{OK, Error, Unknown}, "this kernel lacks that")
	if !strings.Contains(got[1].Fix, "modprobe that_module (all: that_module, another)") {
		t.Errorf("the fix is %q", got[1].Fix)
	}
}

// Who else is heard with our VRID, and what it means.
func TestRivals(t *testing.T) {
	a := func(s string) netip.Addr { return netip.MustParseAddr(s) }
	r := config.Router{Name: "lan", Interface: "lan0", Family: 4, VRID: 51, Version: 3, Priority: 100, Advertise: 100 * time.Millisecond,
		Addresses: []netip.Prefix{netip.MustParsePrefix("10.0.0.1/24"), netip.MustParsePrefix("10.0.0.9/24")}}
	heard := func(src string, change func(*speaker)) speaker {
		s := speaker{iface: "lan0", family: 4, vrid: 51, src: a(src), priority: 200, version: 3, interval: 100 * time.Millisecond,
			addresses: []netip.Addr{a("10.0.0.9"), a("10.0.0.1")}, heard: 3} // in another order
		if change != nil {
			change(&s)
		}
		return s
	}
	active := &appliance.Status{Groups: []appliance.GroupStatus{{Name: "g", State: "active", Members: []string{"lan"}}}}
	for _, row := range []struct {
		name   string
		status *appliance.Status
		all    []speaker
		want   []Severity
		says   string
	}{
		{"nobody", nil, nil, []Severity{Info}, "no advert for VRID 51 was heard"},
		{"nobody, and we are active", active, nil, []Severity{OK}, "nobody else"},
		{"the active one", nil, []speaker{heard("10.0.0.2", nil)}, []Severity{OK}, "one active"},
		{"two", nil, []speaker{heard("10.0.0.2", nil), heard("10.0.0.3", nil)}, []Severity{Error}, "several are active"},
		{"one, and we are active too", active, []speaker{heard("10.0.0.2", nil)}, []Severity{Error}, "several are active"},
		{"one that says goodbye", active, []speaker{heard("10.0.0.2", func(s *speaker) { s.priority = 0 })}, []Severity{OK}, ""},
		{"another virtual router", nil, []speaker{heard("10.0.0.2", func(s *speaker) { s.addresses = []netip.Addr{a("10.0.0.99")} })}, []Severity{Error}, "used by somebody else"},
		{"another interval", nil, []speaker{heard("10.0.0.2", func(s *speaker) { s.interval = time.Second })}, []Severity{Warning}, "advertises otherwise"},
		{"another version", nil, []speaker{heard("10.0.0.2", func(s *speaker) { s.version = 2 })}, []Severity{Warning}, "advertises otherwise"},
		{"one that is refused", nil, []speaker{heard("10.0.0.2", func(s *speaker) { s.refused = vrrp.ReasonChecksum })}, []Severity{Warning}, "refused: checksum"},
		{"another interface", nil, []speaker{heard("10.0.0.2", func(s *speaker) { s.iface = "wan0" })}, []Severity{Info}, "no advert"},
		{"another VRID", nil, []speaker{heard("10.0.0.2", func(s *speaker) { s.vrid = 52 })}, []Severity{Info}, "no advert"},
	} {
		t.Run(row.name, func(t *testing.T) {
			x := newExam(Options{Config: &config.Config{Routers: []config.Router{r}}, Status: row.status})
			checkFindings(t, x.rivals(r, row.all, time.Second), row.want, row.says)
		})
	}
}

// The alarms of a node are among the findings.
func TestNode(t *testing.T) {
	x := newExam(Options{})
	checkFindings(t, x.node(t.Context()), []Severity{Info}, "no node answers")
	x.Status = &appliance.Status{Version: "1.2"}
	checkFindings(t, x.node(t.Context()), []Severity{OK}, "1.2")
	x.Status.Alarms = []appliance.Alarm{{Name: "no-peer", Detail: "nobody"}}
	checkFindings(t, x.node(t.Context()), []Severity{Warning}, "nobody")
}
