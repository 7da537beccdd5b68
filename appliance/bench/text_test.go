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

func mappingsReport() *MappingsReport {
	row := func(kind string, n int, ms, flows, last float64) MappingsRow {
		s := func(v float64) Summary { return Summary{5, v * .9, v, v * 1.1} }
		r := MappingsRow{Kind: kind, Mappings: n, LoadMS: s(ms), ChangeMS: s(ms / 2), First: s(flows), Last: s(last), Flows: 20000}
		if kind[0] == 'u' {
			r.ChangeMS, r.ReadMS = s(3), s(ms*.9)
		} else {
			r.OneMS = s(ms / 10)
		}
		return r
	}
	return &MappingsReport{Machine: somewhere, Programs: []string{"nftables v1.1.3", "iptables-restore v1.8.11 (nf_tables)"}, Rows: []MappingsRow{
		row("understudy, a port each", 1000, 4, 350000, 349000), row("understudy, an address each", 1000, 5, 340000, 340000),
		row("nft -f, a rule each", 1000, 20, 330000, 110000), row("iptables-restore", 1000, 30, 330000, 100000),
		row("understudy, a port each", 100000, 400, 345000, 346000),
		row("nft -f, a rule each", 100000, 4000, 330000, 1500),
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

func matrixReport() *MatrixReport {
	blow := Blow{AfterMS: 1500, Rate: 580.4, LagMS: 3.2, WindowMS: 2.9, Held: 900, Young: 3, YoungLost: 2, Expected: 1.9, Met: 2, Named: 2, Within: true,
		Classes: make([]ClassCount, len(classes))}
	for i, c := range classes {
		blow.Classes[i] = ClassCount{Class: c, Held: 60}
	}
	blow.Classes[0] = ClassCount{Class: "tcp", Held: 60, Young: 3, YoungLost: 2, Expected: 1.9}
	bad := blow
	bad.Within, bad.Wrong, bad.Leaks, bad.Named = false, 1, 1, 1
	bad.Unnamed = []string{"tcp 10.0.0.10:40001 > 203.0.113.254:7001: no answer"}
	bad.Lost, bad.Leaked = []string{"idle 10.0.0.10:40000 > 203.0.113.254:7001: no answer"}, []string{"wan tcp 10.0.0.10:40000 > 203.0.113.254:7001 ACK"}
	good := MatrixRow{Mode: "hybrid", Crashes: []Blow{blow, blow}}
	worse := MatrixRow{Mode: "log-optimistic", Crashes: []Blow{blow, bad}}
	good.sum()
	worse.sum()
	return &MatrixReport{Machine: somewhere, IntervalMS: 100, Rate: 600, Seed: 7, Rows: []MatrixRow{good, worse, {Mode: "active", Refused: "it is not known"}}}
}

func planeRun(f float64) PlaneRun {
	return PlaneRun{Rate: 60000 * f, Full: Price{4 * f, 9 * f, 25 * f}, ActiveMemory: 60 * f, StandbyMemory: 80 * f, Kernel: 380, Life: Price{5 * f, 12 * f, 44.4 * f},
		LifeRate: 9998, Disk: 3.5 * f, Syncs: f, Flood: 90000 / f, FirstP50: 120 * f, FirstP99: 900 * f, ResyncMS: 400 * f, Takeover: Takeover{MS: 1.9 * f},
		After: Truth{Sessions: 100500, Missing: 12}, WindowMS: 2.5 * f}
}

func modesReport() *ModesReport {
	row := func(mode string, f float64) ModeRow {
		all := []PlaneRun{planeRun(f), planeRun(1.1 * f), planeRun(1.2 * f)}
		return ModeRow{Mode: mode, Sessions: 100000, Runs: all, Sum: sumPlane(all)}
	}
	off := row(modeOff, 1)
	seen := row("active", 1.7)
	seen.Packets = true
	return &ModesReport{Machine: somewhere, Rate: 10000, Rows: []ModeRow{off, row("incremental", 1), row("hybrid", 1.5), seen, {Mode: "periodic", Sessions: 100000, Refused: "it is not known"}}}
}

func versusReport() *VersusReport {
	row := func(software, setting string, n int, f float64) VersusRow {
		all := []PlaneRun{planeRun(f), planeRun(1.1 * f)}
		if n == million {
			all = all[:1]
		}
		return VersusRow{Software: software, Setting: setting, Sessions: n, Runs: all, Sum: sumPlane(all)}
	}
	r := &VersusReport{Machine: somewhere, Mode: "hybrid", Rate: 10000, IdleMS: 30000, Limits: map[int]KernelLimits{100000: {250, 170}, million: {3400, 1700}}}
	for _, n := range []int{100000, million} {
		r.Rows = append(r.Rows, row("understudy", "takeover", n, 1), row("conntrackd", "external cache", n, 3.5), row("understudy", "hot", n, 1.2), row("conntrackd", "direct injection", n, 5))
	}
	r.Truths = []TruthRow{
		{"understudy", "hot", Truths{Storm: Truth{Sessions: 20000}, Restart: Truth{Sessions: 15000}, Idle: Truth{Sessions: 1}}},
		{"conntrackd", "direct injection", Truths{Storm: Truth{Sessions: 20000}, Restart: Truth{Sessions: 15000, Ghosts: 10000, Wrong: 3}, Idle: Truth{Sessions: 1, Missing: 1}}},
	}
	r.aim()
	return r
}

func TestTextForPeople(t *testing.T) {
	for name, r := range map[string]interface {
		WriteText(w *bytes.Buffer) error
	}{
		"crash":    textOf(func(b *bytes.Buffer) error { return crashReport().WriteText(b) }),
		"outage":   textOf(func(b *bytes.Buffer) error { return outageReport().WriteText(b) }),
		"release":  textOf(func(b *bytes.Buffer) error { return releaseReport().WriteText(b) }),
		"shut":     textOf(func(b *bytes.Buffer) error { return shutReport().WriteText(b) }),
		"mappings": textOf(func(b *bytes.Buffer) error { return mappingsReport().WriteText(b) }),
		"scale":    textOf(func(b *bytes.Buffer) error { return scaleReport().WriteText(b) }),
		"mass":     textOf(func(b *bytes.Buffer) error { return massReport().WriteText(b) }),
		"load":     textOf(func(b *bytes.Buffer) error { return loadReport().WriteText(b) }),
		"flood":    textOf(func(b *bytes.Buffer) error { return floodReport().WriteText(b) }),
		"matrix":   textOf(func(b *bytes.Buffer) error { return matrixReport().WriteText(b) }),
		"modes":    textOf(func(b *bytes.Buffer) error { return modesReport().WriteText(b) }),
		"versus":   textOf(func(b *bytes.Buffer) error { return versusReport().WriteText(b) }),
		"takeover": textOf(func(b *bytes.Buffer) error { return takeoverReport().WriteText(b) }),
		"checks":   textOf(func(b *bytes.Buffer) error { return checksReport(false).WriteText(b) }),
		"checks-1": textOf(func(b *bytes.Buffer) error { return checksReport(true).WriteText(b) }),
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
