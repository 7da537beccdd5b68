package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *ReleaseReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nRelease in good order, adverts each %s ms: datagrams lost, one sent each ms in each direction, there and back\n", number(r.IntervalMS))
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                                lost in each          without  lost    longest silence, ms       noise before, ms    advert to announcement    clean in\n")
	fmt.Fprintf(b, "             MAC       way      min / median / max    a loss   before  min / median / max        median / max        min / median / max, ms    19 of 20\n")
	for _, row := range r.Rows {
		fmt.Fprintf(b, "%-12s %-10s%-9s%-22s%-9s%-8d%-26s%-20s%-26s%s\n", row.Software, row.MAC, row.Way, row.Lost.whole(),
			fmt.Sprintf("%d/%d", row.Clean, row.Lost.N), row.Before, row.SilentMS.text(), number(row.NoiseMS.Median)+" / "+number(row.NoiseMS.Max),
			row.TookMS.text(), yes(row.Within))
	}
	return flush(b)
}
