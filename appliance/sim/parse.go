package sim

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (s *Schedule) parseLine(w []string) (err error) {
	value := func() (string, error) {
		if len(w) != 2 {
			return "", fmt.Errorf("%s: one value, please", w[0])
		}
		return w[1], nil
	}
	var v string
	switch w[0] {
	case "seed":
		if v, err = value(); err == nil {
			s.Seed, err = strconv.ParseUint(v, 10, 64)
		}
	case "router":
		return s.parseRouter(w[1:])
	case "group":
		return s.parseGroup(w[1:])
	case "node":
		return s.parseNode(w[1:])
	case "sessions":
		s.Sessions = true
	case "tracks":
		s.Tracks = true
	case "notify":
		if s.Notify = true; len(w) > 1 {
			if v, err = value(); err == nil {
				s.Prepare, err = time.ParseDuration(v)
			}
		}
	case "guard":
		if len(w) < 2 || w[1] != "alarm" && w[1] != "hold" || len(w) > 3 {
			return fmt.Errorf("guard alarm, or guard hold LIMIT")
		}
		s.Guard = w[1]
		if len(w) == 3 {
			s.HoldLimit, err = time.ParseDuration(w[2])
		}
	case "watchdog":
		if v, err = value(); err == nil {
			s.Watchdog, err = time.ParseDuration(v)
		}
	case "budget":
		if v, err = value(); err == nil {
			s.Budget, err = time.ParseDuration(v)
		}
	default:
		return s.parseAct(w)
	}
	return err
}

// pairs calls set for each key=value; a word without "=" has the value "yes".
func pairs(words []string, set func(key, value string) error) error {
	for _, w := range words {
		k, v, ok := strings.Cut(w, "=")
		if !ok {
			v = "yes"
		}
		if err := set(k, v); err != nil {
			return fmt.Errorf("%s: %w", w, err)
		}
	}
	return nil
}

func (s *Schedule) parseRouter(w []string) error {
	if len(w) == 0 || len(s.Routers) == MaxRouters {
		return fmt.Errorf("router NAME segment=… vrid=…, at most %d", MaxRouters)
	}
	r := Router{Name: w[0], Family: 4, Version: 3}
	err := pairs(w[1:], func(k, v string) error {
		if k == "segment" {
			r.Segment = slices.Index(segmentNames[:], v)
			if r.Segment < 0 {
				return fmt.Errorf("no such segment")
			}
			return nil
		}
		n, err := strconv.ParseUint(v, 10, 8)
		switch k {
		case "vrid":
			r.VRID = uint8(n)
		case "family":
			r.Family = uint8(n)
		case "version":
			r.Version = uint8(n)
		default:
			return fmt.Errorf("unknown")
		}
		return err
	})
	s.Routers = append(s.Routers, r)
	return err
}

func (s *Schedule) parseGroup(w []string) error {
	if len(w) < 2 || len(s.Groups) == MaxGroups {
		return fmt.Errorf("group NAME ROUTER…, at most %d", MaxGroups)
	}
	g := Group{Name: w[0]}
	for _, name := range w[1:] {
		i := slices.IndexFunc(s.Routers, func(r Router) bool { return r.Name == name })
		if i < 0 {
			return fmt.Errorf("no router %s above this line", name)
		}
		g.Routers = append(g.Routers, i)
	}
	s.Groups = append(s.Groups, g)
	return nil
}

func (s *Schedule) parseNode(w []string) error {
	if len(w) == 0 || len(s.Nodes) == MaxNodes || w[0] != nodeName(len(s.Nodes)) {
		return fmt.Errorf("the next node is %s, at most %d", nodeName(len(s.Nodes)), MaxNodes)
	}
	n := Node{Interval: time.Second, Preempt: true}
	for i := range n.Priority {
		n.Priority[i] = 100
	}
	err := pairs(w[1:], func(k, v string) (err error) {
		switch k {
		case "priority":
			list := strings.Split(v, ",")
			for i := range n.Priority {
				p, err := strconv.ParseUint(list[min(i, len(list)-1)], 10, 8)
				if err != nil {
					return err
				}
				n.Priority[i] = uint8(p)
			}
		case "interval":
			n.Interval, err = time.ParseDuration(v)
		case "delay":
			n.Delay, err = time.ParseDuration(v)
		case "settle":
			n.Settle, err = time.ParseDuration(v)
		case "preempt":
			n.Preempt = v == "yes"
		case "ppm":
			n.PPM, err = strconv.ParseInt(v, 10, 64)
		default:
			return fmt.Errorf("unknown")
		}
		return err
	})
	s.Nodes = append(s.Nodes, n)
	return err
}

func (s *Schedule) parseAct(w []string) (err error) {
	a := Act{}
	if a.At, err = time.ParseDuration(w[0]); err != nil || len(w) < 2 {
		return fmt.Errorf("%q is neither a keyword nor TIME VERB …", strings.Join(w, " "))
	}
	if w[1] == "end" {
		s.End = a.At
		if len(w) > 2 {
			if s.Exercise = w[2]; !slices.Contains(exercises, w[2]) {
				return fmt.Errorf("end: one of %s", strings.Join(exercises, ", "))
			}
		}
		return nil
	}
	verb := slices.IndexFunc(forms[:], func(f form) bool { return f.word == w[1] })
	if verb < 0 {
		return fmt.Errorf("no verb %q", w[1])
	}
	a.Verb = Verb(verb)
	f, args := forms[verb], w[2:]
	if len(args) != len(f.args) {
		return fmt.Errorf("%s takes %d arguments (%s)", f.word, len(f.args), f.args)
	}
	ints, durations := 0, 0
	for i, arg := range f.args {
		v := args[i]
		switch arg {
		case 'n':
			a.A, err = s.node(v)
		case 'm':
			a.B, err = s.node(v)
		case 's':
			if a.Seg = slices.Index(segmentNames[:], v); a.Seg < 0 {
				err = fmt.Errorf("no segment %s", v)
			}
		case 'g':
			if a.G = slices.IndexFunc(s.Groups, func(g Group) bool { return g.Name == v }); a.G < 0 {
				err = fmt.Errorf("no group %s", v)
			}
		case 'w':
			if a.Word = v; !slices.Contains(f.words, v) {
				err = fmt.Errorf("%s: one of %s", v, strings.Join(f.words, ", "))
			}
		case 'd':
			a.D[durations], err = time.ParseDuration(v)
			durations++
		case 'i':
			a.N[ints], err = strconv.ParseInt(v, 10, 64)
			ints++
		case 'x':
			a.N[0], err = s.set(v)
		}
		if err != nil {
			return err
		}
	}
	s.Acts = append(s.Acts, a)
	return nil
}

func (s *Schedule) node(name string) (int, error) {
	for i := range s.Nodes {
		if nodeName(i) == name {
			return i, nil
		}
	}
	return 0, fmt.Errorf("no node %s", name)
}

// set reads nodes, as "a,c", into a bit each.
func (s *Schedule) set(v string) (bits int64, err error) {
	if v == "none" {
		return 0, nil
	}
	for _, name := range strings.Split(v, ",") {
		i, err := s.node(name)
		if err != nil {
			return 0, err
		}
		bits |= 1 << i
	}
	return bits, nil
}
