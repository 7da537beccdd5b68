package sim

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// String is the schedule as a scenario file. Parse reads it back.
func (s *Schedule) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "seed %d\n", s.Seed)
	for _, r := range s.Routers {
		fmt.Fprintf(&b, "router %s segment=%s vrid=%d family=%d version=%d\n", r.Name, segmentNames[r.Segment], r.VRID, r.Family, r.Version)
	}
	for _, g := range s.Groups {
		fmt.Fprintf(&b, "group %s", g.Name)
		for _, r := range g.Routers {
			fmt.Fprintf(&b, " %s", s.Routers[r].Name)
		}
		b.WriteByte('\n')
	}
	for i, n := range s.Nodes {
		fmt.Fprintf(&b, "node %s priority=%s interval=%v", nodeName(i), s.priorities(n), n.Interval)
		if !n.Preempt {
			b.WriteString(" preempt=no")
		}
		if n.Delay != 0 {
			fmt.Fprintf(&b, " delay=%v", n.Delay)
		}
		if n.Settle != 0 {
			fmt.Fprintf(&b, " settle=%v", n.Settle)
		}
		if n.PPM != 0 {
			fmt.Fprintf(&b, " ppm=%d", n.PPM)
		}
		b.WriteByte('\n')
	}
	if s.Sessions {
		b.WriteString("sessions\n")
	}
	if s.Tracks {
		b.WriteString("tracks\n")
	}
	if s.Notify {
		fmt.Fprintf(&b, "notify %v\n", s.Prepare)
	}
	switch s.Guard {
	case "alarm":
		b.WriteString("guard alarm\n")
	case "hold":
		fmt.Fprintf(&b, "guard hold %v\n", s.HoldLimit)
	}
	fmt.Fprintf(&b, "watchdog %v\nbudget %v\n", s.Watchdog, s.Budget)
	for i := range s.Acts {
		fmt.Fprintf(&b, "%v %s\n", s.Acts[i].At, s.actText(&s.Acts[i]))
	}
	fmt.Fprintf(&b, "%v end", s.End)
	if s.Exercise != "" {
		b.WriteString(" " + s.Exercise)
	}
	b.WriteByte('\n')
	return b.String()
}

func (s *Schedule) priorities(n Node) string {
	var out []string
	same := true
	for i := range s.Routers {
		out = append(out, strconv.Itoa(int(n.Priority[i])))
		same = same && n.Priority[i] == n.Priority[0]
	}
	if same {
		return out[0]
	}
	return strings.Join(out, ",")
}

// actText is an act without its time.
func (s *Schedule) actText(a *Act) string {
	out := []string{forms[a.Verb].word}
	ints, durations := 0, 0
	for _, arg := range forms[a.Verb].args {
		switch arg {
		case 'n':
			out = append(out, nodeName(a.A))
		case 'm':
			out = append(out, nodeName(a.B))
		case 's':
			out = append(out, segmentNames[a.Seg])
		case 'g':
			out = append(out, s.Groups[a.G].Name)
		case 'w':
			out = append(out, a.Word)
		case 'd':
			out = append(out, a.D[durations].String())
			durations++
		case 'i':
			out = append(out, strconv.FormatInt(a.N[ints], 10))
			ints++
		case 'x':
			out = append(out, setText(a.N[0]))
		}
	}
	return strings.Join(out, " ")
}

func setText(set int64) string {
	var names []string
	for i := range MaxNodes {
		if set>>i&1 != 0 {
			names = append(names, nodeName(i))
		}
	}
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ",")
}

// Parse reads a scenario file: its grammar is in the package documentation. The
// error names every line that is wrong.
func Parse(text string) (*Schedule, error) {
	s := &Schedule{Watchdog: 2 * time.Second, Budget: 2 * time.Second}
	var errs []error
	for i, line := range strings.Split(text, "\n") {
		line, _, _ = strings.Cut(line, "#")
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if err := s.parseLine(words); err != nil {
			errs = append(errs, fmt.Errorf("line %d: %w", i+1, err))
		}
	}
	if len(errs) == 0 {
		errs = append(errs, s.check())
	}
	slices.SortStableFunc(s.Acts, func(a, b Act) int { return int(a.At - b.At) })
	return s, errors.Join(errs...)
}

func (s *Schedule) check() error {
	switch {
	case len(s.Nodes) < 1 || len(s.Nodes) > MaxNodes:
		return fmt.Errorf("%d nodes: 1 to %d", len(s.Nodes), MaxNodes)
	case len(s.Routers) < 1 || len(s.Routers) > MaxRouters:
		return fmt.Errorf("%d routers: 1 to %d", len(s.Routers), MaxRouters)
	case len(s.Groups) < 1 || len(s.Groups) > MaxGroups:
		return fmt.Errorf("%d groups: 1 to %d", len(s.Groups), MaxGroups)
	}
	in := make([]int, len(s.Routers))
	for _, g := range s.Groups {
		for _, r := range g.Routers {
			in[r]++
		}
	}
	for i, n := range in {
		if n != 1 {
			return fmt.Errorf("router %s is in %d groups", s.Routers[i].Name, n)
		}
	}
	if n := len(s.Acts); n > 0 && s.End < s.Acts[n-1].At {
		s.End = s.Acts[n-1].At
	}
	return nil
}
