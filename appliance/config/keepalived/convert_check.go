package keepalived

import "time"

// Bounds of [[check]].
const (
	leastEvery  = 10 * time.Millisecond
	mostEvery   = time.Hour
	mostInARow  = 100
	mostRunning = 1 << 20
)

// checks makes a [[check]] of everything that is tracked.
func (c *converter) checks() {
	for _, s := range c.file.Scripts {
		switch {
		case !s.Command.Set:
			c.say(s.At, Fault, "No script set for vrrp_script %s - removing", s.Name)
		case c.missing(s):
			c.say(s.Command.At, Warning, "Disabling track script %s since not found/accessible", s.Name)
		case !c.used["script "+s.Name]:
			c.say(s.At, Warning, "vrrp_script %s: not carried over: Warning - script %s is not used", s.Name, s.Name)
		default:
			c.script(s)
		}
	}
	for _, p := range c.file.Processes {
		switch {
		case !p.Program.Set:
			c.say(p.At, Fault, "vrrp_track_process %s has no process - removing", p.Name)
		case !c.used["process "+p.Name]:
			c.say(p.At, Warning, "vrrp_track_process %s: not carried over: nothing tracks it", p.Name)
		default:
			c.process(p)
		}
	}
	for _, v := range c.file.VirtualServers {
		for _, r := range v.Servers {
			for _, k := range r.Checks {
				if k.Kind == "FILE_CHECK" {
					c.used["file "+optionOf(k.Options, "track_file").arg(0)] = true
				}
			}
		}
	}
	for _, f := range c.file.Files {
		switch {
		case !f.Path.Set:
			c.say(f.At, Fault, "track_file %s has no file - removing", f.Name)
		case !c.used["file "+f.Name]:
			c.say(f.At, Warning, "track_file %s: not carried over: nothing tracks it", f.Name)
		default:
			o := Origin{f.At, "track_file " + f.Name}
			t := c.check("track_file", "file", f.Name, o)
			t.set("path", f.Path.V, Origin{f.Path.At, "file"})
			t.set("value", true, o)
			c.initFile(t, f)
			// keepalived hears of a change at once; this is soon after.
			t.set("every", duration(200*time.Millisecond), o)
			t.set("rise", 1, o)
			t.set("fall", 1, o)
		}
	}
}

func (c *converter) check(block, kind, name string, o Origin) *Table {
	t := c.doc.table("check", o)
	t.set("name", c.named(block, "check", name, o.Place), o)
	t.set("kind", kind, o)
	return t
}

// missing tells whether there is no program for a script, which keepalived disables
// then: a fault for want of the program that looks for faults would be one on all nodes.
func (c *converter) missing(s *Script) bool {
	w := c.world
	return w.Runs && w.Executable != nil && s.Command.Set && len(s.Command.V) > 0 && !w.Executable(s.Command.V[0])
}

func (c *converter) script(s *Script) {
	o := Origin{s.At, "vrrp_script " + s.Name}
	t := c.check("vrrp_script", "script", s.Name, o)
	for _, a := range s.Command.V {
		t.add("command", a, Origin{s.Command.At, "script"})
	}
	every := c.within(s.Interval, time.Second, "interval")
	t.set("every", duration(every), origin(s.Interval, "interval", o))
	if s.Timeout.Set {
		t.set("timeout", duration(c.within(s.Timeout, every, "timeout")), Origin{s.Timeout.At, "timeout"})
	}
	t.set("rise", c.inARow(s.Rise, "rise"), origin(s.Rise, "rise", o))
	t.set("fall", c.inARow(s.Fall, "fall"), origin(s.Fall, "fall", o))
	if s.User != "" {
		t.set("user", s.User, o)
	}
}

// origin is that of a value, or of its block if it was not written.
func origin[T any](v Of[T], word string, block Origin) Origin {
	if v.Set {
		return Origin{v.At, word}
	}
	return block
}

func (c *converter) within(v Of[time.Duration], def time.Duration, word string) time.Duration {
	d := v.or(def)
	cut := min(max(d, leastEvery), mostEvery)
	if cut != d {
		c.say(v.At, Warning, "%s: %v is cut to %v", word, d, cut)
	}
	return cut
}

func (c *converter) inARow(v Of[int], word string) int {
	n := v.or(1)
	if n > mostInARow {
		c.say(v.At, Warning, "%s: %d is cut to %d", word, n, mostInARow)
	}
	return min(n, mostInARow)
}

// process makes a check of a process: looked for each second, so a delay is so many
// tries in a row.
func (c *converter) process(p *Process) {
	o := Origin{p.At, "vrrp_track_process " + p.Name}
	t := c.check("vrrp_track_process", "process", p.Name, o)
	t.set("process", lastPart(p.Program.V), Origin{p.Program.At, "process"})
	if p.ByArgs {
		for _, a := range p.Args {
			t.add("args", a, Origin{p.Program.At, "process"})
		}
	}
	t.set("every", "1s", o)
	t.set("rise", tries(p.Fork), origin(p.Fork, "fork_delay", o))
	t.set("fall", tries(p.Ends), origin(p.Ends, "terminate_delay", o))
	if p.Quorum.Set && p.Quorum.V > 0 {
		t.set("min", p.Quorum.V, Origin{p.Quorum.At, "quorum"})
	}
	if p.Max.Set {
		if p.Max.V < max(1, p.Quorum.V) {
			c.say(p.Max.At, Warning, "quorum_max: not carried over: a process that must not run")
		} else {
			t.set("max", p.Max.V, Origin{p.Max.At, "quorum_max"})
		}
	}
}

func tries(d Of[time.Duration]) int {
	return min(1+int((d.V+time.Second-1)/time.Second), mostInARow)
}

func lastPart(path string) string {
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			return path[i+1:]
		}
	}
	return path
}
