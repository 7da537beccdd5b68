package interop

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
)

const (
	// patience bounds every wait. It is far more than anything takes, on a machine that
	// others keep busy.
	patience = time.Minute
	// poll is how often a condition is looked at.
	poll = 20 * time.Millisecond
	// slack is how late a frame may be on a machine with other things to do.
	slack = 1500 * time.Millisecond
)

// scene is a segment with machines on it, and the test that it belongs to.
type scene struct {
	*lab.T
	t   *testing.T
	lan *lab.Segment
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{T: lab.NewT(t), t: t}
	s.lan = s.Segment("lan")
	return s
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// wait looks at a condition until it is met, or fails the test.
func (s *scene) wait(what string, met func() error) {
	s.t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(poll) {
		err := met()
		if err == nil {
			return
		}
		if time.Now().After(end) || s.t.Context().Err() != nil {
			s.t.Fatalf("waited for %s: %v", what, err)
		}
	}
}

// stays checks for a while that a condition holds.
func (s *scene) stays(what string, d time.Duration, met func() error) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(poll) {
		if err := met(); err != nil {
			s.t.Fatalf("%s did not stay so: %v", what, err)
		}
	}
}

// within is a context for one question.
func (s *scene) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	s.t.Cleanup(cancel)
	return ctx
}

// logs shows what a process wrote last, if the test fails.
func (s *scene) logs(p *lab.Process, who string) {
	s.t.Cleanup(func() {
		if s.t.Failed() {
			out := p.Output()
			s.t.Logf("%s (%s) wrote last:\n%s", who, p.Name, out[max(0, len(out)-4000):])
		}
	})
}

var errNotYet = errors.New("not yet")

// join gives a router its place on the segment, with an address of its own. Of
// IPv6 it has that link-local one only: the kernel's would differ, and come late.
func (s *scene) join(v variant, n *lab.Node, own string) {
	s.t.Helper()
	if v.six() {
		s.must(n.Sysctl("ipv6/conf/default/addr_gen_mode", "1"))
	}
	s.Join(n, s.lan, "lan0", own)
}

// has tells whether the node's kernel has the virtual address, on whatever
// interface.
func has(n *lab.Node, v variant) (bool, error) {
	list, err := n.Netlink().AddrList(nil, netlink.FAMILY_ALL)
	return slices.ContainsFunc(list, func(a netlink.Addr) bool {
		return v.address.Addr().String() == a.IP.String()
	}), err
}
