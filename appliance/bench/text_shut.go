package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *ShutReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nRelease of %d virtual MACs of one interface, a frame to each of them every %g ms, no peer: when the last one is refused, ms\n", r.MACs, r.RoundMS)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                    from the first MAC's end  from priority 0 to        still forwarding\n")
	fmt.Fprintf(b, "                    to the last one's         the last one's end        3 s later          N   all at once\n")
	for _, row := range r.Rows {
		spread, after := "-", "-"
		if row.SpreadMS.N > 0 {
			spread, after = row.SpreadMS.text(), row.AfterMS.text()
		}
		fmt.Fprintf(b, "%-12s%-8s%-26s%-26s%-19s%-4d%s\n", row.Software, row.Way, spread, after, fmt.Sprintf("%d of %d", row.Remained, r.MACs), len(row.Shuts), yes(row.Within))
	}
	return flush(b)
}
