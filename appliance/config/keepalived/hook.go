package keepalived

import "time"

// Hook is startup_script or shutdown_script: what is run before everything else, and after
// it.
type Hook struct {
	Command Of[[]string]
	User    string
	Timeout Of[time.Duration]
}

// defaultHook is how long it may run, if nothing is said.
const defaultHook = 10 * time.Second

// Bound is how long it may run.
func (h Hook) Bound() time.Duration { return h.Timeout.or(defaultHook) }

// hook reads a keyword of global_defs, if it is about one of them.
func (p *parser) hook(n *Node) {
	g := &p.file.Global
	switch n.Word {
	case "startup_script":
		p.hookCommand(n, &g.AtStart)
	case "shutdown_script":
		p.hookCommand(n, &g.AtEnd)
	case "startup_script_timeout":
		p.hookTimeout(n, &g.AtStart)
	case "shutdown_script_timeout":
		p.hookTimeout(n, &g.AtEnd)
	}
}

func (p *parser) hookCommand(n *Node, h *Hook) {
	if h.Command.Set {
		p.say(n.At, Fault, "%s already specified - ignoring %s", n.Word, n.arg(0))
		return
	}
	if argv, user, ok := p.command(n, n.Word); ok {
		h.Command, h.User = of(argv, n.At), user
	}
}

func (p *parser) hookTimeout(n *Node, h *Hook) {
	if s, ok := p.number(n, 1, 1000); ok {
		h.Timeout = of(time.Duration(s)*time.Second, n.At)
	}
}

// hooks says that they are no part of a file in our own language.
func (c *converter) hooks() {
	if c.world.Runs {
		return
	}
	if s := c.file.Global.AtStart.Command; s.Set {
		c.say(s.At, Warning, "startup_script: not carried over: it is run by a keepalived.conf; else it is ExecStartPre of the unit")
	}
	if s := c.file.Global.AtEnd.Command; s.Set {
		c.say(s.At, Warning, "shutdown_script: not carried over: it is run by a keepalived.conf; else it is ExecStopPost of the unit")
	}
}
