package appliance

import (
	"fmt"
	"io"
	"net/netip"
	"text/tabwriter"
	"time"
)

// FlowName names a flow by the tuple of its first packet.
type FlowName struct {
	Protocol    string         `json:"protocol"`
	Source      netip.AddrPort `json:"source"`      // for ICMP the port is the identifier
	Destination netip.AddrPort `json:"destination"` // for ICMP the port is type and code
	Zone        uint16         `json:"zone,omitempty"`
}

// Flow is a replicated session, as `understudy sessions --json` prints it, an
// object a line.
type Flow struct {
	Group string `json:"group"`
	FlowName
	// ReplySource and ReplyDestination are the tuple of the answers, so what the flow
	// is translated to.
	ReplySource      netip.AddrPort `json:"reply_source"`
	ReplyDestination netip.AddrPort `json:"reply_destination"`
	State            string         `json:"state,omitempty"` // of TCP
	Mark             uint32         `json:"mark,omitempty"`
	Helper           string         `json:"helper,omitempty"`
	Own              bool           `json:"own"`       // the group is Active here
	Installed        bool           `json:"installed"` // in this node's kernel
	Young            bool           `json:"young"`     // no peer is told of it yet
}

// FlowFilter selects flows; what is empty selects all.
type FlowFilter struct {
	Group, Protocol string
}

// Matches tells whether f is one of those.
func (w FlowFilter) Matches(f *Flow) bool {
	return (w.Group == "" || w.Group == f.Group) && (w.Protocol == "" || w.Protocol == f.Protocol)
}

// FlowDifference is a flow that this node and a peer do not have alike.
type FlowDifference struct {
	Group string `json:"group"`
	FlowName
	ReplySource      netip.AddrPort `json:"reply_source"`
	ReplyDestination netip.AddrPort `json:"reply_destination"`
	// What is lacks (the peer does not have it, or not as it is), differs (it has it
	// otherwise), extra (only the peer has it) or not-installed.
	What string `json:"what"`
	// Why is young, dirty, in-flight, refused, unsynced, or missing: there is no
	// reason why it should be.
	Why    string `json:"why"`
	Detail string `json:"detail,omitempty"`
}

// FlowsDiff is how the sessions of a peer differ from those of this node.
type FlowsDiff struct {
	DiffSummary
	Flows []FlowDifference `json:"flows"`
}

// DiffSummary is the last line of `understudy sessions --diff --json`; those before
// are a [FlowDifference] each.
type DiffSummary struct {
	Peer string `json:"peer"`
	// Equal: there is nothing to tell. Truncated: there is more than is told. Asked:
	// the peer itself was asked; one of the last version cannot be.
	Equal     bool           `json:"equal"`
	Truncated bool           `json:"truncated"`
	Asked     bool           `json:"asked"`
	Counts    map[string]int `json:"counts"` // by what and why: "lacks young"
}

// WriteFlowsHead and WriteText print flows for people: t is a tabwriter's.
func WriteFlowsHead(t io.Writer) {
	fmt.Fprintln(t, "GROUP\tPROTOCOL\tSOURCE\tDESTINATION\tREPLY FROM\tREPLY TO\tSTATE\tHERE")
}

// WriteText prints the flow as a line.
func (f *Flow) WriteText(t io.Writer) {
	here := "held for a peer"
	switch {
	case f.Young:
		here = "own, young"
	case f.Own:
		here = "own"
	case !f.Installed:
		here = "held, not in the kernel"
	}
	fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Group, f.Protocol, f.Source, f.Destination, f.ReplySource, f.ReplyDestination, dash(f.State), here)
}

// WriteText prints the difference for people.
func (d *FlowsDiff) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	if len(d.Flows) > 0 {
		fmt.Fprintf(t, "%s\tWHY\tGROUP\tPROTOCOL\tSOURCE\tDESTINATION\tREPLY FROM\tREPLY TO\n", d.Peer)
	}
	for i := range d.Flows {
		f := &d.Flows[i]
		why := f.Why
		if f.Detail != "" {
			why += ": " + f.Detail
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", f.What, why, f.Group, f.Protocol, f.Source, f.Destination,
			endText(f.ReplySource), endText(f.ReplyDestination))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	switch {
	case d.Equal && d.Asked:
		fmt.Fprintf(w, "%s has the same sessions\n", d.Peer)
	case d.Equal:
		fmt.Fprintf(w, "%s has acknowledged every session (its version cannot be asked what it has)\n", d.Peer)
	case d.Truncated:
		fmt.Fprintf(w, "%d flows differ from those of %s, and more that are not shown\n", len(d.Flows), d.Peer)
	default:
		fmt.Fprintf(w, "%d flows differ from those of %s\n", len(d.Flows), d.Peer)
	}
	return nil
}

func endText(a netip.AddrPort) string {
	if !a.IsValid() {
		return "-"
	}
	return a.String()
}

// WriteTakeovers prints reports of takeovers, the latest first.
func WriteTakeovers(w io.Writer, all []TakeoverStatus, now time.Time) error {
	if len(all) == 0 {
		_, err := fmt.Fprintln(w, "no takeover yet")
		return err
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "WHEN\tGROUP\tTERM\tFROM\tSESSIONS\tHOT\tINSTALLED\tREFUSED\tCLASHES\tLOST\tLATE\tTOOK\tEVENTS\tLINK\tKERNEL")
	ms := func(s float64) string { return fmt.Sprintf("%.1fms", s*1000) }
	for i := range all {
		l := &all[i]
		lost := "?"
		if l.LostEstimate != nil {
			lost = fmt.Sprintf("~%d", *l.LostEstimate)
		}
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%d\t%d\t%d\t%d\t%d\t%s\t%d\t%s\t%s\t%s\t%s\n", l.At.Format(time.RFC3339), l.Group, l.Term, dash(l.From),
			l.Sessions, l.Hot, l.Installed, l.Refused, l.Clashes, lost, l.Late,
			ms(l.DurationSeconds), ms(l.Phases.EventsSeconds), ms(l.Phases.LinkSeconds), ms(l.Phases.KernelSeconds))
	}
	if err := t.Flush(); err != nil {
		return err
	}
	for i := range all {
		l := &all[i]
		for _, f := range l.Lost {
			fmt.Fprintf(w, "lost at %s: %s %s > %s: %s\n", l.At.Format(time.RFC3339), f.Flow.Protocol, f.Flow.Source, f.Flow.Destination, f.Why)
		}
		if more := l.LostCount - len(l.Lost); more > 0 {
			fmt.Fprintf(w, "lost at %s: %d more\n", l.At.Format(time.RFC3339), more)
		}
	}
	return nil
}
