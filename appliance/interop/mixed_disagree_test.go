package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
)

// mixedInstance is what the two nodes of a mixed pair have in common; the rest is
// each one's own.
const mixedInstance = `vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  virtual_ipaddress {
    10.254.0.100/24
  }
  %s
}
`

// TestMixedPairsThatDiffer: keepalived on one node and we on the other, in both roles, by
// files that are not the same: one of them waits before it preempts, or does not preempt;
// one has another password or interval, which version 2 does not bear and counts, and
// version 3 learns.
func TestMixedPairsThatDiffer(t *testing.T) {
	lab.Require(t)
	const pass = "version 2\n  authentication {\n    auth_type PASS\n    auth_pass %s\n  }"
	for _, tt := range []struct {
		name          string
		first, second string
		play          func(m *mixedPair)
	}{
		{"preempt_delay", "priority 100", "priority 150\n  preempt_delay 3", func(m *mixedPair) {
			m.stays("the first MASTER, for the delay", 2500*time.Millisecond, m.alone(m.first))
			m.wait("the second to have preempted", m.alone(m.second))
		}},
		{"nopreempt", "priority 100", "priority 150\n  state BACKUP\n  nopreempt", func(m *mixedPair) {
			m.stays("the first MASTER", activeDown(100, time.Second)+slack, m.alone(m.first))
			m.must(m.procs[m.first].Stop(patience))
			m.wait("the second to take over", m.alone(m.second))
		}},
		{"password", "priority 100\n  " + fmt.Sprintf(pass, "one"), "priority 150\n  " + fmt.Sprintf(pass, "two"), func(m *mixedPair) {
			m.wait("both to be MASTER", m.both)
			m.counts("auth_failure", m.first, m.second)
			m.wait("both to be MASTER, still", m.both)
		}},
		{"no password here", "priority 100\n  version 2", "priority 150\n  " + fmt.Sprintf(pass, "two"), func(m *mixedPair) {
			m.wait("both to be MASTER", m.both)
			m.counts("authtype_mismatch", m.theirs)
			m.counts("auth_failure", m.ours) // one counter of ours, whatever is wrong with it
		}},
		{"interval, version 2", "priority 100\n  version 2\n  advert_int 1", "priority 150\n  version 2\n  advert_int 2", func(m *mixedPair) {
			m.wait("both to be MASTER", m.both)
			m.counts("advert_interval_err", m.ours) // keepalived 2.2.7 has the counter and never moves it
			m.wait("both to be MASTER, still", m.both)
		}},
		{"interval, version 3", "priority 150\n  version 3\n  advert_int 2", "priority 100\n  version 3\n  advert_int 0.5", func(m *mixedPair) {
			m.wait("the second to have learned the interval", func() error {
				return m.learned(m.second, 2)
			})
			m.stays("the first MASTER", 4*time.Second, m.alone(m.first)) // its own interval would have let it begin
		}},
	} {
		for _, oursFirst := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, ours first %t", tt.name, oursFirst), func(t *testing.T) {
				t.Parallel()
				m := newMixedPair(newScene(t), oursFirst)
				m.start(m.first, tt.first)
				m.wait("the first to be MASTER", m.has(m.first, true))
				m.start(m.second, tt.second)
				m.wait("the second to listen", func() error {
					if !strings.Contains(string(m.procs[m.second].Output()), "(VI_1) Entering BACKUP STATE") {
						return errNotYet
					}
					return nil
				})
				tt.play(m)
			})
		}
	}
}

// mixedPair is two nodes on one segment.
type mixedPair struct {
	*scene
	ours, theirs, first, second *daemon
	procs                       map[*daemon]*lab.Process
}

func newMixedPair(s *scene, oursFirst bool) *mixedPair {
	s.t.Helper()
	m := &mixedPair{scene: s, procs: map[*daemon]*lab.Process{}}
	m.ours = &daemon{scene: s, Node: s.Node("ours"), binary: s.asKeepalived()}
	m.theirs = &daemon{scene: s, Node: s.Node("theirs"), binary: s.tool("keepalived", "/usr/sbin/keepalived")}
	if m.first, m.second = m.ours, m.theirs; !oursFirst {
		m.first, m.second = m.theirs, m.ours
	}
	for i, d := range []*daemon{m.first, m.second} {
		s.Join(d.Node, s.lan, "eth0", fmt.Sprintf("10.254.0.%d/24", i+1))
		s.must(d.WriteFile(daemonTmp+"/.keep", nil, 0o644))
	}
	return m
}

func (m *mixedPair) start(d *daemon, more string) {
	m.t.Helper()
	m.must(d.WriteFile(daemonConf, []byte(fmt.Sprintf(mixedInstance, more)), 0o644))
	cmd := exec.Command(d.binary, "-P", "-n", "-l", "-D", "-f", daemonConf)
	cmd.Env = append(os.Environ(), "TMPDIR="+daemonTmp)
	var err error
	m.procs[d], err = d.StartWith(cmd)
	m.must(err)
	m.logs(m.procs[d], d.Name)
}

// has is a condition: a node has the address, or has it not.
func (m *mixedPair) has(d *daemon, want bool) func() error {
	return func() error {
		list, err := d.Link("eth0").Addrs()
		on := false
		for _, a := range list {
			on = on || a.Addr().String() == "10.254.0.100"
		}
		if err == nil && on != want {
			err = fmt.Errorf("%s has the address: %t", d.Name, on)
		}
		return err
	}
}

// alone is a condition: one node has the address, and the other has not.
func (m *mixedPair) alone(d *daemon) func() error {
	return func() error { return errors.Join(m.has(m.first, m.first == d)(), m.has(m.second, m.second == d)()) }
}

func (m *mixedPair) both() error { return errors.Join(m.has(m.first, true)(), m.has(m.second, true)()) }

// counts waits until the counter of each of these nodes has moved.
func (m *mixedPair) counts(key string, nodes ...*daemon) {
	m.t.Helper()
	for _, d := range nodes {
		m.wait(d.Name+" to count "+key, func() error {
			got, err := exportStats(d.dump("stats", 12))
			if err == nil && got["VI_1"][key] == 0 {
				err = fmt.Errorf("%v", got["VI_1"])
			}
			return err
		})
	}
}

// learned fails unless a node goes by an interval of so many seconds.
func (m *mixedPair) learned(d *daemon, seconds float64) error {
	text := d.dump("json", 36)
	if want := fmt.Sprintf(`"master_adver_int":%g`, seconds); !strings.Contains(strings.ReplaceAll(text, " ", ""), want) {
		return fmt.Errorf("%s has no %s:\n%s", d.Name, want, text)
	}
	return nil
}
