package pair

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
)

// programs are the subcommands by which the program's processes run.
var programs = []string{"run", "election", "daemon"}

// Processes lists the gateway's processes by their subcommand: run, daemon or
// election; and what an operator runs there.
func (g *Gateway) Processes() (map[string]int, error) {
	pids, err := g.Pids()
	if err != nil {
		return nil, err
	}
	out := make(map[string]int)
	for _, pid := range pids {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
		if err != nil {
			continue // it has just ended
		}
		if args := strings.Split(string(b), "\x00"); len(args) > 1 {
			out[args[1]] = pid
		}
	}
	return out, nil
}

// Renewed returns a condition: an election and a daemon run, neither is one of these
// processes, and both are of the file that is at path now; "": of whichever.
func (g *Gateway) Renewed(path string, gone ...int) func(context.Context) error {
	return func(context.Context) error {
		list, err := g.Processes()
		if err != nil {
			return err
		}
		found := 0
		for name, pid := range list {
			if !slices.Contains(programs, name) {
				continue
			}
			found++
			if slices.Contains(gone, pid) {
				return fmt.Errorf("process %d of %s, %s, is still there", pid, g.Name, name)
			}
			if path == "" {
				continue
			}
			is, err := os.Stat(fmt.Sprintf("/proc/%d/exe", pid))
			if err != nil {
				return err
			}
			file, err := os.Stat(path)
			if err != nil {
				return err
			}
			if !os.SameFile(is, file) {
				return fmt.Errorf("process %d of %s, %s, is not of the file that is at %s now", pid, g.Name, name, path)
			}
		}
		if found != 2 {
			return fmt.Errorf("%s has processes %v", g.Name, list)
		}
		return nil
	}
}
