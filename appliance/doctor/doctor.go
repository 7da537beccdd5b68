package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/vrrp"
)

const (
	protocolVRRP = 112
	protocolAH   = 51 // around VRRP, with auth_type = "ah"
)

// Options say what is looked at.
type Options struct {
	File   string
	Config *config.Config // nil: it could not be read, because of Problem
	// Problem is what is wrong with the file.
	Problem error
	// Status is of the node that runs here; nil: none does.
	Status *appliance.Status
	// Listen is how long to listen for adverts at most; 0: what the slowest router
	// waits for before it takes over.
	Listen time.Duration
}

// listenBound is how long is listened in any case.
const listenBound = 40 * time.Second

// exam is an examination under way.
type exam struct {
	Options
	cfg *config.Config

	// The machine, where tests have another one.
	proc  string
	kept  func() (bool, error)
	ahead func() time.Duration
}

func newExam(o Options) *exam {
	return &exam{Options: o, cfg: o.Config, proc: "/proc", kept: keptRight, ahead: aheadOfUptime}
}

// check looks at one matter.
type check struct {
	name string
	do   func(*exam, context.Context) []Finding
	file bool // it needs the configuration
}

// checks are all of them, in the order of the report.
var checks = []check{
	{"config", (*exam).config, false},
	{"privileges", (*exam).privileges, false},
	{"kernel", (*exam).kernel, false},
	{"others", (*exam).others, false},
	{"clock", (*exam).clock, false},
	{"conntrack", (*exam).conntrack, false},
	{"links", (*exam).links, true},
	{"sysctl", (*exam).sysctls, true},
	{"firewall", (*exam).firewall, true},
	{"peers", (*exam).peers, true},
	{"vrid", (*exam).vrids, true},
	{"mac", (*exam).macs, true},
	{"node", (*exam).node, false},
}

// Names are the names of the checks.
func Names() (names []string) {
	for _, c := range checks {
		names = append(names, c.name)
	}
	return names
}

// Examine makes all checks, beside each other.
func Examine(ctx context.Context, o Options) Report {
	x := newExam(o)
	r := Report{File: o.File, Findings: []Finding{}}
	if x.cfg != nil {
		r.Node = x.cfg.Node
	}
	found := make([][]Finding, len(checks))
	var wg sync.WaitGroup
	for i, c := range checks {
		if c.file && x.cfg == nil {
			continue
		}
		wg.Go(func() {
			found[i] = c.do(x, ctx)
			for j := range found[i] {
				found[i][j].Check = c.name
			}
		})
	}
	wg.Wait()
	for _, f := range found {
		r.add(f...)
	}
	r.sort()
	return r
}

func (x *exam) config(context.Context) (out []Finding) {
	var problems config.Problems
	switch {
	case errors.As(x.Problem, &problems):
		f := Finding{Severity: Error, Subject: x.File, Text: fmt.Sprintf("the configuration has %d problems", len(problems)), Fix: "as each line says; understudy check --config " + x.File}
		f.Evidence = strings.Split(strings.TrimRight(problems.Error(), "\n"), "\n")
		return []Finding{f}
	case x.Problem != nil:
		return []Finding{{Severity: Error, Subject: x.File, Text: x.Problem.Error(), Fix: "write it, or name it with --config"}}
	}
	c := x.cfg
	out = append(out, Finding{Severity: OK, Subject: x.File, Text: fmt.Sprintf("valid: node %s, %d routers in %d groups", c.Node, len(c.Routers), len(c.Groups))})
	for _, w := range c.Warnings {
		out = append(out, Finding{Severity: Warning, Subject: x.File, Text: w})
	}
	if c.Sessions == nil {
		out = append(out, Finding{Severity: Info, Subject: x.File, Text: "no [sessions]: established connections do not survive a takeover"})
	}
	return out
}

// interfaces are those of the routers, each once, with the routers on them.
func (x *exam) interfaces() (names []string, routers map[string][]config.Router) {
	routers = map[string][]config.Router{}
	for _, r := range x.cfg.Routers {
		if routers[r.Interface] == nil {
			names = append(names, r.Interface)
		}
		routers[r.Interface] = append(routers[r.Interface], r)
	}
	return names, routers
}

// wait is how long a silence has to last to mean something.
func (x *exam) wait() (d time.Duration) {
	if x.Listen > 0 {
		return x.Listen
	}
	for _, r := range x.cfg.Routers {
		d = max(d, vrrp.ActiveDown(r.Version, r.Priority, r.Advertise))
	}
	return min(d, listenBound)
}

func indexOf(name string) int {
	if ifi, err := net.InterfaceByName(name); err == nil {
		return ifi.Index
	}
	return 0
}
