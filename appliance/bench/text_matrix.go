package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *MatrixReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nFlows lost in crashes at random moments, beside %d new connections a second (adverts each %s ms, seed %d)\n", r.Rate, number(r.IntervalMS), r.Seed)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                       the peer had         younger                    untrans-  lag, ms            oldest lost, ms    new a second\n")
	fmt.Fprintf(b, "  mode             N   flows     lost   flows    lost expected  wrong    lated   median / max       median / max       min / median      within\n")
	for _, row := range r.Rows {
		if row.Refused != "" {
			fmt.Fprintf(b, "  %-17s-   not run: %s\n", row.Mode, row.Refused)
			continue
		}
		var c ClassCount
		for _, k := range row.Classes {
			c.Held, c.HeldLost, c.Young, c.YoungLost, c.Expected = c.Held+k.Held, c.HeldLost+k.HeldLost, c.Young+k.Young, c.YoungLost+k.YoungLost, c.Expected+k.Expected
		}
		wrong, leaks := 0, 0
		for _, k := range row.Crashes {
			wrong, leaks = wrong+k.Wrong, leaks+k.Leaks
		}
		lag := collect(row.Crashes, func(b Blow) float64 { return b.LagMS })
		window := collect(row.Crashes, func(b Blow) float64 { return b.WindowMS })
		rate := collect(row.Crashes, func(b Blow) float64 { return b.Rate })
		fmt.Fprintf(b, "  %-14s%4d%8d%9d%8d%8d%9s%7d%9d   %-19s%-19s%-18s%s\n", row.Mode, len(row.Crashes), c.Held, c.HeldLost, c.Young, c.YoungLost, number(c.Expected),
			wrong, leaks, number(lag.Median)+" / "+number(lag.Max), number(window.Median)+" / "+number(window.Max), number(rate.Min)+" / "+number(rate.Median), yes(row.Within))
	}
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
			for _, l := range append(append([]string{}, k.Lost...), k.Leaked...) {
				if !k.Within {
					fmt.Fprintf(b, "  %s, crash %d: %s\n", row.Mode, i+1, l)
				}
			}
		}
	}
	return flush(b)
}
