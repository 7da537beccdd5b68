package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *VersusReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nReplication of sessions beside conntrackd (ours in mode %s; whole lives at %d connections a second; medians, or min / median / max)\n", r.Mode, r.Rate)
	fmt.Fprintf(b, "%s\n", r.Machine)
	n := 0
	for i := range r.Rows {
		row := &r.Rows[i]
		if row.Sessions != n {
			n = row.Sessions
			l := r.Limits[n]
			fmt.Fprintf(b, "\n  %d sessions (this kernel alone inserts them in %s ms, and reads them in %s)\n\n", n, whole(l.InsertMS), whole(l.DumpMS))
			r.table(b, n)
		}
	}
	if len(r.Truths) > 0 {
		fmt.Fprintf(b, "\n  What is wrong with the standby's table: missing, wrong, ghosts\n\n")
		fmt.Fprintf(b, "    %-32s%-26s%-26s%s\n", "", "after a storm", "after a restart", fmt.Sprintf("after an idle stream of %g s", r.IdleMS/1e3))
		for _, t := range r.Truths {
			fmt.Fprintf(b, "    %-32s%-26s%-26s%s\n", t.Software+", "+t.Setting, t.Truths.Storm.text(), t.Truths.Restart.text(), t.Truths.Idle.text())
		}
	}
	if len(r.Aims) > 0 {
		fmt.Fprintf(b, "\n  Aims\n\n")
		for _, a := range r.Aims {
			fmt.Fprintf(b, "    %-100s%8s, at most %-7s%s\n", a.What, number(a.Value), number(a.Most), yes(a.Within))
		}
	}
	return flush(b)
}

func (t Truth) text() string {
	return fmt.Sprintf("%d, %d, %d of %d", t.Missing, t.Wrong, t.Ghosts, t.Sessions)
}

// table shows all programs with one number of sessions side by side, ours with its
// ratio to the one beside it.
func (r *VersusReport) table(w io.Writer, n int) {
	var rows []*VersusRow
	for i := range r.Rows {
		if r.Rows[i].Sessions == n {
			rows = append(rows, &r.Rows[i])
		}
	}
	fmt.Fprintf(w, "    %-46s", "")
	for _, row := range rows {
		fmt.Fprintf(w, "%-24s", row.Software)
	}
	fmt.Fprintf(w, "\n    %-46s", "")
	for _, row := range rows {
		fmt.Fprintf(w, "%-24s", fmt.Sprintf("%s, N=%d", row.Setting, len(row.Runs)))
	}
	fmt.Fprintf(w, "ratios of medians\n")
	for _, line := range []struct {
		what string
		of   func(*PlaneSummary) Summary
		all  bool // min / median / max
	}{
		{"sessions a second until the standby knows all", func(s *PlaneSummary) Summary { return s.Rate }, false},
		{"... that it does not get to know", func(s *PlaneSummary) Summary { return s.Missing }, false},
		{"us for one, active", func(s *PlaneSummary) Summary { return s.Full.ActiveUS }, false},
		{"... standby", func(s *PlaneSummary) Summary { return s.Full.StandbyUS }, false},
		{"... bytes on the link", func(s *PlaneSummary) Summary { return s.Full.Link }, false},
		{"us for a whole life, active", func(s *PlaneSummary) Summary { return s.Life.ActiveUS }, true},
		{"... standby", func(s *PlaneSummary) Summary { return s.Life.StandbyUS }, true},
		{"... bytes on the link", func(s *PlaneSummary) Summary { return s.Life.Link }, true},
		{"... lives a second", func(s *PlaneSummary) Summary { return s.LifeRate }, false},
		{"resident bytes a session, active", func(s *PlaneSummary) Summary { return s.ActiveMemory }, true},
		{"... standby", func(s *PlaneSummary) Summary { return s.StandbyMemory }, true},
		{"kernel's bytes a session, each side", func(s *PlaneSummary) Summary { return s.Kernel }, false},
		{"resynchronisation, ms", func(s *PlaneSummary) Summary { return s.ResyncMS }, true},
		{"takeover, ms", func(s *PlaneSummary) Summary { return s.TakeoverMS }, true},
		{"... sessions installed by it", func(s *PlaneSummary) Summary { return s.Installed }, false},
		{"lost in a crash among those lives", func(s *PlaneSummary) Summary { return s.Lost }, true},
		{"... age of the oldest, ms", func(s *PlaneSummary) Summary { return s.WindowMS }, false},
		{"wrong entries after it", func(s *PlaneSummary) Summary { return s.Faults }, true},
	} {
		fmt.Fprintf(w, "    %-46s", line.what)
		for _, row := range rows {
			s := line.of(&row.Sum)
			if line.all && s.N > 1 {
				fmt.Fprintf(w, "%-24s", s.text())
			} else {
				fmt.Fprintf(w, "%-24s", number(s.Median))
			}
		}
		for i := 0; i+1 < len(rows); i += 2 {
			if a, b := line.of(&rows[i].Sum).Median, line.of(&rows[i+1].Sum).Median; b != 0 {
				fmt.Fprintf(w, "%-8s", number(ratio(a, b)))
			} else {
				fmt.Fprintf(w, "%-8s", "-")
			}
		}
		fmt.Fprintln(w)
	}
}
