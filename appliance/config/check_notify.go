package config

import (
	"fmt"
	"slices"
	"time"
)

const (
	minNotify = 100 * time.Millisecond
	maxNotify = 10 * time.Minute
	maxBefore = 10 * time.Second // nobody is served meanwhile
)

// beforeTimeout is the default for what an activation waits for.
const beforeTimeout = 2 * time.Second

// notifications reads the programs that are told of a router or of a group.
func (c *checker) notifications(path string, raw []*rawNotify) (list []Notify) {
	for i, rn := range raw {
		if rn == nil {
			continue
		}
		one := at(path, i)
		n := c.notification(one, rn)
		if slices.ContainsFunc(list, func(o Notify) bool {
			return slices.Equal(o.Command, n.Command) && o.User == n.User && o.Arguments == n.Arguments && overlap(o.States, n.States) && len(n.Command) > 0
		}) {
			c.add(join(one, "command"), "it is there already", "give it its states in one place, or other arguments")
			continue
		}
		list = append(list, n)
	}
	return list
}

// overlap tells whether there is a state in both lists, of which an empty one has all.
func overlap(a, b []NotifyState) bool {
	return len(a) == 0 || len(b) == 0 || slices.ContainsFunc(a, func(s NotifyState) bool { return slices.Contains(b, s) })
}

func (c *checker) notification(path string, raw *rawNotify) Notify {
	def := c.defaults.Notify
	n := Notify{Command: c.commandLine(join(path, "command"), raw.Command, `write the program and its arguments, like command = ["/etc/understudy/notify", "lan"]`)}
	n.When = known(c, join(path, "when"), raw.When, def.When, []When{WhenAfter, WhenBefore})
	n.Arguments = known(c, join(path, "arguments"), raw.Arguments, def.Arguments, []Arguments{ArgumentsNone, ArgumentsKeepalived})
	n.User = or(raw.User, def.User)
	n.States = c.notifyStates(join(path, "states"), raw.States, n.When)
	n.Timeout = c.notifyTimeout(join(path, "timeout"), raw.Timeout, n.When)
	return n
}

// notifyStates reads which states a program is told of; none: all.
func (c *checker) notifyStates(path string, raw []*string, when When) (list []NotifyState) {
	if raw != nil && len(raw) == 0 {
		c.add(path, "it is told of no state", `list some, like states = ["active", "fault"], or remove it for all`)
	}
	for i, v := range raw {
		if v == nil {
			continue
		}
		p := at(path, i)
		s := known(c, p, v, "", []NotifyState{NotifyActive, NotifyBackup, NotifyFault, NotifyInitialize, NotifyStop, NotifyDeleted, NotifyInferior})
		switch {
		case s == "":
		case slices.Contains(list, s):
			c.add(p, fmt.Sprintf("%s is there already", s), "remove it")
		case when == WhenBefore && s != NotifyActive:
			c.add(p, fmt.Sprintf(`nothing waits before %s: a node that is not to serve any more stops at once`, s), `remove it, or write when = "after"`)
		default:
			list = append(list, s)
		}
	}
	return list
}

func (c *checker) notifyTimeout(path string, v *string, when When) time.Duration {
	most, def := maxNotify, c.defaults.Notify.Timeout
	if when == WhenBefore {
		most, def = maxBefore, beforeTimeout
	}
	d := c.duration(path, v, "5s")
	if d == nil {
		return def
	}
	if *d < minNotify || *d > most {
		fix := fmt.Sprintf("use %v to %v", minNotify, most)
		if when == WhenBefore && *d > most {
			fix += ", because nobody is served meanwhile"
		}
		c.add(path, *v+" is out of range", fix)
	}
	return *d
}

// commandLine reads a program by its absolute path, and its arguments.
func (c *checker) commandLine(path string, raw []*string, missing string) (argv []string) {
	if len(raw) == 0 {
		c.add(path, "missing", missing)
	}
	for i, a := range raw {
		switch {
		case a == nil:
		case i == 0:
			argv = append(argv, c.absolute(at(path, i), *a))
		default:
			argv = append(argv, *a)
		}
	}
	return argv
}
