package dropin

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// sample is a node with something of everything.
func sample() View {
	zone := time.FixedZone("", 0)
	p := netip.MustParsePrefix
	garp := Announcing{Delay: 5 * time.Second, LowerDelay: 5 * time.Second, Repeat: 5, RefreshRepeat: 1, LowerRepeat: 5}
	return View{
		RouterID: "R1", Interface: "eth0",
		Instances: []Instance{
			{Name: "VI_1", Group: "VG_1", Version: 2, State: Master, Wants: Master, Changed: time.Unix(1795888894, 891074000).In(zone),
				Down: 3609375 * time.Microsecond, On: "eth0", Source: netip.MustParseAddr("192.168.200.1"), VRID: 51, Priority: 100, Effective: 105,
				Interval: time.Second, MasterInterval: time.Second, Accept: true, Preempt: true, Auth: "PASS", GARP: garp,
				Addresses: []Address{{Prefix: p("192.168.200.9/24"), Dev: "eth0", Set: true}, {Prefix: p("192.168.200.10/32"), Dev: "eth1", Label: "eth0:1", Set: true}},
				Excluded:  []Address{{Prefix: p("10.9.9.9/32"), Dev: "eth0", Set: true}},
				Routes:    []string{"10.9.0.0/16 via 192.168.200.254 dev eth0"}, Rules: []string{"100: from 192.168.200.0/24 lookup 5"},
				Track: []Tracked{{Kind: "interface", Name: "eth1", Weight: 10}, {Kind: "script", Name: "chk", Command: []string{"/bin/true", "a b"}, Weight: 5},
					{Kind: "file", Name: "tf", Weight: 3, Reverse: true}, {Kind: "process", Name: "tp", Weight: 3}},
				Deleted: true, Notify: map[string][]string{"": {"/n"}, "master": {"/m", "x"}, "deleted": {"/d"}},
				User: map[string]string{"": "0:0", "master": "0:0", "deleted": "65534:65534"},
				Stats: Stats{Received: 1, Sent: 2, Became: 3, Released: 4, Length: 5, TTL: 6, Type: 7, Interval: 8, Addresses: 9, AuthType: 10, AuthMismatch: 11,
					AuthFailure: 12, ZeroReceived: 13, ZeroSent: 14}},
			{Name: "VI_6", Version: 3, Six: true, State: Backup, Wants: Backup, Changed: time.Unix(1795888964, 0).In(zone), Timer: time.Unix(1795888966, 0).In(zone),
				Down: 3414062 * time.Microsecond, Device: "us6-53-eth1", On: "eth1", Source: netip.MustParseAddr("fe80::1"), Chosen: true, Peers: []netip.Addr{netip.MustParseAddr("fe80::2")},
				VRID: 53, Priority: 150, Effective: 150, MasterPriority: 200, Interval: 250 * time.Millisecond, MasterInterval: time.Second, PreemptDelay: 5 * time.Second, Faults: 1,
				Addresses: []Address{{Prefix: p("fe80::9/64"), Dev: "us6-53-eth1@eth1"}, {Prefix: p("2001:db8::9/128"), Dev: "us6-53-eth1@eth1"}}, GARP: garp},
		},
		Groups: []Group{{Name: "VG_1", State: Master, Members: []string{"VI_1"}, Notify: map[string][]string{"": {"/n"}}, User: map[string]string{"": "0:0"}}},
		Scripts: []Script{{Name: "chk", Command: []string{"/bin/true", "a b"}, Interval: time.Second, Timeout: 1500 * time.Millisecond, Weight: 5, Rise: 2, Fall: 3, Good: true, Known: true, User: "0:0", Tracking: []Tracking{{"VI_1", 5, false}}},
			{Name: "new", Command: []string{"/bin/false"}, Interval: time.Second, Rise: 1, Fall: 1, Running: true, User: "0:0"}},
		Files: []TrackFile{{Name: "tf", Path: "/run/tf", Value: 4, Weight: 2, Tracking: []Tracking{{"VI_1", 3, true}}}},
		Processes: []TrackProcess{{Name: "tp", Process: "sleep", Min: 1, Weight: 3, Tracking: []Tracking{{"VI_1", 3, false}}},
			{Name: "np", Process: "named", Args: []string{"-u", "bind"}, Min: 2, Max: 4, Ends: 1500 * time.Millisecond, Fork: 2 * time.Second, Quorum: true, Weight: 7, Reverse: true, Full: true}},
	}
}

// What the files look like. Those of keepalived 2.2.7 beside ours: appliance/interop.
func TestDumps(t *testing.T) {
	for name, write := range map[string]func(io.Writer, View) error{"data": WriteData, "stats": WriteStats, "json": WriteJSON, "json2": WriteJSON2} {
		var b bytes.Buffer
		if err := write(&b, sample()); err != nil {
			t.Fatal(err)
		}
		file := filepath.Join("testdata", "keepalived."+name)
		if *update {
			if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		want, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(string(want), b.String()); d != "" {
			t.Errorf("%s: -want +got\n%s", name, d)
		}
	}
}

// One line, which any parser reads, with slashes escaped and no password.
func TestJSONIsJSON(t *testing.T) {
	v := sample()
	v.Instances[0].Name = "a\"\\b/<é>\n"
	var b bytes.Buffer
	if err := WriteJSON(&b, v); err != nil {
		t.Fatal(err)
	}
	if s := b.String(); strings.Count(s, "\n") != 1 || !strings.Contains(s, `b\/<é>\n`) {
		t.Error(s)
	}
	var got []struct {
		Data  struct{ Iname string }
		Stats map[string]uint64
	}
	if err := json.Unmarshal(b.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != 2 || got[0].Data.Iname != v.Instances[0].Name || got[0].Stats["pri_zero_sent"] != 14 || len(got[0].Stats) != 14 {
		t.Errorf("%+v", got)
	}
}

// The counters of the dumps begin at 0 again, and only those.
func TestClear(t *testing.T) {
	var c Cleared
	if got := c.Apply(sample()).Instances[0].Stats; got != sample().Instances[0].Stats {
		t.Errorf("nothing was cleared: %+v", got)
	}
	c.Clear(sample())
	v := sample()
	v.Instances[0].Stats.Sent += 5
	if got := c.Apply(v).Instances[0].Stats; got != (Stats{Sent: 5}) {
		t.Errorf("%+v", got)
	}
	again := sample() // one that has begun anew has less than was cleared
	again.Instances[0].Stats = Stats{Sent: 1}
	if got := c.Apply(again).Instances[0].Stats; got != (Stats{Sent: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestDump(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	victim := filepath.Join(t.TempDir(), "victim")
	if err := os.WriteFile(victim, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(victim, filepath.Join(os.TempDir(), "keepalived.json")); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		umask int
		mode  os.FileMode
	}{{-1, 0o600}, {0o022, 0o644}} {
		path, err := Dumps{Umask: tt.umask}.Write(RequestJSON, sample())
		if err != nil {
			t.Fatal(err)
		}
		st, err := os.Lstat(path)
		if err != nil || st.Mode() != tt.mode || path != filepath.Join(os.TempDir(), "keepalived.json") {
			t.Errorf("%s: %v %v", path, st.Mode(), err)
		}
	}
	if b, _ := os.ReadFile(victim); string(b) != "mine" {
		t.Errorf("a link in the directory was followed: %q", b)
	}
	left, _ := filepath.Glob(filepath.Join(os.TempDir(), ".keepalived*"))
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if _, err := (Dumps{}).Write("nonsense", sample()); err == nil {
		t.Error("a dump of nonsense")
	}
}

// How adverts are authenticated, as 2.2.7 has it in its dumps.
func TestDumpAuthentication(t *testing.T) {
	for auth, want := range map[string][2]string{
		"":     {"Authentication type = none\n", `"auth_type":0}`},
		"PASS": {"Authentication type = SIMPLE_PASSWORD\n", `"auth_type":1,"auth_data":"********"}`},
		"AH":   {"Authentication type = IPSEC_AH\n", `"auth_type":2,"auth_data":"********"}`},
	} {
		v := sample()
		v.Instances = v.Instances[:1]
		v.Instances[0].Auth = auth
		var data, text bytes.Buffer
		if err := errors.Join(WriteData(&data, v), WriteJSON(&text, v)); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(data.String(), want[0]) || !strings.Contains(text.String(), want[1]) {
			t.Errorf("%q: %s\n%s", auth, data.String(), text.String())
		}
	}
}
