package appliance

import (
	"fmt"
	"io"
	"time"
)

// writeBonds lists aggregates with their members, and what is wrong with them.
func (s Status) writeBonds(t io.Writer, now time.Time) {
	for _, b := range s.Bonds {
		fmt.Fprintln(t, "\nBOND\tSTATE\tMODE\tCARRYING\tNEEDED")
		fmt.Fprintf(t, "%s\t%s\t%s\t%d of %d\t%d\n", b.Name, paintState(t, b.State), b.Mode, b.Carrying, len(b.Members), b.Needed)
		for _, m := range b.Members {
			state := "carries"
			switch {
			case !m.Up:
				state = "no carrier"
			case !m.Carries:
				state = "does not carry"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", m.Interface, paintState(t, state), dash(m.Receive), dash(m.PartnerSystem))
		}
		for i, f := range b.Findings {
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\n", paint(t, severityTones[f.Severity], f.Severity), f.Name, ago(now, &b.Findings[i].Since), f.Detail)
		}
	}
}

var severityTones = map[string]tone{"critical": bad, "warning": doubtful}
