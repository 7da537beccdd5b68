package keepalived

import (
	"strconv"
	"time"
)

func (p *parser) group(block *Node) *SyncGroup {
	g := &SyncGroup{Name: block.arg(0), At: block.At}
	whose := "(" + g.Name + ")"
	for _, n := range block.Children {
		switch n.Word {
		case "group":
			for _, c := range n.Children {
				for _, name := range c.all() {
					if name != "" {
						g.Members = append(g.Members, of(name, c.At))
					}
				}
			}
		case "sync_group_tracking_weight", "global_tracking":
			g.Weights = of(true, n.At)
		case "notify_priority_changes":
			g.TellPriority = p.boolean(n)
		case "track_interface", "track_script", "track_file", "track_process":
			g.Track = append(g.Track, p.tracked(n, whose)...)
		case "notify", "notify_master", "notify_backup", "notify_fault", "notify_stop", "notify_deleted":
			g.Notify = p.notified(g.Notify, n, whose)
		case "smtp_alert":
			g.Alert = p.boolean(n)
		}
	}
	return g
}

// weight reads "weight N [reverse]".
func (p *parser) weight(n *Node, most int) (w Of[int], reverse bool) {
	v, ok := p.number(n, -most, most)
	if !ok {
		return w, false
	}
	if n.arg(1) == "reverse" {
		reverse = true
	} else if n.arg(1) != "" {
		p.say(n.At, Fault, "unknown weight option %s", n.arg(1))
	}
	return of(v, n.At), reverse
}

func (p *parser) script(block *Node) *Script {
	s := &Script{Name: block.arg(0), At: block.At, User: p.scriptUser()}
	for _, n := range block.Children {
		switch n.Word {
		case "script":
			if argv, _, ok := p.command(n, "vrrp_script "+s.Name); ok {
				s.Command = of(argv, n.At)
			}
		case "interval":
			if d, ok := p.seconds(n, time.Millisecond, 1000000*time.Second); ok {
				s.Interval = of(d, n.At)
			}
		case "timeout":
			if d, ok := p.seconds(n, time.Millisecond, 1000000*time.Second); ok {
				s.Timeout = of(d, n.At)
			}
		case "weight":
			s.Weight, s.Reverse = p.weight(n, 253)
		case "rise":
			if v, ok := p.number(n, 1, 1<<31-1); ok {
				s.Rise = of(v, n.At)
			}
		case "fall":
			if v, ok := p.number(n, 1, 1<<31-1); ok {
				s.Fall = of(v, n.At)
			}
		case "user":
			s.User = n.arg(0)
		}
	}
	return s
}

func (p *parser) process(block *Node) *Process {
	s := &Process{Name: block.arg(0), At: block.At}
	for _, n := range block.Children {
		switch n.Word {
		case "process":
			set(p, n, &s.Program, n.arg(0))
			if len(n.Args) == 1 {
				if list, _ := splitCommand(n.arg(0)); len(list) > 0 {
					s.Program.V, s.Args = list[0], list[1:]
				}
			} else if len(n.Args) > 1 {
				s.Args = n.Args[1:]
			}
		case "weight":
			s.Weight, s.Reverse = p.weight(n, 254)
		case "quorum":
			if v, ok := p.number(n, 0, 65535); ok {
				s.Quorum = of(v, n.At)
			}
		case "quorum_max":
			if v, ok := p.number(n, 0, 65535); ok {
				s.Max = of(v, n.At)
			}
		case "delay", "fork_delay", "terminate_delay":
			d, ok := p.seconds(n, time.Microsecond, 3600*time.Second)
			if ok && n.Word != "terminate_delay" {
				s.Fork = of(d, n.At)
			}
			if ok && n.Word != "fork_delay" {
				s.Ends = of(d, n.At)
			}
		case "full_command", "param_match":
			s.ByArgs = true
			if n.Word == "param_match" && n.arg(0) != "initial" {
				p.say(n.At, Warning, "param_match: not carried over: %s; arguments are compared from the first on", n.arg(0))
			}
		}
	}
	return s
}

func (p *parser) trackFile(block *Node) *TrackFile {
	f := &TrackFile{Name: block.arg(0), At: block.At}
	for _, n := range block.Children {
		switch n.Word {
		case "file":
			set(p, n, &f.Path, n.arg(0))
		case "init_file":
			p.initFile(f, n)
		case "weight":
			v, err := strconv.ParseInt(n.arg(0), 10, 32)
			if err != nil {
				p.say(n.At, Fault, "Weight for track_file (%s) must be in [-2147483647..2147483647] - ignoring", f.Name)
				continue
			}
			f.Weight, f.Reverse = of(int(v), n.At), n.arg(1) == "reverse"
		}
	}
	return f
}
