package bench

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"time"
)

// WriteJSON writes a report as one object.
func WriteJSON(w io.Writer, report any) error {
	if err := json.NewEncoder(w).Encode(report); err != nil {
		return fmt.Errorf("bench: write report: %w", err)
	}
	return nil
}

// WriteText writes the report for a person.
func (r *CrashReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nCrash of the active gateway: the longest time that no datagram (one each ms) came through, ms\n")
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "              advert  protocol                            noise before         flows  median within\n")
	fmt.Fprintf(b, "            interval     bound  min / median / max        median / max   N      lost  bound + %d ms\n", slack/time.Millisecond)
	for _, row := range r.Rows {
		lost := "-"
		if row.Flows > 0 {
			lost = fmt.Sprintf("%d/%d", row.Lost, row.Flows)
		}
		fmt.Fprintf(b, "%-12s%8s%10s  %-26s%-13s%3d%10s  %s\n", row.Software, number(row.IntervalMS), number(row.BoundMS),
			row.Outage.text(), number(row.Noise.Median)+" / "+number(row.Noise.Max), row.Outage.N, lost, yes(row.Within))
	}
	r.compare(b)
	return flush(b)
}

// compare relates each row to ours at the same interval.
func (r *CrashReport) compare(w io.Writer) {
	title := "\nOutage of ours to that of the others, medians\n"
	for _, row := range r.Rows {
		if row.Software == (ours{}).Name() {
			continue
		}
		for _, our := range r.Rows {
			if our.Software == (ours{}).Name() && our.IntervalMS == row.IntervalMS {
				fmt.Fprintf(w, "%s  %s ms: %.2f of %s\n", title, number(row.IntervalMS), ratio(our.Outage.Median, row.Outage.Median), row.Software)
				title = ""
			}
		}
	}
}

// WriteText writes the report for a person.
func (r *TakeoverReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nTakeover after a crash: from the survivor's first advert to the first announcement of its last address, ms\n")
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "  sessions  still to   on the wire               session plane's part\n")
	fmt.Fprintf(b, "  in place   install   min / median / max        min / median / max          N\n")
	for _, row := range r.Rows {
		fmt.Fprintf(b, "%10d%10d   %-26s%-26s%3d\n", row.Sessions, row.Installed, row.TookMS.text(), row.PlaneMS.text(), row.TookMS.N)
	}
	fmt.Fprintf(b, "  ratio of the medians %.2f, at most %g: %s\n", r.Ratio, aimRatio, yes(r.Ratio <= aimRatio))
	if s := r.Size; s != nil {
		s.write(b)
	}
	return flush(b)
}

func (s *SizeSummary) write(w io.Writer) {
	fmt.Fprintf(w, "\nCost of sessions to the daemons (min / median / max, N=%d)\n\n", s.Active.Memory.N)
	fmt.Fprintf(w, "                                                 active gateway            standby\n")
	for _, line := range []struct {
		what string
		of   func(NodeSummary) Summary
	}{
		{fmt.Sprintf("memory of each of %d sessions, bytes", s.Sessions), func(n NodeSummary) Summary { return n.Memory }},
		{"processor time of an established session, us", func(n NodeSummary) Summary { return n.Established }},
		{"... of a connection's whole life, us", func(n NodeSummary) Summary { return n.Whole }},
		{"... idle, % of a processor", func(n NodeSummary) Summary { return n.Idle }},
	} {
		fmt.Fprintf(w, "  %-47s%-26s%s\n", line.what, line.of(s.Active).text(), line.of(s.Standby).text())
	}
	fmt.Fprintf(w, "  memory at most %d bytes on both: %s\n", aimMemory, yes(max(s.Active.Memory.Median, s.Standby.Memory.Median) <= aimMemory))
	fmt.Fprintf(w, "  established sessions a second, until the standby's kernel has all: %s\n", s.Rate.text())
	fmt.Fprintf(w, "  kernel memory of each session on each gateway, bytes: %s", s.Kernel.text())
	if s.Object > 0 {
		fmt.Fprintf(w, " (%d of it the connection itself)", s.Object)
	}
	fmt.Fprintln(w)
}

func (s Summary) text() string {
	return number(s.Min) + " / " + number(s.Median) + " / " + number(s.Max)
}

// number shows three digits, and more only before the point.
func number(v float64) string {
	switch {
	case v >= 100 || v <= -100:
		return strconv.FormatFloat(v, 'f', 0, 64)
	case v >= 10 || v <= -10:
		return strconv.FormatFloat(v, 'f', 1, 64)
	}
	return strconv.FormatFloat(v, 'f', 2, 64)
}

func yes(ok bool) string {
	if ok {
		return "yes"
	}
	return "NO"
}

func flush(b *bufio.Writer) error {
	if err := b.Flush(); err != nil {
		return fmt.Errorf("bench: write report: %w", err)
	}
	return nil
}
