package bench

import (
	"bufio"
	"fmt"
	"io"
	"slices"
)

// WriteText writes the report for a person.
func (r *MatrixReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nFlows lost in crashes at random moments, beside %d new connections a second (adverts each %s ms, seed %d)\n", r.Rate, number(r.IntervalMS), r.Seed)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                       the peer had         younger                    untrans-  met           lag, ms            oldest lost, ms    new a second\n")
	fmt.Fprintf(b, "  mode             N   flows     lost   flows    lost expected  wrong    lated  again  named   median / max       median / max       min / median      within\n")
	for _, row := range r.Rows {
		if row.Refused != "" {
			fmt.Fprintf(b, "  %-17s-   not run: %s\n", row.Mode, row.Refused)
			continue
		}
		var c ClassCount
		for _, k := range row.Classes {
			c.Held, c.HeldLost, c.Young, c.YoungLost, c.Expected = c.Held+k.Held, c.HeldLost+k.HeldLost, c.Young+k.Young, c.YoungLost+k.YoungLost, c.Expected+k.Expected
		}
		wrong, leaks, met, named := 0, 0, 0, 0
		for _, k := range row.Crashes {
			wrong, leaks, met, named = wrong+k.Wrong, leaks+k.Leaks, met+k.Met, named+k.Named
		}
		lag := collect(row.Crashes, func(b Blow) float64 { return b.LagMS })
		window := collect(row.Crashes, func(b Blow) float64 { return b.WindowMS })
		rate := collect(row.Crashes, func(b Blow) float64 { return b.Rate })
		fmt.Fprintf(b, "  %-14s%4d%8d%9d%8d%8d%9s%7d%9d%7d%7d   %-19s%-19s%-18s%s\n", row.Mode, len(row.Crashes), c.Held, c.HeldLost, c.Young, c.YoungLost, number(c.Expected),
			wrong, leaks, met, named, number(lag.Median)+" / "+number(lag.Max), number(window.Median)+" / "+number(window.Max), number(rate.Min)+" / "+number(rate.Median), yes(row.Within))
	}
	fmt.Fprintf(b, "\n  Met again: lost connections of which the survivor was sent a segment; named: of these, in its report. By a datagram it cannot tell.\n")
	fmt.Fprintf(b, "\n  By class: flows that the peer had, lost of them; younger ones, lost of them, expected (new a second x lag)\n\n")
	for _, row := range r.Rows {
		if row.Refused != "" {
			continue
		}
		fmt.Fprintf(b, "  %s\n", row.Mode)
		for _, k := range row.Classes {
			fmt.Fprintf(b, "    %-14s%8d%8d%10d%8d%10s\n", k.Class, k.Held, k.HeldLost, k.Young, k.YoungLost, number(k.Expected))
		}
	}
	for _, row := range r.Rows {
		for i, k := range row.Crashes {
			if k.Within {
				continue
			}
			for _, l := range slices.Concat(k.Lost, k.Leaked) {
				fmt.Fprintf(b, "  %s, crash %d: %s\n", row.Mode, i+1, l)
			}
			for _, l := range k.Unnamed {
				fmt.Fprintf(b, "  %s, crash %d: not named: %s\n", row.Mode, i+1, l)
			}
		}
	}
	return flush(b)
}
