package demo

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
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

func TestMergeCountsAFlowOnce(t *testing.T) {
	got := merge([]pair.Lost{{Flow: "a", Cause: "first"}}, []pair.Lost{{Flow: "a", Cause: "again"}, {Flow: "b", Cause: "x"}, {Flow: "b", Cause: "y"}})
	if len(got) != 2 || got[0].Cause != "first" || got[1] != (pair.Lost{Flow: "b", Cause: "x"}) {
		t.Errorf("got %v", got)
	}
}
