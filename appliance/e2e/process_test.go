package e2e

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// answer is how a command line ended and what it wrote.
type answer struct {
	code int
	out  string
}

// cli runs the program as an operator on the gateway does.
func (s *scene) cli(g *pair.Gateway, args ...string) answer {
	s.t.Helper()
	p, err := g.StartWith(exec.Command(binary, args...))
	s.must(err)
	return s.ended(p)
}

// ended waits for the end of a process.
func (s *scene) ended(p *lab.Process) answer {
	s.t.Helper()
	select {
	case <-p.Done():
	case <-s.within(patience).Done():
		s.t.Fatalf("%s does not end; it wrote:\n%s", p.Name, p.Output())
	}
	a := answer{out: p.Output()}
	var exit *exec.ExitError
	if err := p.Err(); errors.As(err, &exit) {
		a.code = exit.ExitCode()
	} else {
		s.must(err)
	}
	return a
}

// ok runs a command line that must succeed.
func (s *scene) ok(g *pair.Gateway, args ...string) string {
	s.t.Helper()
	a := s.cli(g, args...)
	if a.code != 0 {
		s.t.Fatalf("understudy %s on %s: exit code %d\n%s", strings.Join(args, " "), g.Name, a.code, a.out)
	}
	return a.out
}

// processes lists the gateway's processes by their subcommand.
func processes(g *pair.Gateway) (map[string]int, error) { return g.Processes() }

// kill ends one process of the gateway the hard way and returns its PID.
func (s *scene) kill(g *pair.Gateway, subcommand string) int {
	s.t.Helper()
	list, err := processes(g)
	s.must(err)
	pid := list[subcommand]
	if pid == 0 {
		s.t.Fatalf("%s has processes %v, not %s", g.Name, list, subcommand)
	}
	s.must(unix.Kill(pid, unix.SIGKILL))
	return pid
}

// replaced is a condition: one of the subcommands runs, as another process than
// before.
func replaced(g *pair.Gateway, before int, subcommands ...string) func(context.Context) error {
	return func(context.Context) error {
		list, err := processes(g)
		if err != nil {
			return err
		}
		for _, sub := range subcommands {
			if pid := list[sub]; pid != 0 && pid != before {
				return nil
			}
		}
		return fmt.Errorf("%s has processes %v", g.Name, list)
	}
}

func errLeft(list map[string]int) error { return fmt.Errorf("processes %v", list) }
