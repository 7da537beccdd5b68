package config

import (
	"fmt"
	"slices"
)

// checkPipes reads the FIFOs that events are written into.
func (c *checker) checkPipes(raw []*rawPipe) {
	paths := map[string]string{}
	for i, rp := range raw {
		if rp == nil {
			continue
		}
		path := at("pipe", i)
		p := Pipe{User: or(rp.User, ""), Repeat: or(rp.Repeat, false)}
		if rp.Path == nil {
			c.add(join(path, "path"), "missing", `name the FIFO, like path = "/run/understudy/events"`)
		} else {
			p.Path = c.absolute(join(path, "path"), *rp.Path)
		}
		if first, ok := paths[p.Path]; ok && p.Path != "" {
			c.add(join(path, "path"), fmt.Sprintf("it is also the pipe in line %d", c.line(first)), "give each a path of its own, or list in one what it is told")
		}
		paths[p.Path] = join(path, "path")
		p.Tell = c.pipeNews(join(path, "tell"), rp.Tell)
		if rp.Command != nil {
			p.Command = c.commandLine(join(path, "command"), rp.Command, "write the program and its arguments, or remove it: then somebody else has to read")
		}
		c.config.Pipes = append(c.config.Pipes, p)
	}
}

func (c *checker) pipeNews(path string, raw []*string) (list []PipeNews) {
	for i, v := range raw {
		if v == nil {
			continue
		}
		one := at(path, i)
		switch n := known(c, one, v, "", []PipeNews{PipeRouters, PipeServers}); {
		case n == "":
		case slices.Contains(list, n):
			c.add(one, fmt.Sprintf("%s is there already", n), "remove it")
		default:
			list = append(list, n)
		}
	}
	return list
}

// Tells tells whether the pipe is told of something.
func (p Pipe) Tells(n PipeNews) bool { return len(p.Tell) == 0 || slices.Contains(p.Tell, n) }
