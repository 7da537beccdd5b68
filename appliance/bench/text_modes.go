package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *ModesReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nThe approaches to replication, each by itself (medians; whole lives at %d connections a second)\n", r.Rate)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                              us of processor time      resident   bytes, a connection            takeover   crash             new flows      first packet, us\n")
	fmt.Fprintf(b, "                              a whole     an estab-     bytes a    link    link    disk  fsyncs   ms  in-    lost  oldest      a second        50 %%          99 %%\n")
	fmt.Fprintf(b, "                              connection  lished one    session    whole   estab-        a            stal-        ms                 to\n")
	fmt.Fprintf(b, "  mode            sessions  N act   stby  act   stby    act  stby  life    lished        second       led                            off      off    on     off    on\n")
	for _, row := range r.Rows {
		if row.Refused != "" {
			fmt.Fprintf(b, "  %-16s%8d  - not run: %s\n", row.Mode, row.Sessions, row.Refused)
			continue
		}
		s, off := row.Sum, r.off(row.Sessions)
		n := func(s Summary) string { return number(s.Median) }
		fmt.Fprintf(b, "  %-16s%8d%3d %-6s%-6s%-6s%-8s%-5s%-6s%-8s%-8s%-6s%-7s%6s%5s%7s%7s%10s%6s", row.Mode, row.Sessions, len(row.Runs),
			n(s.Life.ActiveUS), n(s.Life.StandbyUS), n(s.Full.ActiveUS), n(s.Full.StandbyUS), n(s.ActiveMemory), n(s.StandbyMemory),
			n(s.Life.Link), n(s.Full.Link), n(s.Disk), n(s.Syncs), n(s.TakeoverMS), whole(s.Installed.Median), whole(s.Lost.Median), n(s.WindowMS), whole(s.Flood.Median),
			number(ratio(s.Flood.Median, off.Sum.Flood.Median)))
		fmt.Fprintf(b, "%7s%6s%7s%6s\n", whole(off.Sum.FirstP50.Median), whole(s.FirstP50.Median), whole(off.Sum.FirstP99.Median), whole(s.FirstP99.Median))
	}
	r.sayHow(b)
	return flush(b)
}

// sayHow says of rows that were measured by packets what that means for their columns.
func (r *ModesReport) sayHow(w io.Writer) {
	title := `
  Sessions of active are connections of real packets, only forwarded: its standby learns of no others (the other rows' are made by ctnetlink, and translated).
  Their bytes on the link are those of the packets in copy. Processor time is the programs' alone, which copies do not pass: what both kernels together spend
  on them is below. Memory is after an audit, which tells the standby's program of what its kernel has seen: a record each, as incremental sends.
`
	for _, row := range r.Rows {
		off := r.off(row.Sessions)
		if !row.Packets || off == nil || row.Sum.Flood.Median == 0 || off.Sum.Flood.Median == 0 {
			continue
		}
		fmt.Fprintf(w, "%s    %s, %d sessions: a new flow of two packets costs %s us more than with no replication\n", title, row.Mode, row.Sessions,
			number(1e6/row.Sum.Flood.Median-1e6/off.Sum.Flood.Median))
		title = ""
	}
}

func whole(v float64) string { return fmt.Sprintf("%.0f", v) }
