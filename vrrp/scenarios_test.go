package vrrp_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"

	"understudy/vrrp/vrrptest"
)

// TestScenarios replays testdata/scenarios: commands, ----, and everything that happened. -rewrite writes what
// happens now; read the difference as a reviewer would. The commands are those of vrrptest.Script.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			script := vrrptest.NewScript()
			datadriven.RunTest(t, file, func(t *testing.T, d *datadriven.TestData) string {
				first := d.Cmd
				for _, a := range d.CmdArgs {
					first += " " + a.String()
				}
				out, err := script.Run(append([]string{first}, strings.Split(d.Input, "\n")...)...)
				if err != nil {
					d.Fatalf(t, "%v", err)
				}
				return out
			})
		})
	}
}
