package interop

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"testing"

	"understudy/appliance/lab"
)

// neutron is what an agent writes for a router that has a network namespace of its own.
const neutronConf = `vrrp_instance VR_%[1]d {
  state BACKUP
  interface ha-%[1]d
  virtual_router_id %[1]d
  priority 50
  nopreempt
  advert_int 1
  garp_master_delay 60
  notify "/run/told.sh %[1]d"
  virtual_ipaddress {
    169.254.0.%[1]d/24 dev ha-%[1]d
  }
  virtual_ipaddress_excluded {
    10.%[1]d.0.1/24 dev ha-%[1]d
  }
}
`

// TestKeepalivedInManyNamespaces: a machine with a keepalived of ours in each of several
// network namespaces, told apart by nothing but their files, as agents of OpenStack start
// them: each has its addresses, and goes by itself. A second one in a namespace that has
// one is refused, says why, and disturbs nobody.
func TestKeepalivedInManyNamespaces(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	s := newScene(t)
	d := s.daemon("host", s.asKeepalived())
	s.must(d.WriteFile("/run/told.sh", []byte(toldScript), 0o755))
	d.shell("mkdir -p /run/netns")
	words := func(i int, more ...string) []string {
		return append([]string{"netns", "exec", fmt.Sprintf("qrouter-%d", i), d.binary, "-P", "-n", "-l", "-f", fmt.Sprintf("/run/%d.conf", i),
			"-p", fmt.Sprintf("/run/%d.pid", i), "-r", fmt.Sprintf("/run/%d.pid-vrrp", i)}, more...)
	}
	start := func(args []string) *lab.Process {
		cmd := exec.Command("/sbin/ip", args...)
		cmd.Env = append(os.Environ(), "TMPDIR="+daemonTmp)
		p, err := d.StartWith(cmd)
		s.must(err)
		s.logs(p, strings.Join(args[2:3], ""))
		return p
	}
	const many = 3
	has := func(i int, want bool) func() error {
		return func() error {
			out := d.shell(fmt.Sprintf("ip -n qrouter-%d -4 -o addr show dev ha-%d", i, i))
			for _, a := range []string{fmt.Sprintf(" 169.254.0.%d/", i), fmt.Sprintf(" 10.%d.0.1/", i)} {
				if strings.Contains(out, a) != want {
					return fmt.Errorf("%s is there: %t\n%s", a, !want, out)
				}
			}
			return nil
		}
	}
	running := map[int]*lab.Process{}
	for i := 1; i <= many; i++ {
		d.shell(fmt.Sprintf(`ip netns add qrouter-%[1]d && ip link add ha-%[1]d type veth peer name far-%[1]d && ip link set ha-%[1]d netns qrouter-%[1]d &&
			ip link set far-%[1]d up && ip -n qrouter-%[1]d link set lo up && ip -n qrouter-%[1]d link set ha-%[1]d up &&
			ip -n qrouter-%[1]d addr add 169.254.192.%[1]d/18 dev ha-%[1]d`, i))
		s.must(d.WriteFile(fmt.Sprintf("/run/%d.conf", i), []byte(fmt.Sprintf(neutronConf, i)), 0o644))
		running[i] = start(words(i))
	}
	for i := 1; i <= many; i++ {
		s.wait(fmt.Sprintf("router %d to be MASTER", i), has(i, true))
		d.told(fmt.Sprintf("told [%[1]d] [INSTANCE] [VR_%[1]d] [MASTER] [50]", i), 1)
		for _, file := range []string{"pid", "pid-vrrp"} {
			if pid, err := d.pid(fmt.Sprintf("/run/%d.%s", i, file)); err != nil || pid <= 0 {
				t.Errorf("%s of %d: %d, %v", file, i, pid, err)
			}
		}
	}

	// Files of its own do not make it another network.
	s.must(d.WriteFile("/run/9.conf", []byte(strings.ReplaceAll(fmt.Sprintf(neutronConf, 9), "ha-9", "ha-1")), 0o644))
	second := words(9)
	second[2] = "qrouter-1"
	p := start(second)
	s.wait("the second one to end", func() error {
		select {
		case <-p.Done():
			return nil
		default:
			return errNotYet
		}
	})
	if out := string(p.Output()); p.Err() == nil || !strings.Contains(out, "already running in this network namespace") || !strings.Contains(out, "one process") {
		t.Errorf("it ended with %v and said\n%s", p.Err(), out)
	}
	if _, err := d.pid("/run/9.pid"); !os.IsNotExist(err) {
		t.Errorf("it has left its pid file: %v", err)
	}
	s.must(has(1, true)())

	// A reload and a stop are of one of them.
	s.must(d.WriteFile("/run/2.conf", []byte(strings.ReplaceAll(fmt.Sprintf(neutronConf, 2), "10.2.0.1/24", "10.2.0.7/24")), 0o644))
	d.shell("kill -HUP $(cat /run/2.pid)")
	s.wait("the new address of router 2", func() error {
		if out := d.shell("ip -n qrouter-2 -4 -o addr show dev ha-2"); !strings.Contains(out, " 10.2.0.7/") || strings.Contains(out, " 10.2.0.1/") {
			return fmt.Errorf("%s", out)
		}
		return nil
	})
	s.must(running[1].Stop(patience))
	s.wait("router 1 to have let go", has(1, false))
	s.must(has(3, true)())
	if out := d.shell("cat /run/told.log"); strings.Count(out, "[MASTER]") != many || strings.Count(out, "[STOP]") != 1 {
		t.Errorf("told:\n%s", out)
	}
	for i := 2; i <= many; i++ {
		s.must(running[i].Stop(patience))
	}
}
