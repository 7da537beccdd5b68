package appliance

import (
	"fmt"
	"io"
	"maps"
	"slices"
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
	for _, e := range n.Entries {
		if text := e.movesText(); text != "" {
			fmt.Fprintln(t, "\n"+text)
		}
		if e.Takeover != nil {
			fmt.Fprintln(t, "\n"+e.Takeover.text(e.Name))
		}
	}
	if n.Log != nil && n.Log.Shadows != nil {
		fmt.Fprintln(t, "\n"+n.Log.Shadows.text())
	}
}

// text tells how many connections are replayed all along, and why others are not.
func (s *ShadowStatus) text() string {
	return fmt.Sprintf("Replayed all along: %d connections", s.Connections) + butNot(s.Without)
}

// text tells what a takeover would do with connections that outlive their servers.
func (m *TakeoverMoves) text(name string) string {
	return fmt.Sprintf("After a takeover of %s: %d connections can be moved at once", name, m.Known) + butNot(m.Lost)
}

// butNot tells of how many that is not so, by reason; nothing if there are none.
func butNot(by map[string]int) string {
	if len(by) == 0 {
		return ""
	}
	var why []string
	for _, r := range slices.Sorted(maps.Keys(by)) {
		why = append(why, fmt.Sprintf("%d %s", by[r], r))
	}
	return "; not: " + strings.Join(why, ", ")
}

// movesText tells what became of connections whose servers died; nothing if none did.
func (e EntryStatus) movesText() string {
	if e.Moved == 0 && len(e.NotMoved) == 0 {
		return ""
	}
	text := fmt.Sprintf("Moved at %s: %d connections of servers that died", e.Name, e.Moved)
	if e.Stall != nil && e.Moved > 0 {
		text += fmt.Sprintf(", paused for %.0f ms at most", 1e3*e.Stall.MaxSeconds)
	}
	var why []string
	for _, r := range slices.Sorted(maps.Keys(e.NotMoved)) {
		why = append(why, fmt.Sprintf("%d %s", e.NotMoved[r], r))
	}
	if len(why) > 0 {
		text += "; reset: " + strings.Join(why, ", ")
	}
	return text
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
