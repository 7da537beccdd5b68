package bench

import (
	"bufio"
	"fmt"
	"io"
)

// WriteText writes the report for a person.
func (r *TransportReport) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	fmt.Fprintf(b, "\nA server dies, and its connections go on at another one: from the gateway's decision to the first byte from there, ms\n")
	fmt.Fprintf(b, "%s\n\n", r.Machine)
	fmt.Fprintf(b, "            connections   asked           N       min    median       p90       max   lost  wrong\n")
	for _, row := range r.Stalls {
		fmt.Fprintf(b, "%-12s%11d   %-9s%8d%10s%10s%10s%10s%7d%7d\n", row.Mode, row.Connections, row.Asked, row.N, number(row.Min), number(row.Median), number(row.P90),
			number(row.Max), row.Lost, row.Wrong)
	}
	fmt.Fprintf(b, "\nasked before: the request was sent to the dead server, and the client has to send it again of itself. %d deaths for each line.\n", r.Deaths)
	fmt.Fprintf(b, "\nWhat a packet of %d bytes costs while nothing fails, ns\n\n", madeBytes)
	fmt.Fprintf(b, "            protected  from    all of the kernel's work        of the least    the program, beside\n")
	fmt.Fprintf(b, "                               min / median / max              without moves   min / median / max\n")
	for _, row := range r.Packets {
		protected := "no"
		if row.Protected {
			protected = "yes"
		}
		fmt.Fprintf(b, "%-12s%-11s%-8s%-32s%-16s%s\n", row.Mode, protected, row.From, row.NS.text(), number(row.Ratio), row.DaemonNS.text())
	}
	fmt.Fprintf(b, "\nMemory of the program for each connection, on which 100 bytes were asked and 500 answered\n\n")
	for _, m := range r.Memory {
		fmt.Fprintf(b, "%-12s%s bytes (of %d)\n", m.Mode, number(m.Bytes), m.Connections)
	}
	return flush(b)
}
