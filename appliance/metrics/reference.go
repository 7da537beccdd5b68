package metrics

import (
	"fmt"
	"strings"
)

// Reference is the table of docs/metrics.md: every metric, its kind, its labels and
// what it tells.
func Reference() string {
	var b strings.Builder
	b.WriteString("| metric | kind | labels | what it tells |\n|---|---|---|---|\n")
	row := func(name, kind string, labels []string, help string) {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", name, kind, strings.Join(labels, ", "), help)
	}
	for i := range families {
		f := &families[i]
		kind := "gauge"
		if f.counter {
			kind = "counter"
		}
		row(f.name, kind, f.labels, f.help)
	}
	row(latenessName, "histogram", nil, latenessHelp)
	row(stallName, "histogram", stallLabels, stallHelp)
	row(phasesName, "histogram", []string{"phase"}, phasesHelp)
	return b.String()
}
