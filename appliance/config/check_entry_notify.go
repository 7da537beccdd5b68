package config

import (
	"fmt"
	"slices"

	"understudy/nat/entry"
)

// entryNotify reads the programs that are told of an entry point and its servers.
func (c *checker) entryNotify(path string, raw []*rawEntryNotify, e *Entry) (list []EntryNotify) {
	for i, rn := range raw {
		if rn == nil {
			continue
		}
		one := at(path, i)
		n := EntryNotify{Command: c.commandLine(join(one, "command"), rn.Command, `write the program and its arguments, like command = ["/etc/understudy/server-gone"]`),
			Timeout: c.notifyTimeout(join(one, "timeout"), rn.Timeout, WhenAfter), User: or(rn.User, "")}
		n.On = c.entryEvents(join(one, "on"), rn.On)
		if rn.Server != nil {
			n.Server = c.serverAddress(join(one, "server"), *rn.Server, e)
			if n.Server.IsValid() && !slices.ContainsFunc(e.Servers, func(s entry.Server) bool { return s.Address == n.Server }) {
				var all []string
				for _, s := range e.Servers {
					all = append(all, entry.AddressText(s.Address))
				}
				c.add(join(one, "server"), entry.AddressText(n.Server)+" is no server of this entry point", suggest(*rn.Server, all, "name one as it is written in servers"))
			}
		}
		if slices.ContainsFunc(list, func(o EntryNotify) bool {
			return slices.Equal(o.Command, n.Command) && o.User == n.User && o.Server == n.Server && len(n.Command) > 0
		}) {
			c.add(join(one, "command"), "it is there already", "give it its events in one place, or other arguments")
			continue
		}
		list = append(list, n)
	}
	return list
}

func (c *checker) entryEvents(path string, raw []*string) (list []EntryEvent) {
	if len(raw) == 0 {
		c.add(path, "it is told of nothing", `say when, like on = ["up", "down"]`)
	}
	for i, v := range raw {
		if v == nil {
			continue
		}
		ev := known(c, at(path, i), v, "", []EntryEvent{EntryUp, EntryDown, EntryEnd})
		if slices.Contains(list, ev) {
			c.add(at(path, i), fmt.Sprintf("%s is there already", ev), "remove it")
		} else if ev != "" {
			list = append(list, ev)
		}
	}
	return list
}
