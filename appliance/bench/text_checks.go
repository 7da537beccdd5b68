package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *ChecksReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nCost of TCP checks, each once a second: all processes, over %g s (min / median / max)\n", r.WindowMS/1e3)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "             checks    processor, %%              a check, us               memory, MB                connections a second      N\n")
	for _, row := range r.Rows {
		if row.Refused != "" {
			fmt.Fprintf(b, "%-12s%7d    cannot be measured on this machine: %s\n", row.Software, row.Checks, row.Refused)
			continue
		}
		each := "-"
		if row.EachUS.N > 0 {
			each = row.EachUS.text()
		}
		fmt.Fprintf(b, "%-12s%7d    %-26s%-26s%-26s%-26s%d\n", row.Software, row.Checks, row.Cost.CPU.text(), each, row.Cost.Memory.text(), row.Rate.text(), row.Rate.N)
	}
	if n := len(r.Rows); n == 3 && r.Rows[2].Refused == "" {
		our, their := r.Rows[1], r.Rows[2]
		fmt.Fprintf(b, "  ours to %s, medians: processor time of a check %.2f, memory %.2f\n", their.Software,
			ratio(our.EachUS.Median, their.EachUS.Median), ratio(our.Cost.Memory.Median, their.Cost.Memory.Median))
		if their.Pretended {
			fmt.Fprintf(b, "  this kernel has no IPVS: %s's calls to it, made when a server comes or goes, were answered with success\n", their.Software)
		}
	}
	return flush(b)
}
