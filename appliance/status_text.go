package appliance

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// WriteText prints s for people: what is held and why, how safe it is, what is wrong.
func (s Status) WriteText(w io.Writer, now time.Time, colours bool) error {
	t := newTable(w, colours)
	fmt.Fprintf(t, "%s\tunderstudy %s, up %s\n", paint(t, heading, s.Node), s.versions(), shortDuration(time.Duration(s.UptimeSeconds*float64(time.Second))))
	fmt.Fprintln(t)
	fmt.Fprintln(t, "GROUP\tSTATE\tSINCE\tTERM\tMEMBERS\tWHY")
	for _, g := range s.Groups {
		state := g.State
		if g.Leaving {
			state += " (leaving)"
		}
		if g.Held {
			state += " (held)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%d\t%s\t%s\n", g.Name, paintState(t, state), ago(now, g.LastTransition), g.Term, strings.Join(g.Members, " "), dash(g.Why()))
	}
	fmt.Fprintln(t)
	fmt.Fprintln(t, "ROUTER\tINTERFACE\tVRID\tFAMILY\tSTATE\tPRIORITY\tINTERVAL\tSENT\tRECEIVED\tDROPPED\tSINCE\tWHY\tADDRESSES")
	for _, r := range s.Routers {
		fmt.Fprintf(t, "%s\t%s\t%d\t%s\t%s\t%s\t%s\t%d\t%d\t%s\t%s\t%s\t%s\n", r.Name, r.Interface, r.VRID, r.Family, paintState(t, r.State), priorityText(r),
			time.Duration(r.AdvertIntervalSeconds*float64(time.Second)), r.Adverts.Sent, r.Adverts.Received, droppedText(r),
			ago(now, r.LastTransition), dash(CauseText(r.Reason)), strings.Join(r.Addresses, " "))
	}
	if n := s.NAT; n.Source+n.Static+n.Forwards+len(n.Entries) > 0 {
		fmt.Fprintf(t, "\nNAT\t%d source, %d forward, %d static, %d entry points\n", n.Source, n.Forwards, n.Static, len(n.Entries))
	}
	s.NAT.writeEntries(t)
	if len(s.Checks) > 0 {
		fmt.Fprintln(t, "\nCHECK\tKIND\tSTATE\tSINCE\tLAST ERROR")
	}
	for i, c := range s.Checks {
		state := c.State
		if c.DampedUntil != nil {
			state += " (held)"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", c.Name, c.Kind, paintState(t, state), ago(now, &s.Checks[i].Since), dash(c.LastError))
	}
	s.writeBonds(t, now)
	s.writeNotify(t, now)
	s.Mail.writeText(t)
	if s.Sessions != nil {
		s.Sessions.writeText(t, now)
	}
	s.Guard.writeText(t, now)
	fmt.Fprintln(t)
	if len(s.Alarms) == 0 {
		fmt.Fprintf(t, "ALARMS\t%s\n", paint(t, good, "none"))
	}
	for _, a := range s.Alarms {
		fmt.Fprintf(t, "ALARM\t%s\t%s\t%s\n", paint(t, bad, a.Name), ago(now, &a.Since), a.Detail)
	}
	if s.ReloadError != "" {
		fmt.Fprintf(t, "RELOAD REFUSED\t%s\n", paint(t, bad, s.ReloadError))
	}
	return t.Flush()
}

// Why is why the group is in its state, in words.
func (g *GroupStatus) Why() string { return CauseText(g.Reason) }

// versions names both programs where they differ.
func (s Status) versions() string {
	if e := s.Election.Version; e != "" && e != s.Version {
		return s.Version + " (its election " + e + ")"
	}
	return s.Version
}

// writeNotify lists the programs that are told of something.
func (s Status) writeNotify(t io.Writer, now time.Time) {
	titled := false
	list := func(kind, name string, all []NotifyStatus) {
		for _, n := range all {
			if !titled {
				fmt.Fprintln(t, "\nNOTIFY\tCOMMAND\tTOLD\tWHEN\tRESULT")
				titled = true
			}
			result := "ok"
			switch {
			case n.Running:
				result = "running"
			case n.Runs == 0:
				result = "-"
			case n.Error != "":
				result = n.Error
			}
			fmt.Fprintf(t, "%s %s\t%s\t%s\t%s\t%s\n", kind, name, strings.Join(n.Command, " "), dash(n.State), ago(now, n.At), result)
		}
	}
	told := map[string]bool{}
	for _, r := range s.Routers {
		if !told[r.Name] { // one of two families has said it
			list("router", r.Name, r.Notify)
		}
		told[r.Name] = true
	}
	for _, g := range s.Groups {
		list("group", g.Name, g.Notify)
	}
}

func (s *SessionsStatus) writeText(t io.Writer, now time.Time) {
	sync := "in sync"
	if !s.InSync {
		sync = "NOT in sync"
	}
	fmt.Fprintf(t, "\nSESSIONS\t%s, %d own, %d held for peers, %s, %d not yet at a peer\n", s.Mode, s.Local, s.Foreign, paintState(t, sync), s.Dirty)
	if s.Held > 0 {
		fmt.Fprintf(t, "waiting\t%d of these, as the mode says\n", s.Held)
	}
	for _, lack := range s.NotReady {
		fmt.Fprintf(t, "NOT READY\tthis kernel lacks %s\n", lack)
	}
	if s.Offloaded > 0 {
		fmt.Fprintf(t, "UNPROTECTED\t%d flows in flowtables\n", s.Offloaded)
	}
	if o := s.Overload; o.Step != "calm" && o.Step != "" {
		fmt.Fprintf(t, "OVERLOAD\t%s since %s: %s\n", o.Step, ago(now, &o.Since), o.Reason)
	}
	for _, p := range s.Peers {
		state := "not connected"
		if p.Connected {
			state = "connected"
		}
		state = paintState(t, state)
		if p.Address != "" {
			state += " at " + p.Address
		}
		if p.LagSeconds != nil {
			state += fmt.Sprintf(", lag %.1f ms", *p.LagSeconds*1000)
		}
		if p.LastResync != nil {
			state += ", last resync " + ago(now, p.LastResync)
		}
		fmt.Fprintf(t, "peer %s\t%s\n", p.Name, state)
	}
	if s.Local > 0 || s.Unprotected.Total > 0 {
		s.Unprotected.writeText(t)
	}
	s.Journal.writeText(t)
	if l := s.LastTakeover; l != nil {
		l.WriteText(t, now)
	}
}

func priorityText(r RouterStatus) string {
	if r.Priority == r.EffectivePriority {
		return fmt.Sprint(r.Priority)
	}
	return fmt.Sprintf("%d (of %d)", r.EffectivePriority, r.Priority)
}

// droppedText marks a number that is an estimate.
func droppedText(r RouterStatus) string {
	if r.DropsEstimated > 0 {
		return fmt.Sprintf("~%d", total(r.Drops))
	}
	return fmt.Sprint(total(r.Drops))
}

func total(m map[string]uint64) (n uint64) {
	for _, v := range m {
		n += v
	}
	return n
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

func ago(now time.Time, t *time.Time) string {
	if t == nil || t.IsZero() {
		return "-"
	}
	return shortDuration(now.Sub(*t)) + " ago"
}

// shortDuration keeps the two largest units: 3d4h, 5m10s, 420ms.
func shortDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return d.Round(time.Second).String()
	case d < 24*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	}
	return fmt.Sprintf("%dd%dh", int(d.Hours())/24, int(d.Hours())%24)
}
