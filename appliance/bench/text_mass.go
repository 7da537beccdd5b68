package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *MassReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nTakeover of %d addresses after a crash, ms from the survivor's first advert on the wire (min / median / max)\n", r.Addresses)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	for i, row := range r.Rows {
		if i == 0 {
			fmt.Fprintf(b, "                                                  ")
		}
		fmt.Fprintf(b, "%-28s", fmt.Sprintf("%s, N=%d", row.Software, len(row.Takeovers)))
	}
	fmt.Fprintf(b, "ratio of medians\n")
	for _, line := range []struct {
		what string
		of   func(MassRow) Summary
	}{
		{"first address in the kernel", func(r MassRow) Summary { return r.FirstMS }},
		{"last address in the kernel", func(r MassRow) Summary { return r.AllMS }},
		{"first announcement on the wire", func(r MassRow) Summary { return r.HeardMS }},
		{"every address announced once", func(r MassRow) Summary { return r.ToldMS }},
		{"last announcement of the first wave", func(r MassRow) Summary { return r.LastMS }},
		{"announcements in it", func(r MassRow) Summary { return r.Frames }},
	} {
		fmt.Fprintf(b, "  %-48s", line.what)
		for _, row := range r.Rows {
			fmt.Fprintf(b, "%-28s", line.of(row).text())
		}
		if len(r.Rows) == 2 {
			fmt.Fprintf(b, "%.2f", ratio(line.of(r.Rows[0]).Median, line.of(r.Rows[1]).Median))
		}
		fmt.Fprintln(b)
	}
	return flush(b)
}
