package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// Where pair puts a gateway's files, inside it.
const (
	configPath = "/run/lab/understudy.toml"
	secretPath = "/run/lab/secret"
	socketPath = "/run/understudy/control.sock"
)

// patience bounds every wait. It is far more than anything takes, and less than
// a test may.
const patience = 40 * time.Second

// unhurried is the interval of adverts where nobody is to move. An election that others
// keep from the processors is taken for dead after more than three of them: by the usual
// ones that is a third of a second, which says something of the machine, and nothing of us.
const unhurried = 500 * time.Millisecond

// scene is a pair of gateways and the test it belongs to.
type scene struct {
	*pair.Pair
	t        *testing.T
	gw1, gw2 *pair.Gateway
	traffic  *pair.Traffic
	journal  *journal
	opt      pair.Options
	echoes   *net.UDPConn // see [scene.udp]
}

// newScene builds the network; nothing runs yet.
func newScene(t *testing.T, opt pair.Options) *scene {
	t.Helper()
	lab.Require(t)
	s := &scene{t: t, journal: &journal{}, opt: opt}
	opt.Log = s.journal
	if opt.Binary == "" {
		opt.Binary = binary
	}
	p, err := pair.New(opt)
	s.must(err)
	s.Pair, s.gw1, s.gw2 = p, p.Gateways[0], p.Gateways[1]
	t.Cleanup(func() {
		if s.traffic != nil {
			s.traffic.Stop()
		}
		if t.Failed() {
			t.Logf("what the gateways wrote last:\n%s", s.journal.tail(120))
		}
		if err := p.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

// settle starts both gateways and waits until gw1 is Active and gw2 has
// everything.
func (s *scene) settle() {
	s.t.Helper()
	s.must(s.gw1.Start())
	if s.opt.RouterKeys != "" { // without preemption whoever is first stays
		s.wait("gw1 active", s.gw1.Is("active"))
	}
	s.must(s.gw2.Start())
	s.settled(s.gw1)
}

// hears is a condition: the gateway has had an advert for each of its routers.
func hears(g *pair.Gateway) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, r := range st.Routers {
			if r.Adverts.Received == 0 {
				return fmt.Errorf("%s has heard nobody for router %s", g.Name, r.Name)
			}
		}
		return nil
	}
}

// settled waits until active is Active, the other one Backup, and both in sync.
func (s *scene) settled(active *pair.Gateway) {
	s.t.Helper()
	s.wait(active.Name+" active, the other in sync", s.Settled(active))
}

// load starts traffic of every kind and waits until the standby of active has
// every flow.
func (s *scene) load(active *pair.Gateway, connections int) {
	s.t.Helper()
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: connections})
	s.must(err)
	s.must(s.traffic.Translated())
	s.wait("every flow", func(context.Context) error {
		if n := len(natted(s.table(active))); n < s.traffic.Total() {
			return fmt.Errorf("%s has %d of %d", active.Name, n, s.traffic.Total())
		}
		return nil
	})
	s.wait("the standby to have every flow", s.tablesEqual(active))
}

// intact asks every flow for a sign of life after since, and both ways for a new
// connection.
func (s *scene) intact(since time.Time) { s.t.Helper(); s.intactBut(since) }

// intactBut is the same where some flows of datagrams may have got another translation.
func (s *scene) intactBut(since time.Time, anew ...string) {
	s.t.Helper()
	if err := s.traffic.Resumed(s.within(patience), since); err != nil {
		s.t.Errorf("%v", err)
	}
	for _, l := range s.traffic.Lost(s.within(patience), since) {
		if slices.Contains(anew, l.Flow) && strings.HasPrefix(l.Cause, "seen from ") {
			s.t.Logf("%s has begun anew: %s", l.Flow, l.Cause)
			continue
		}
		s.t.Errorf("lost: %s: %s", l.Flow, l.Cause)
	}
	if _, err := s.traffic.In.Fresh(s.within(patience)); err != nil {
		s.t.Errorf("no new connection through the forward: %v", err)
	}
	if _, err := s.traffic.Out.Fresh(s.within(patience)); err != nil {
		s.t.Errorf("no new connection outwards: %v", err)
	}
	if s.t.Failed() {
		s.t.FailNow()
	}
}

// whole ends the transfers and checks that each byte has arrived.
func (s *scene) whole() {
	s.t.Helper()
	for _, l := range s.traffic.Finish(s.within(patience)) {
		s.t.Errorf("lost: %s: %s", l.Flow, l.Cause)
	}
}

// crash cuts g's power and waits until the other gateway is Active. It returns
// the moment after which nothing can have come from g.
func (s *scene) crash(g *pair.Gateway) time.Time {
	s.t.Helper()
	_, err := g.Crash()
	s.must(err)
	cut := time.Now()
	next := s.Other(g)
	s.wait(next.Name+" to take over", next.Is("active"))
	return cut
}

// wait looks at a condition until it is met, or fails the test.
func (s *scene) wait(what string, met func(context.Context) error) {
	s.t.Helper()
	if err := s.Pair.Wait(s.within(patience), what, met); err != nil {
		s.t.Fatalf("%v", firstLine(err))
	}
}

// stays checks for a while that a condition holds.
func (s *scene) stays(what string, d time.Duration, met func(context.Context) error) {
	s.t.Helper()
	for end := time.Now().Add(d); time.Now().Before(end); time.Sleep(50 * time.Millisecond) {
		if err := met(s.within(patience)); err != nil {
			s.t.Fatalf("%s did not stay so: %v", what, err)
		}
	}
}

// within is a context for one step of the test.
func (s *scene) within(d time.Duration) context.Context {
	ctx, cancel := context.WithTimeout(s.t.Context(), d)
	s.t.Cleanup(cancel)
	return ctx
}

func (s *scene) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// status asks a gateway that is expected to answer.
func (s *scene) status(g *pair.Gateway) appliance.Status {
	s.t.Helper()
	st, err := g.Status(s.within(patience))
	s.must(err)
	return st
}

// transitions is how often the gateway's routers have changed their state since
// their election started.
func (s *scene) transitions(g *pair.Gateway) (n uint64) {
	s.t.Helper()
	for _, r := range s.status(g).Routers {
		n += r.Transitions
	}
	return n
}

// alarmed is a condition: the gateway raises each of the named alarms.
func alarmed(g *pair.Gateway, names ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, name := range names {
			if !hasAlarm(st, name) {
				return fmt.Errorf("%s has alarms %v, not %s", g.Name, st.Alarms, name)
			}
		}
		return nil
	}
}

// calm is a condition: the gateway has no alarm.
func calm(g *pair.Gateway) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if alarms := alarmsOf(st); err == nil && len(alarms) > 0 {
			err = fmt.Errorf("%s has alarms %v", g.Name, alarms)
		}
		return err
	}
}

// alarmsOf are the alarms of a gateway, but for the one that says for a minute that its
// machine was once too slow: that is of the machine that the tests run on.
func alarmsOf(st appliance.Status) []appliance.Alarm {
	return slices.DeleteFunc(slices.Clone(st.Alarms), func(a appliance.Alarm) bool { return a.Name == appliance.AlarmElectionLate })
}

func hasAlarm(st appliance.Status, name string) bool {
	for _, a := range st.Alarms {
		if a.Name == name {
			return true
		}
	}
	return false
}

// all is a condition: each of the others, in that order.
func all(conditions ...func(context.Context) error) func(context.Context) error {
	return func(ctx context.Context) error {
		for _, met := range conditions {
			if err := met(ctx); err != nil {
				return err
			}
		}
		return nil
	}
}

// firstLine leaves away the logs that pair adds to an error: the journal has
// them, in the order of both gateways.
func firstLine(err error) error {
	line, _, _ := strings.Cut(err.Error(), "\n")
	return errors.New(line)
}

// journal keeps what both gateways write, in its order.
type journal struct {
	mu    sync.Mutex
	lines []string
}

func (j *journal) Write(b []byte) (int, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.lines = append(j.lines, strings.TrimRight(string(b), "\n"))
	return len(b), nil
}

// tail returns the last n lines.
func (j *journal) tail(n int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return strings.Join(j.lines[max(0, len(j.lines)-n):], "\n")
}

// of returns the lines of one gateway that contain all of the given texts.
func (j *journal) of(g *pair.Gateway, texts ...string) (found []string) {
	j.mu.Lock()
	defer j.mu.Unlock()
next:
	for _, l := range j.lines {
		if !strings.HasPrefix(l, g.Name+" | ") {
			continue
		}
		for _, t := range texts {
			if !strings.Contains(l, t) {
				continue next
			}
		}
		found = append(found, l)
	}
	return found
}

// lines passes what a process writes on to the journal, which wants whole lines;
// the program writes its log line by line.
type lines struct {
	to     *journal
	prefix string
}

func (l lines) Write(b []byte) (int, error) {
	for line := range strings.Lines(string(b)) {
		if _, err := l.to.Write([]byte(l.prefix + line)); err != nil {
			return 0, err
		}
	}
	return len(b), nil
}
