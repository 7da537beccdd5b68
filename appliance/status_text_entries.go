package appliance

import (
	"fmt"
	"io"
	"strings"
)

// writeEntries lists entry points, and behind each its servers.
func (n NATStatus) writeEntries(t io.Writer) {
	if len(n.Entries) > 0 {
		fmt.Fprintln(t, "\nENTRY\tADDRESS\tSTEER\tSERVER\tSTATE\tWEIGHT\tSHARE\tCONNECTIONS")
	}
	for _, e := range n.Entries {
		name, address, steer := e.Name, e.Address, e.Steer
		if !e.Enough {
			steer += paint(t, bad, " (NOT ENOUGH)")
		}
		for _, s := range e.Servers {
			connections := "-"
			if s.Connections != nil {
				connections = fmt.Sprint(*s.Connections)
			}
			fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%d\t%.0f%%\t%s\n", name, address, steer, s.Address, paintState(t, s.stateText()), s.Weight, 100*s.Share, connections)
			name, address, steer = "", "", "" // said once
		}
	}
}

func (s ServerStatus) stateText() string {
	words := []string{s.State}
	for _, w := range []struct {
		word string
		on   bool
	}{{"drained", s.Drained}, {"full", s.Full}, {"spare", s.Spare}} {
		if w.on {
			words = append(words, w.word)
		}
	}
	return strings.Join(words, ", ")
}
