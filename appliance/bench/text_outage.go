package bench

import (
	"bufio"
	"fmt"
	"io"
	"time"
)

// WriteText writes the report for a person.
func (r *OutageReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nOutage at a crash %g ms after an advert: the longest time that no datagram (one each ms) came through, ms\n", r.PhaseMS)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                        advert  protocol                            noise before  datagrams lost       phase               off  bound  theirs\n")
	fmt.Fprintf(b, "             MAC      interval     bound  min / median / max        median / max  min / median / max   min / median / max phase  + %d ms  + %d ms   N\n",
		slack/time.Millisecond, closeEnough/time.Millisecond)
	for _, row := range r.Rows {
		near := "-"
		if row.Software != (ours{}).Name() {
			near = "our " + yes(row.Close)
		}
		fmt.Fprintf(b, "%-12s %-9s%8s%10s  %-26s%-14s%-21s%-21s%3d  %-7s%-8s%3d\n", row.Software, row.MAC, number(row.IntervalMS), number(row.BoundMS),
			row.OutageMS.text(), number(row.NoiseMS.Median)+" / "+number(row.NoiseMS.Max), row.Lost.whole(), row.PhaseMS.text(), row.OffPhase,
			yes(row.Within), near, row.OutageMS.N)
	}
	for i, row := range r.Rows {
		if i%2 == 1 {
			fmt.Fprintf(b, "  ours to %s, adverts each %s ms, %s MAC: %.2f of the medians, %.2f of the maxima\n", row.Software, number(row.IntervalMS), row.MAC,
				ratio(r.Rows[i-1].OutageMS.Median, row.OutageMS.Median), ratio(r.Rows[i-1].OutageMS.Max, row.OutageMS.Max))
		}
	}
	return flush(b)
}

// whole is a summary of counts.
func (s Summary) whole() string { return fmt.Sprintf("%g / %g / %g", s.Min, s.Median, s.Max) }
