package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *SteeringReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nSteering: %d flows, each of a client of its own, to %d equal servers; then one of the servers goes\n", r.Flows, r.Servers)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "                           flows of a server,        clients that move, %%          have to    elements that change\n")
	fmt.Fprintf(b, "                   slots   least / most, %% of even   min / median / max           move, %%    min / median / max\n")
	for _, row := range r.Rows {
		fmt.Fprintf(b, "%-18s%6d   %-26s%-29s%-11s%s\n", row.Steer, row.Slots, number(row.Least)+" / "+number(row.Most), row.Gone.text(), number(row.Needed), row.Elements.text())
	}
	fmt.Fprintf(b, "\nprimary: all flows are the first server's, and all move when that goes. In turn, a client has no server of its own.\n")
	return flush(b)
}

// WriteText writes the report for a person.
func (r *DeathReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nA server dies under %d connections, half of them silent: until the other server has greeted the client, ms after the death\n", r.Clients)
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "checks each %s ms, fall %d; bound (fall x every + timeout + 1 s) %s ms; %d deaths\n\n", number(r.EveryMS), r.Fall, number(r.BoundMS), len(r.Deaths))
	fmt.Fprintf(b, "clients        N       min    median       p90       p99       max   within the bound\n")
	for _, row := range r.Rows {
		fmt.Fprintf(b, "%-9s%7d%10s%10s%10s%10s%10s   %s\n", row.Clients, row.N, number(row.Min), number(row.Median), number(row.P90), number(row.P99), number(row.Max), yes(row.Within))
	}
	hanging, refused := 0, 0
	for _, d := range r.Deaths {
		hanging, refused = hanging+d.Hanging, refused+d.Refused
	}
	fmt.Fprintf(b, "\nnot served at all: %d; attempts to connect again that failed: %d\n", hanging, refused)
	return flush(b)
}
