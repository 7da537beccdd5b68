package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteText writes the report for a person.
func (r *MappingsReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nMappings, as elements of maps and as a rule each (min / median / max)\n")
	fmt.Fprintf(b, "%s; %s\n\n", r.Machine, strings.Join(r.Programs, ", "))
	fmt.Fprintf(b, "                                                                 one changed, ms           by hand, ms               read and compared, ms     new flows a second        last to\n")
	fmt.Fprintf(b, "                              mappings  load, ms                 rules: all of it anew     one rule                  nothing to be done        by the first mapping      first     N\n")
	for _, row := range r.Rows {
		orNone := func(s Summary) string {
			if s.N == 0 {
				return "-"
			}
			return s.text()
		}
		fmt.Fprintf(b, "%-28s%10d  %-25s%-26s%-26s%-26s%-26s%-10.2f%d\n", row.Kind, row.Mappings, row.LoadMS.text(), row.ChangeMS.text(), orNone(row.OneMS), orNone(row.ReadMS), row.First.text(),
			ratio(row.Last.Median, row.First.Median), row.LoadMS.N)
	}
	r.compare(b)
	return flush(b)
}

// compare relates ours, a port each, to each kind of rules with as many mappings, and each
// of ours to what it is with the fewest.
func (r *MappingsReport) compare(w io.Writer) {
	fewest := map[string]MappingsRow{}
	var our MappingsRow
	fmt.Fprintln(w, "\n  medians, of ours with a port each to those of rules; with the last mapping, new flows")
	for _, row := range r.Rows {
		if row.Kind == (&ourMapper{kind: kindForward}).name() {
			our = row
		}
		if !strings.HasPrefix(row.Kind, (ours{}).Name()) && our.Mappings == row.Mappings {
			fmt.Fprintf(w, "  %7d mappings, %-20s load %.3f, one changed %.3f (to one rule by hand %.3f), new flows %.2f times as many\n", row.Mappings, row.Kind+":",
				fine(our.LoadMS.Median, row.LoadMS.Median), fine(our.ChangeMS.Median, row.ChangeMS.Median), fine(our.ChangeMS.Median, row.OneMS.Median), ratio(our.Last.Median, row.Last.Median))
		}
	}
	for _, row := range r.Rows {
		least, ok := fewest[row.Kind]
		if !ok {
			fewest[row.Kind] = row
			continue
		}
		if strings.HasPrefix(row.Kind, (ours{}).Name()) {
			fmt.Fprintf(w, "  %d mappings to %d, %s: one changed %.2f, new flows by the last %.2f\n", row.Mappings, least.Mappings, row.Kind,
				ratio(row.ChangeMS.Median, least.ChangeMS.Median), ratio(row.Last.Median, least.Last.Median))
		}
	}
}

// fine is a ratio to three digits.
func fine(a, b float64) float64 {
	if b == 0 {
		return 0
	}
	return round(a / b)
}
