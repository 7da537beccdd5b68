package demo

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// WriteText writes the report for a person.
func (r *Report) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nOutage in ms: the longest time that nothing came through. Adverts each %s ms.\n\n", number(r.AdvertIntervalMS))
	r.table(b)
	fmt.Fprintln(b)
	if s := r.Sessions; s.LagSeconds != nil {
		fmt.Fprintf(b, "Sessions   %d on the standby before the crash, %.1f ms behind\n", s.Replicated, *s.LagSeconds*1e3)
		for _, e := range r.Events {
			if e.Takeover != nil {
				fmt.Fprintf(b, "           %s: %d still to install, ready in %.1f ms\n", title(e.Name), e.Takeover.Installed, e.Takeover.DurationMS)
			}
		}
	}
	if c := r.Capture; c.Clean() {
		fmt.Fprintln(b, "Captures   no inside address outside, no reset, no ICMP error from a gateway")
	} else {
		fmt.Fprintf(b, "Captures   NOT CLEAN: %d frames with an inside source outside, %d resets, %d ICMP errors from the gateways\n", c.Leaks, c.Resets, c.ICMPErrors)
		for _, x := range c.Examples {
			fmt.Fprintf(b, "           %s\n", x)
		}
	}
	if r.Flows.Total > 0 {
		fmt.Fprintf(b, "Flows      %d of %d established before the crash survived everything\n", r.Flows.Survived, r.Flows.Total)
	}
	for _, l := range r.Lost {
		fmt.Fprintf(b, "           LOST %s: %s\n", l.Flow, l.Cause)
	}
	fmt.Fprintf(b, "\nTimeline\n")
	for _, m := range r.Timeline {
		fmt.Fprintf(b, "%10.3f s  %s\n", m.Seconds, m.Text)
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("demo: write report: %w", err)
	}
	return nil
}

// columns of the table: the probe, and its heading in two lines.
var columns = [][3]string{
	{"udp_out", "UDP", "out"}, {"udp_in", "UDP", "in"},
	{"tcp_up", "TCP", "up"}, {"tcp_down", "TCP", "down"},
	{"ping", "", "ping"}, {"request", "", "request"},
}

func (r *Report) table(w io.Writer) {
	row := func(first string, cells ...string) {
		var b strings.Builder
		fmt.Fprintf(&b, "  %-16s", first)
		for _, c := range cells {
			fmt.Fprintf(&b, "%9s", c)
		}
		fmt.Fprintln(w, strings.TrimRight(b.String(), " "))
	}
	top, head := []string{"protocol"}, []string{"bound"}
	for _, c := range columns {
		top, head = append(top, c[1]), append(head, c[2])
	}
	row("", append(top, "packets", "flows", "state")...)
	row("", append(head, "lost", "alive", "changes")...)
	for _, e := range r.Events {
		bound := "none"
		if e.BoundMS > 0 {
			bound = number(e.BoundMS)
		}
		outages, noise := []string{bound}, []string{""}
		for _, c := range columns {
			outages = append(outages, cell(e.OutagesMS, c[0]))
			noise = append(noise, cell(e.NoiseMS, c[0]))
		}
		row(title(e.Name), append(outages, strconv.Itoa(e.LostPackets), alive(e, r.Flows.Total), strconv.Itoa(e.Changes))...)
		row("  noise before", noise...)
	}
}

func alive(e Event, total int) string {
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%d/%d", e.Survived, total)
}

func cell(m map[string]float64, key string) string {
	v, ok := m[key]
	switch {
	case !ok:
		return ""
	case key == "request" && v == 0:
		return "<20" // shorter ones are not noted
	}
	return number(v)
}

// number shows tenths only where they say something.
func number(v float64) string {
	if v >= 10 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'f', 1, 64)
}

func title(event string) string {
	if event == "handover" {
		return "hand-over"
	}
	return event
}
