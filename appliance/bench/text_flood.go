package bench

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteText writes the report for a person.
func (r *FloodReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nFlood of forged and malformed adverts, %d a second asked for, %g s; adverts each %s ms (min / median / max)\n", r.Rate, r.WindowMS/1e3, number(r.IntervalMS))
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	for i, row := range r.Rows {
		if i == 0 {
			fmt.Fprintf(b, "%*s", 56, "")
		}
		fmt.Fprintf(b, "%-28s", fmt.Sprintf("%s, N=%d", row.Software, len(row.Floods)))
	}
	fmt.Fprintln(b)
	takeovers := func(r FloodRow) Summary {
		return collect(r.Floods, func(f Flood) float64 { return float64(f.Takeovers) })
	}
	for _, line := range []struct {
		what string
		of   func(FloodRow) string
	}{
		{"frames a second", func(r FloodRow) string { return r.Rate.text() }},
		{"takeovers while the active one was well", func(r FloodRow) string { return takeovers(r).whole() }},
		{"processes that died", func(r FloodRow) string {
			return collect(r.Floods, func(f Flood) float64 { return float64(f.Died) }).whole()
		}},
		{"processor of the active one before, %", func(r FloodRow) string { return r.Calm.text() }},
		{"... in the flood, %", func(r FloodRow) string { return r.Active.CPU.text() }},
		{"processor of the standby in the flood, %", func(r FloodRow) string { return r.Standby.CPU.text() }},
		{"growth of memory in the flood, kB", func(r FloodRow) string { return r.GrownKB.text() }},
		{"adverts of the active one a second", func(r FloodRow) string { return r.Answers.text() }},
		{"from its priority 0 to the standby's advert, ms", func(r FloodRow) string {
			if r.HeardMS.N == 0 {
				return "-"
			}
			return r.HeardMS.text()
		}},
		{"roles held", func(r FloodRow) string { return yes(r.Held) }},
		{"memory flat", func(r FloodRow) string { return yes(r.Flat) }},
		{"legitimate peer heard", func(r FloodRow) string { return yes(r.Heard) }},
	} {
		text := fmt.Sprintf("  %-54s", line.what)
		for _, row := range r.Rows {
			text += fmt.Sprintf("%-28s", line.of(row))
		}
		fmt.Fprintln(b, strings.TrimRight(text, " "))
	}
	return flush(b)
}
