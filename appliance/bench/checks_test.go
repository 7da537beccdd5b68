package bench

import (
	"testing"
	"time"
)

func checksReport(refused bool) *ChecksReport {
	s := func(v float64) Summary { return Summary{3, v * .9, v, v * 1.1} }
	row := func(sw string, n int, cpu, memory float64) ChecksRow {
		return ChecksRow{Software: sw, Checks: n, Cost: CostSummary{CPU: s(cpu), Memory: s(memory)}, Rate: s(float64(n)), EachUS: s(cpu * 5)}
	}
	r := &ChecksReport{Machine: somewhere, Checks: 2000, WindowMS: 20000, Rows: []ChecksRow{
		row("understudy", 0, .6, 25), row("understudy", 2000, 12, 40), row("keepalived", 2000, 8, 12)}}
	r.Rows[0].EachUS, r.Rows[2].Pretended = Summary{}, true
	if refused {
		r.Rows[2] = ChecksRow{Software: "keepalived", Checks: 2000, Refused: "it makes too few checks; it said last: IPVS: Can't initialize ipvs"}
	}
	return r
}

// Both make as many checks as they are asked for, whether there is IPVS or not.
func TestRunChecks(t *testing.T) {
	const checks = checkAddresses + 10
	r, err := RunChecks(patient(t), ChecksOptions{Beside: besideT(t).once(), Checks: checks, Window: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 3 {
		t.Fatalf("%+v", r.Rows)
	}
	idle, ours, theirs := r.Rows[0], r.Rows[1], r.Rows[2]
	if idle.Checks != 0 || idle.Rate.Max != 0 || idle.Cost.Memory.Min <= 1 || idle.Refused != "" {
		t.Errorf("without checks: %+v", idle)
	}
	if ours.Refused != "" || ours.Rate.N != 1 || ours.Rate.Min < checks*3/4 || ours.Rate.Max > checks*5/4 || ours.EachUS.Max <= 0 {
		t.Errorf("ours: %+v", ours)
	}
	if theirs.Refused != "" || theirs.Rate.N != 1 || theirs.Rate.Min < checks/2 || theirs.Cost.CPU.Max <= 0 || theirs.Pretended == hasIPVS() {
		t.Errorf("theirs: %+v", theirs)
	}
}
