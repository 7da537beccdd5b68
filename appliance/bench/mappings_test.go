package bench

import (
	"os/exec"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// Each way to map is measured, and does translate: a flow that got through to nobody
// would be an error.
func TestRunMappings(t *testing.T) {
	lab.Require(t)
	if _, err := exec.LookPath("iptables-restore"); err != nil {
		t.Fatal("compared with iptables (package iptables; make tools): ", err)
	}
	r, err := RunMappings(patient(t), MappingsOptions{Mappings: []int{1, 300}, Runs: 2, Flows: 500})
	if err != nil {
		t.Fatal(err)
	}
	if len(r.Rows) != 10 || len(r.Programs) != 2 {
		t.Fatalf("%d rows, %q", len(r.Rows), r.Programs)
	}
	for i, row := range r.Rows {
		rules := !strings.HasPrefix(row.Kind, "understudy")
		if row.LoadMS.N != 2 || row.ChangeMS.N != 2 || row.First.N != 2 || row.Last.N != 2 || rules != (row.OneMS.N == 2) || rules == (row.ReadMS.N == 2) || row.First.Min <= 0 || row.Last.Min <= 0 {
			t.Errorf("row %d: %+v", i, row)
		}
	}
}

// What is measured as unmapped is noticed.
func TestMappingsRateNeedsAMapping(t *testing.T) {
	lab.Require(t)
	b, err := newMappingsBed()
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	m := &ourMapper{bed: b, kind: kindNetwork}
	if _, err := m.load(3); err != nil {
		t.Fatal(err)
	}
	defer m.close()
	if _, err := b.rate(m.called(2), 10, 0); err != nil {
		t.Error(err)
	}
	began := time.Now()
	short := patience
	if _, err := b.rateWithin(m.called(3), 10, 0, short/50); err == nil || !strings.Contains(err.Error(), "0 were translated") {
		t.Errorf("an address that is not mapped: %v after %v", err, time.Since(began))
	}
}
