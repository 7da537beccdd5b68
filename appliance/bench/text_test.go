package bench

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write testdata again")

var somewhere = Machine{Date: "2026-01-02T12:00:00Z", Processor: "a CPU", Processors: 2, Kernel: "6.18.0", LoadBefore: "0.10", LoadAfter: "1.20"}

func crashReport() *CrashReport {
	return &CrashReport{Machine: somewhere, Rows: []CrashRow{
		{Software: "understudy", IntervalMS: 100, BoundMS: 360.938, Outage: Summary{5, 290, 331.25, 360}, Noise: Summary{5, 1, 2.5, 11}, Within: true, Flows: 205},
		{Software: "understudy", IntervalMS: 10, BoundMS: 36.094, Outage: Summary{5, 30, 42.5, 50}, Noise: Summary{5, 1, 2.5, 11}, Flows: 205, Lost: 3},
		{Software: "keepalived", IntervalMS: 10, BoundMS: 36.094, Outage: Summary{5, 30, 85, 90}, Noise: Summary{5, 1, 2.5, 11}},
	}}
}

func takeoverReport() *TakeoverReport {
	s := func(v float64) Summary { return Summary{5, v * .9, v, v * 1.1} }
	n := NodeSummary{Memory: s(90), Established: s(3.5), Whole: s(19), Idle: s(6)}
	return &TakeoverReport{
		Machine: somewhere, IntervalMS: 100, Ratio: 1.51,
		Rows: []TakeoverRow{
			{Sessions: 100, TookMS: s(2), PlaneMS: s(.02)},
			{Sessions: 98000, TookMS: s(3.02), PlaneMS: s(.03), Installed: 1},
		},
		Size: &SizeSummary{Sessions: 98000, Whole: 20000, Active: n, Standby: n, Rate: s(150000), Kernel: s(377), Object: 256},
	}
}

func outageReport() *OutageReport {
	row := func(sw string, ms float64, near bool) OutageRow {
		return OutageRow{Software: sw, MAC: "interface", IntervalMS: 100, BoundMS: 360.938, OutageMS: Summary{20, ms - 5, ms, ms + 40}, NoiseMS: Summary{20, 1, 2.5, 11},
			PhaseMS: Summary{20, 1.02, 1.2, 2.9}, OffPhase: 3, Lost: Summary{20, 350, 360.5, 371}, Within: ms < 366, Close: near}
	}
	return &OutageReport{Machine: somewhere, PhaseMS: 1, Rows: []OutageRow{
		row("understudy", 362, true), row("keepalived", 361, true), row("understudy", 368.5, true), row("keepalived", 363, false),
	}}
}

func releaseReport() *ReleaseReport {
	s := Summary{20, 9, 14.6, 38.4}
	return &ReleaseReport{Machine: somewhere, IntervalMS: 100, Rows: []ReleaseRow{
		{Software: "understudy", MAC: "interface", Way: "failover", Lost: Summary{20, 0, 0, 3}, Clean: 19, SilentMS: s, NoiseMS: s, TookMS: Summary{20, .7, .8, 1.6}, Within: true},
		{Software: "keepalived", MAC: "virtual", Way: "stop", Lost: Summary{20, 0, 1.5, 12}, Clean: 8, SilentMS: s, NoiseMS: s, Before: 2, TookMS: Summary{20, 1, 3.1, 5}},
	}}
}

func shutReport() *ShutReport {
	return &ShutReport{Machine: somewhere, MACs: 250, RoundMS: 4, Rows: []ShutRow{
		{Software: "understudy", Way: "fault", Shuts: make([]Shut, 5), SpreadMS: Summary{5, 2.5, 3.7, 3.9}, AfterMS: Summary{5, -.7, -.6, -.5}, Within: true},
		{Software: "keepalived", Way: "fault", Shuts: make([]Shut, 5), Remained: 250},
	}}
}

func scaleReport() *ScaleReport {
	cost := func(cpu, memory float64) CostSummary {
		return CostSummary{CPU: Summary{5, cpu * .9, cpu, cpu * 1.1}, Memory: Summary{5, memory * .9, memory, memory * 1.1}}
	}
	return &ScaleReport{Machine: somewhere, IntervalMS: 1000, WindowMS: 10000, Rows: []ScaleRow{
		{Software: "understudy", Routers: 1000, Active: cost(.92, 36), Standby: cost(.9, 35), Adverts: Summary{5, 999, 1000, 1001}},
		{Software: "keepalived", Routers: 1000, Active: cost(2.3, 6.8), Standby: cost(1.1, 6.5), Adverts: Summary{5, 999, 1000, 1001}},
	}}
}

func massReport() *MassReport {
	row := func(sw string, f float64) MassRow {
		s := func(v float64) Summary { return Summary{9, f * v * .9, f * v, f * v * 1.1} }
		return MassRow{Software: sw, Takeovers: make([]Mass, 9), FirstMS: s(1), AllMS: s(14), HeardMS: s(2), ToldMS: s(16), LastMS: s(20), Frames: s(1000)}
	}
	return &MassReport{Machine: somewhere, Addresses: 1000, IntervalMS: 100, Rows: []MassRow{row("understudy", 1), row("keepalived", 2)}}
}

func loadReport() *LoadReport {
	our := LoadRow{Software: "understudy", Sessions: 500000, Strains: []Strain{{SilentMS: 10.5, Syncing: .95, Resyncs: 2}}}
	their := LoadRow{Software: "keepalived", Setting: "vrrp_rt_priority 50", Strains: []Strain{{Takeovers: 3, Wire: 4, Died: 1, SilentMS: 1249}}}
	our.sum()
	their.sum()
	return &LoadReport{Machine: somewhere, IntervalMS: 10, WindowMS: 60000, Loops: 64, Rows: []LoadRow{our, their}}
}

func floodReport() *FloodReport {
	our := FloodRow{Software: "understudy", Floods: []Flood{{Rate: 99000, Active: Cost{8, 10}, Standby: Cost{9, 11}, Calm: .4, GrownKB: 60, Answers: 12, HeardMS: 61}}}
	their := FloodRow{Software: "keepalived", Floods: []Flood{{Rate: 99500, Takeovers: 83, Died: 1, Active: Cost{12, 5}, Standby: Cost{14, 5}, Calm: .1, GrownKB: 55, Answers: 40}}}
	our.sum()
	their.sum()
	return &FloodReport{Machine: somewhere, IntervalMS: 100, WindowMS: 10000, Rate: 100000, Rows: []FloodRow{our, their}}
}

func TestTextForPeople(t *testing.T) {
	for name, r := range map[string]interface {
		WriteText(w *bytes.Buffer) error
	}{
		"crash":    textOf(func(b *bytes.Buffer) error { return crashReport().WriteText(b) }),
		"outage":   textOf(func(b *bytes.Buffer) error { return outageReport().WriteText(b) }),
		"release":  textOf(func(b *bytes.Buffer) error { return releaseReport().WriteText(b) }),
		"shut":     textOf(func(b *bytes.Buffer) error { return shutReport().WriteText(b) }),
		"scale":    textOf(func(b *bytes.Buffer) error { return scaleReport().WriteText(b) }),
		"mass":     textOf(func(b *bytes.Buffer) error { return massReport().WriteText(b) }),
		"load":     textOf(func(b *bytes.Buffer) error { return loadReport().WriteText(b) }),
		"flood":    textOf(func(b *bytes.Buffer) error { return floodReport().WriteText(b) }),
		"takeover": textOf(func(b *bytes.Buffer) error { return takeoverReport().WriteText(b) }),
	} {
		t.Run(name, func(t *testing.T) {
			var got bytes.Buffer
			if err := r.WriteText(&got); err != nil {
				t.Fatal(err)
			}
			golden := "testdata/" + name + ".txt"
			if *update {
				if err := os.WriteFile(golden, got.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(want, got.Bytes()) {
				t.Errorf("want\n%s\ngot\n%s", want, got.Bytes())
			}
		})
	}
}

type textOf func(*bytes.Buffer) error

func (f textOf) WriteText(b *bytes.Buffer) error { return f(b) }

// What scripts read.
func TestJSONContract(t *testing.T) {
	var b bytes.Buffer
	if err := WriteJSON(&b, crashReport()); err != nil {
		t.Fatal(err)
	}
	var crash struct {
		Rows []struct {
			Software string
			BoundMS  float64 `json:"bound_ms"`
			Outage   Summary `json:"outage_ms"`
			Within   *bool
		}
	}
	if err := json.Unmarshal(b.Bytes(), &crash); err != nil {
		t.Fatal(err)
	}
	if r := crash.Rows[0]; r.Software != "understudy" || r.BoundMS != 360.938 || r.Outage.Median != 331.25 || r.Within == nil {
		t.Errorf("got %+v", r)
	}
	b.Reset()
	if err := WriteJSON(&b, takeoverReport()); err != nil {
		t.Fatal(err)
	}
	var takeover struct {
		Rows []struct {
			Sessions  int
			Installed *int
			TookMS    Summary `json:"took_ms"`
		}
		Ratio float64
		Size  struct {
			Standby struct {
				Memory Summary `json:"memory_bytes"`
			}
		}
	}
	if err := json.Unmarshal(b.Bytes(), &takeover); err != nil {
		t.Fatal(err)
	}
	if r := takeover.Rows[1]; r.Sessions != 98000 || r.Installed == nil || r.TookMS.Median != 3.02 || takeover.Ratio != 1.51 || takeover.Size.Standby.Memory.Median != 90 {
		t.Errorf("got %+v", takeover)
	}
}
