package sim

import (
	"flag"
	"os"
	"path/filepath"
	"testing"
)

var scenarioFile = flag.String("scenario", "", "a scenario file to run; everything that happens in it is told")

func scenarios(t *testing.T) map[string]*Schedule {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	if *scenarioFile != "" {
		files = []string{*scenarioFile}
	}
	if err != nil || len(files) == 0 {
		t.Fatalf("no scenarios: %v", err)
	}
	out := make(map[string]*Schedule)
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		sc, err := Parse(string(text))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		out[filepath.Base(file)] = sc
	}
	return out
}

// TestScenarios runs the files in testdata: what the simulator has found, and what
// somebody wanted to know. No rule may be violated, and every expect must hold.
func TestScenarios(t *testing.T) {
	for file, sc := range scenarios(t) {
		t.Run(file, func(t *testing.T) {
			w := New(sc)
			if *scenarioFile != "" {
				w.Trace = func(line string) { t.Log(line) }
			}
			if v := w.Run(); v != nil {
				t.Errorf("%v\n%s", v, w.Dump())
			}
			if *scenarioFile != "" {
				t.Log(w.Coverage.judge(t, 0))
			}
		})
	}
}
