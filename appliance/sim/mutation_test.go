//go:build mutations

package sim

import (
	"bytes"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// A mutation is a mistake that somebody could make. Text that is not there exactly
// once fails the test: the mutation has to follow the code.
type mutation struct {
	name, file, old, new string
	scenario             string // in testdata, that notices it; "": generated schedules have to
}

const required = 1000

var mutations = []mutation{
	{"no address tie-break: nobody yields", "vrrp/machine.go",
		"return in.Source.Compare(m.cfg.Source) > 0", "return false", ""},
	{"no address tie-break: both yield", "vrrp/machine.go",
		"return in.Source.Compare(m.cfg.Source) > 0", "return true", ""},
	{"interval learned from priority 0", "vrrp/machine.go",
		"	case in.Priority == 0:\n		m.arm(m.received", "	case in.Priority == 0:\n		m.learn(in)\n		m.arm(m.received", ""},
	{"preempt flag ignored", "vrrp/machine.go",
		"return m.cfg.Preempt || m.cfg.Priority == 255", "return true", ""},
	// The loop is modelled: the mistake is made in the model.
	{"timer believed before the socket is drained", "appliance/sim/election.go",
		"	e.receive()\n	e.receiveBeats()\n	e.readLinks()\n	if due {\n		e.step(vrrp.SetInput{Kind: vrrp.InTick})\n	}\n",
		"	if due {\n		e.step(vrrp.SetInput{Kind: vrrp.InTick})\n	}\n	e.receive()\n	e.receiveBeats()\n	e.readLinks()\n", ""},
	{"a group member left behind at activation", "vrrp/group.go",
		"	for _, r := range g.members {\n		s.step(now, r, Input{Event: EventPromote})\n	}\n	g.highest++",
		"	for _, r := range g.members[:1] {\n		s.step(now, r, Input{Event: EventPromote})\n	}\n	g.highest++", ""},
	{"a group member left behind at a yield", "vrrp/group.go",
		"	for _, r := range g.members {\n		if r.m.State() == Active && (!leaving ||",
		"	for _, r := range g.members[:1] {\n		if r.m.State() == Active && (!leaving ||", ""},
	{"a group does not wait for its last member", "vrrp/group.go",
		"		if !r.m.Ready() {\n			return false\n		}", "		if r.m.Ready() {\n			return true\n		}", ""},
	{"fence after priority 0: fault", "vrrp/group.go",
		"	if fence {\n		s.op(Op{Kind: OpFence, Group: g.name})\n	} else if g.state == Active {\n		s.op(Op{Kind: OpGateClose, Group: g.name})\n	}\n	for",
		"	defer func() {\n		if fence {\n			s.op(Op{Kind: OpFence, Group: g.name})\n		} else if g.state == Active {\n			s.op(Op{Kind: OpGateClose, Group: g.name})\n		}\n	}()\n	for", ""},
	{"fence after priority 0: yield", "vrrp/group.go",
		"	s.op(Op{Kind: OpGateClose, Group: g.name})\n	for _, r := range g.members {",
		"	defer s.op(Op{Kind: OpGateClose, Group: g.name})\n	for _, r := range g.members {", ""},
	{"an Active tells a shorter interval, and keeps the old one", "vrrp/set_reconfigure.go",
		"		r.m.hasten(now)\n", "", "interval-shorter"},
	{"an Active that leaves out every other advert", "vrrp/machine.go",
		"	m.timer = m.timer.Add(m.cfg.Interval)\n", "	m.timer = m.timer.Add(2 * m.cfg.Interval)\n", ""},
	{"an owner of version 2 does not hear its successor", "vrrp/set_step.go",
		"m.left || m.cfg.Held && m.state != Active", "m.cfg.Held && m.state != Active", "owner-hands-over"},
	{"an owner of version 2 takes back what it has handed over", "vrrp/set_step.go",
		"m.left || m.cfg.Held && m.state != Active", "m.left", "owner-hands-over"},
	{"an overlap that nobody has allowed", "vrrp/set_step.go",
		"event.Linger = g.overlap", "event.Linger = true", ""},
	{"an overlap without an end", "vrrp/group.go",
		"	g.leaveUntil = now.Add(g.overlapping())\n", "	g.leaveUntil = now.Add(time.Second)\n", ""},
	{"an overlap of one activation counts in the next", "vrrp/group.go",
		"g.succeeded, g.outranked, g.overlap = false, false, false", "g.succeeded, g.outranked = false, false", "overlap"},
	{"an overlap while another is Active as well", "appliance/core_sync.go",
		" && !g.claimed\n", "\n", ""},
	{"an overlap before the addresses are there", "appliance/core_sync.go",
		"ok := g.announced && c.cfg", "ok := c.cfg", ""},
	{"eligibility not withdrawn on lost sync", "appliance/core_sync.go",
		"		c.preempt = now.Add(syncBound)\n", "		_ = now\n", ""},
	{"eligibility not withdrawn on lost sync: not told", "appliance/core_sync.go",
		"if g.Active() || (g.told && g.eligible == ok) {", "if g.Active() || (g.told && (g.eligible == ok || !ok)) {", ""},
	{"silence on a new link is believed", "vrrp/settle.go",
		"		in.Clear = l.since.Add(d)\n", "		_ = l.since\n", ""},
	{"a refused packet ends the wait for a new link", "vrrp/notice.go",
		"	r.facts.drops[n.Reason] += ", "	r.m.onDelivery(now)\n	r.facts.drops[n.Reason] += ", "settle-refused"},

	{"guard: the limit of a hold is ignored", "vrrp/vouch.go",
		"if !now.Before(h.limit(s.cfg.HoldLimit)) {", "if false {", ""},
	{"guard: a stale heartbeat holds", "vrrp/vouch.go",
		"in.Rx.Add(2*in.Interval + r.m.skew())", "in.Rx.Add(20*in.Interval + r.m.skew())", ""},
	{"guard: nobody gives way to a heartbeat", "vrrp/vouch.go",
		"g.leaveUntil.IsZero() && !g.wait.spent && until.After(now)", "false && until.After(now)", "guard-yield"},
	{"guard: it gives way after its limit too", "vrrp/vouch.go",
		"g.leaveUntil.IsZero() && !g.wait.spent && until.After(now)", "g.leaveUntil.IsZero() && until.After(now)", ""},
	{"guard: it gives way to one that did not know", "vrrp/vouch.go",
		"g.state == Active && in.Known && ", "g.state == Active && ", ""},
	{"guard: nothing is held", "vrrp/vouch.go",
		"if s.cfg.HoldLimit <= 0 || h.spent || g.released()", "if true || s.cfg.HoldLimit <= 0 || h.spent || g.released()", "guard-hold"},
	{"guard: priority 0 is held up", "vrrp/vouch.go",
		"h.spent || g.released() || ", "h.spent || ", "guard-release"},
	{"guard: the neighbour does not matter", "vrrp/witness/receive.go",
		" && h.Neighbour == NeighbourUp,", ",", "guard-neighbour"},

	// What it has found, put back: the scenario notices.
	{"nobody speaks first after a respawn", "appliance/core_election.go",
		"	if !c.electable {\n		c.hold()\n	}\n	c.electable = false", "	c.electable = false", "ready-deadlock"},
	{"a term heard dies with the election", "appliance/sim/hear.go",
		"		s.highest = max(s.highest, m.term)\n", "		_ = s\n", "term-forgotten"},
	{"a restarted daemon of a Backup waits for sessions", "appliance/core_election.go",
		"if g.State != vrrp.Initialize {", "if g.Active() {", "boot-beside-backup"},
	{"a refused identity is announced", "appliance/core_election.go",
		"		g.announced = false\n		c.do(Withdraw{Group: g.Name})\n	}\n	g.faultPause",
		"	}\n	g.faultPause", "refused-not-announced"},
	{"stopping spins without a daemon", "appliance/sim/supervise.go",
		"if e.daemon == nil && e.spawning == 0 && e.stage == stageRunning {", "if e.daemon == nil && e.spawning == 0 {", "stop-without-daemon"},
	{"stopping spins while a daemon is being started", "appliance/sim/stop.go",
		"		if late {\n			e.until = 0\n		}", "		if late && e.daemon != nil {\n			e.until = 0\n		}", "stop-without-daemon"},
	{"a fence that failed is not tried again", "appliance/sim/supervise.go",
		"			e.fenceAt = e.now + fenceSlow\n", "", "fence-refused"},
	{"a daemon leaves no fence before it is ready", "appliance/sim/daemon.go",
		"	n.d.sendFences()\n	n.wakeElection()", "	n.wakeElection()", "fence-unknown"},
	{"too late to resume, and the daemon's guard stays due", "appliance/sim/hear.go",
		"		s.take(claimFenced)\n", "", "resume-too-late"},
	{"a fence after the daemon has tidied up", "appliance/sim/stop.go",
		"!e.responsive() && !e.bidden()", "!e.responsive()", "stop-alone"},
	{"a hand-over dies with the election that was told", "appliance/core_election.go",
		"if g.Active() && !g.Leaving && g.handOver != nil && g.handOver.began {", "if false {", "hand-over-forgotten"},
	{"what was heard before a hand-over counts as its successor", "vrrp/set_step.go",
		"	if out.Successor {\n		r.succeeded", "	if a.Priority > 0 {\n		r.succeeded", "successor-before"},
	{"nobody takes away what a daemon leaves that is killed in a stop", "appliance/sim/supervise.go",
		"		e.relieve()\n", "		_ = e\n", "stop-daemon-hung"},
	{"a group elected during the end keeps it from ending", "appliance/sim/stop.go",
		"!bidden && m.state == vrrp.Active && !m.leaving", "false && m.state == vrrp.Active", "stop-two-groups"},
}

var only = flag.String("mutation", "", "only mutations whose name contains this")

// TestMutations makes one mistake after the other in a copy of the tree and runs
// the simulator until it notices.
func TestMutations(t *testing.T) {
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range mutations {
		if !strings.Contains(m.name, *only) {
			continue
		}
		t.Run(m.name, func(t *testing.T) { m.test(t, root) })
	}
}

var (
	violated = regexp.MustCompile(`(?m)^\s*run_test.go:\d+: seed (\d+), \d+ acts: (.*)$`)
	played   = regexp.MustCompile(`(\d+) schedules, (\d+) machine steps`)
)

func (m *mutation) test(t *testing.T, root string) {
	dir := t.TempDir()
	m.copyTree(t, root, dir)
	args := []string{"test", "./appliance/sim", "-count=1", "-v", "-run", "TestSchedules", "-schedules", strconv.Itoa(required), "-tries", "0"}
	if m.scenario != "" {
		args = append(args[:4], "-run", "TestScenarios/"+m.scenario)
	}
	cmd := exec.Command("go", args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "UNDERSTUDY_SIM_STEPS=1e12")
	out, _ := cmd.CombinedOutput() // a failure is what we are after
	if m.scenario != "" {
		if !bytes.Contains(out, []byte("--- FAIL: TestScenarios/"+m.scenario)) {
			t.Fatalf("%s does not notice:\n%s", m.scenario, out)
		}
		return
	}
	v, p := violated.FindSubmatch(out), played.FindSubmatch(out)
	if p == nil {
		t.Fatalf("the simulator did not run:\n%s", out)
	}
	if v == nil {
		t.Fatalf("not noticed in %s schedules", p[1])
	}
	t.Logf("schedule %s of at most %d, %s machine steps: %s", p[1], required, p[2], v[2])
}

// copyTree copies the simulator and what it is made of, with the mistake.
func (m *mutation) copyTree(t *testing.T, root, dir string) {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.Dir}}{{end}}", "./appliance/sim")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	files := []string{filepath.Join(root, "go.mod"), filepath.Join(root, "go.sum")}
	for _, pkg := range strings.Fields(string(out)) {
		for _, pattern := range []string{"*.go", "testdata/*.txt"} {
			found, err := filepath.Glob(filepath.Join(pkg, pattern))
			if err != nil {
				t.Fatal(err)
			}
			files = append(files, found...)
		}
	}
	done := false
	for _, f := range files {
		name, err := filepath.Rel(root, f)
		if err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		if name == m.file {
			if n := bytes.Count(text, []byte(m.old)); n != 1 {
				t.Fatalf("%s has the text %d times:\n%s", m.file, n, m.old)
			}
			text, done = bytes.Replace(text, []byte(m.old), []byte(m.new), 1), true
		}
		to := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(to, text, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if !done {
		t.Fatalf("%s is not part of the simulator", m.file)
	}
}
