package demo

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"slices"
	"testing"

	"understudy/appliance/lab/pair"
)

var update = flag.Bool("update", false, "write testdata again")

func sampleReport() *Report {
	lag := 0.0021
	return &Report{
		OK: false, Flows: Flows{Total: 205, Survived: 203}, Sessions: Sessions{Replicated: 207, LagSeconds: &lag},
		NoiseMS: 3.4, AdvertIntervalMS: 100,
		Events: []Event{
			{
				Name: "crash", BoundMS: 360.9, LostPackets: 322, Survived: 203,
				OutagesMS: map[string]float64{"udp_out": 322.4, "udp_in": 323, "tcp": 413.1, "tcp_up": 413.1, "tcp_down": 401, "ping": 330, "request": 640.2},
				NoiseMS:   map[string]float64{"udp_out": 2.1, "udp_in": 3.4, "tcp_up": 4.9, "tcp_down": 4, "ping": 12},
				NewMS:     map[string]float64{"in": 1.2, "out": 1.3},
				Takeover:  &Takeover{Installed: 0, DurationMS: 0.7},
				Changes:   1,
			},
			{
				Name: "upgrade", Survived: 203,
				OutagesMS: map[string]float64{"udp_out": 5, "udp_in": 5.1, "tcp": 6, "tcp_up": 6, "tcp_down": 5, "ping": 13, "request": 0},
				NoiseMS:   map[string]float64{"udp_out": 2.1, "udp_in": 3.4, "tcp_up": 4.9, "tcp_down": 4, "ping": 12},
				NewMS:     map[string]float64{"in": 1.2, "out": 1.3},
			},
			{
				Name: "handover", LostPackets: 0, Survived: 203,
				OutagesMS: map[string]float64{"udp_out": 4, "udp_in": 5.2, "tcp": 6, "tcp_up": 6, "tcp_down": 5, "ping": 13, "request": 0},
				NoiseMS:   map[string]float64{"udp_out": 2.1, "udp_in": 3.4, "tcp_up": 4.9, "tcp_down": 4, "ping": 12},
				NewMS:     map[string]float64{"in": 1.2, "out": -1},
			},
		},
		Lost: []pair.Lost{
			{Flow: "connection 4 (in use)", Cause: "read: connection reset by peer"},
			{Flow: "udp_out", Cause: "seen from 203.0.113.1:1024, then 203.0.113.1:2048"},
		},
		Capture:  pair.Findings{Leaks: 1, Examples: []string{"wan 12:00:00.000000 from gw2: udp 10.0.0.10:4000 > 203.0.113.254:7"}},
		Timeline: []Moment{{0.0004, "two gateways"}, {5.25, "CRASH: gw1 frozen"}, {12.3456, "HAND-OVER"}},
	}
}

func TestTextForPeople(t *testing.T) {
	var got bytes.Buffer
	if err := sampleReport().WriteText(&got); err != nil {
		t.Fatal(err)
	}
	const golden = "testdata/report.txt"
	if *update {
		if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got.Bytes(), want) {
		t.Errorf("want\n%s\ngot\n%s", want, got.Bytes())
	}
}

// The keys that the contract names, with their types; an empty report has them too.
func TestJSONContract(t *testing.T) {
	for name, r := range map[string]*Report{"sample": sampleReport(), "routed": {Events: []Event{{Name: "crash", OutagesMS: map[string]float64{"udp_out": 1, "udp_in": 1}}}}} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := r.WriteJSON(&b); err != nil {
				t.Fatal(err)
			}
			var got struct {
				OK    *bool `json:"ok"`
				Flows struct {
					Total    *int `json:"total"`
					Survived *int `json:"survived"`
				} `json:"flows"`
				Sessions struct {
					Replicated *int            `json:"replicated"`
					LagSeconds json.RawMessage `json:"lag_seconds"`
				} `json:"sessions"`
				NoiseMS *float64 `json:"noise_ms"`
				Events  []struct {
					Name        string             `json:"name"`
					BoundMS     *float64           `json:"bound_ms"`
					OutagesMS   map[string]float64 `json:"outages_ms"`
					LostPackets *int               `json:"lost_packets"`
				} `json:"events"`
			}
			if err := json.Unmarshal(b.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			e := got.Events[0]
			if got.OK == nil || got.Flows.Total == nil || got.Flows.Survived == nil || got.Sessions.Replicated == nil ||
				len(got.Sessions.LagSeconds) == 0 || got.NoiseMS == nil || e.BoundMS == nil || e.LostPackets == nil || e.OutagesMS["udp_out"] == 0 {
				t.Errorf("a key is missing in %s", b.Bytes())
			}
		})
	}
}

// TestPageForPeople: what was found is on it, whatever was; what came from elsewhere is
// text; and it has nothing to run or to load.
func TestPageForPeople(t *testing.T) {
	r := sampleReport()
	r.Lost[0].Cause = "<script>alert(1)</script>"
	r.Events[0].AtSeconds, r.Events[0].ActiveSeconds, r.Events[2].AtSeconds = 5.25, 5.6, 12.3
	r.Events[1].AtSeconds = 9 // and nobody moved
	r.Events[0].Window = Window{FromMS: -50, StepMS: 10, Counts: map[string][]int{"udp_out": {5, 5, 5, 5, 5, 0, 0, 0, 9, 5}}, GapsMS: map[string][2]float64{"udp_out": {0, 30}}}
	r.Events[0].OutagesMS["udp_out"] = 30
	for name, r := range map[string]*Report{"sample": r, "routed": {Events: []Event{{Name: "crash", OutagesMS: map[string]float64{"udp_out": 1, "udp_in": 1}}}}, "empty": {}} {
		t.Run(name, func(t *testing.T) {
			var b bytes.Buffer
			if err := r.WriteHTML(&b, "v1"); err != nil {
				t.Fatal(err)
			}
			for _, bad := range []string{"<script", "NaN", "Inf", "src=", "ZgotmplZ"} {
				if i := bytes.Index(b.Bytes(), []byte(bad)); i >= 0 {
					t.Errorf("%s in …%s…", bad, b.Bytes()[max(0, i-60):min(b.Len(), i+60)])
				}
			}
			if name != "sample" {
				return
			}
			for _, want := range []string{"2 of 205 connections were lost", "&lt;script&gt;alert(1)", "not clean", "seen from 203.0.113.1:1024", `>30 ms</text>`, "gw1 frozen"} {
				if !bytes.Contains(b.Bytes(), []byte(want)) {
					t.Errorf("no %s", want)
				}
			}
		})
	}
	// Who was active: gw1 until it died, gw2 from when it was, over the hand-over to gw1.
	var got []string
	for _, s := range r.course().Spans {
		got = append(got, fmt.Sprintf("%s %g+%g at %g", s.Class, s.X, s.Width, s.Y))
	}
	if want := []string{"active 0+425.3 at 6", "active 453.6+542.7 at 36", "gone 425.3+574.7 at 6", "active 996.3+3.7 at 6"}; !slices.Equal(got, want) {
		t.Errorf("want %q\ngot  %q", want, got)
	}
}

func TestMergeCountsAFlowOnce(t *testing.T) {
	got := merge([]pair.Lost{{Flow: "a", Cause: "first"}}, []pair.Lost{{Flow: "a", Cause: "again"}, {Flow: "b", Cause: "x"}, {Flow: "b", Cause: "y"}})
	if len(got) != 2 || got[0].Cause != "first" || got[1] != (pair.Lost{Flow: "b", Cause: "x"}) {
		t.Errorf("got %v", got)
	}
}
