package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *ScaleReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nCost of virtual routers, adverts each %s ms: all processes of a node, over %g s (min / median / max)\n", number(r.IntervalMS), r.WindowMS/1e3)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                        processor, %%                                        memory, MB                                          adverts\n")
	fmt.Fprintf(b, "             routers    active                    standby                    active                    standby                    a second       N\n")
	for _, row := range r.Rows {
		fmt.Fprintf(b, "%-12s%8d    %-26s%-27s%-26s%-27s%-15s%d\n", row.Software, row.Routers, row.Active.CPU.text(), row.Standby.CPU.text(),
			row.Active.Memory.text(), row.Standby.Memory.text(), number(row.Adverts.Median), row.Adverts.N)
	}
	for i := 1; i < len(r.Rows); i += 2 {
		our, their := r.Rows[i-1], r.Rows[i]
		fmt.Fprintf(b, "  ours to %s, %d routers, medians: processor %.2f active, %.2f standby; memory %.2f, %.2f\n", their.Software, their.Routers,
			ratio(our.Active.CPU.Median, their.Active.CPU.Median), ratio(our.Standby.CPU.Median, their.Standby.CPU.Median),
			ratio(our.Active.Memory.Median, their.Active.Memory.Median), ratio(our.Standby.Memory.Median, their.Standby.Memory.Median))
	}
	return flush(b)
}
