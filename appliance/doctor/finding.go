package doctor

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"
)

// Severity says what a finding means for the gateway.
type Severity string

const (
	Error   Severity = "error"   // it cannot work, or not when it is needed
	Warning Severity = "warning" // it works, but not as it should, or not for ever
	Unknown Severity = "unknown" // it could not be found out
	Info    Severity = "info"    // good to know
	OK      Severity = "ok"
)

var ranks = map[Severity]int{Error: 0, Warning: 1, Unknown: 2, Info: 3, OK: 4}

// Finding is what one check says about one thing.
type Finding struct {
	Check    string   `json:"check"` // its name: see docs/doctor.md
	Severity Severity `json:"severity"`
	Subject  string   `json:"subject"` // an interface, a router, a peer; empty: the machine
	Text     string   `json:"text"`
	Evidence []string `json:"evidence"`
	Fix      string   `json:"fix"` // empty: there is nothing to do
}

// Report is all of them, the worst first.
type Report struct {
	Node     string    `json:"node"`
	File     string    `json:"file"`
	Errors   int       `json:"errors"`
	Warnings int       `json:"warnings"`
	Findings []Finding `json:"findings"`
}

func (r *Report) add(all ...Finding) {
	for _, f := range all {
		if f.Evidence == nil {
			f.Evidence = []string{}
		}
		switch f.Severity {
		case Error:
			r.Errors++
		case Warning:
			r.Warnings++
		}
		r.Findings = append(r.Findings, f)
	}
}

// sort puts the worst first; of the same severity the order of the checks stays.
func (r *Report) sort() {
	slices.SortStableFunc(r.Findings, func(a, b Finding) int { return cmp.Compare(ranks[a.Severity], ranks[b.Severity]) })
}

// WriteText prints the report for people; what is well only if all is asked for. paint
// gives a word the tone of its severity.
func (r *Report) WriteText(w io.Writer, all bool, paint func(Severity, string) string) error {
	well := 0
	for _, f := range r.Findings {
		if f.Severity == OK && !all {
			well++
			continue
		}
		name := f.Check
		if f.Subject != "" {
			name += " " + f.Subject
		}
		fmt.Fprintf(w, "%s  %s: %s\n", paint(f.Severity, fmt.Sprintf("%-7s", f.Severity)), name, f.Text)
		for _, e := range f.Evidence {
			fmt.Fprintf(w, "           %s\n", e)
		}
		if f.Fix != "" {
			fmt.Fprintf(w, "           fix: %s\n", strings.ReplaceAll(f.Fix, "\n", "\n           "))
		}
	}
	if well > 0 {
		fmt.Fprintf(w, "%s  %d checks (--all shows them)\n", paint(OK, fmt.Sprintf("%-7s", OK)), well)
	}
	_, err := fmt.Fprintf(w, "%d errors, %d warnings\n", r.Errors, r.Warnings)
	return err
}
