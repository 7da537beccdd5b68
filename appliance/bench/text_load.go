package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *LoadReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nFalse takeovers in %g s, adverts each %s ms, beside %d busy loops\n", r.WindowMS/1e3, number(r.IntervalMS), r.Loops)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                                            takeovers             on the  processes  longest without an advert\n")
	fmt.Fprintf(b, "             setting              sessions  min / median / max      wire  that died  min / median / max, ms      N  none\n")
	for _, row := range r.Rows {
		wire, died, sessions := 0, 0, "-"
		for _, s := range row.Strains {
			wire, died = wire+s.Wire, died+s.Died
		}
		if row.Sessions > 0 {
			sessions = fmt.Sprint(row.Sessions)
		}
		fmt.Fprintf(b, "%-12s %-20s%9s  %-22s%6d%11d  %-28s%d  %s\n", row.Software, row.Setting, sessions, row.Takeovers.whole(), wire, died, row.SilentMS.text(), len(row.Strains), yes(row.Within))
	}
	for _, row := range r.Rows {
		if row.Sessions > 0 {
			syncing := collect(row.Strains, func(s Strain) float64 { return 100 * s.Syncing })
			resyncs := collect(row.Strains, func(s Strain) float64 { return float64(s.Resyncs) })
			fmt.Fprintf(b, "  %s: %d sessions being resynchronised %s %% of the time, begun %s times\n", row.Software, row.Sessions, syncing.text(), resyncs.whole())
		}
	}
	return flush(b)
}
