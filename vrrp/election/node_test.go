package election

import (
	"encoding/json"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/vrrp"
)

// node is a pair of processes at one end of a cable.
type node struct {
	t     *testing.T
	play  play
	cmd   *exec.Cmd
	ended chan struct{} // closed when the first election process has ended
}

// interval of every test: the protocol's bounds follow from it.
const interval = 100 * time.Millisecond

func configOf(priority uint8) vrrp.SetConfig {
	return vrrp.SetConfig{Node: "n", Routers: []vrrp.RouterConfig{{Name: "lan", Interface: "lan0", VRID: 51, Priority: priority,
		Interval: interval, Addresses: []netip.Addr{vip}}}, Groups: []vrrp.GroupConfig{{Name: "gw", Routers: []string{"lan"}}}}
}

var vip = netip.MustParseAddr("10.0.0.1")

// start runs a node at end i of the cable that has been told some things before.
// Nothing of it outlives the test.
func (c cable) start(t *testing.T, i int, p play, told ...string) *node {
	t.Helper()
	p.Dir = t.TempDir()
	// What is not about these bounds is not to meet them, however slow the machine is.
	for _, d := range []*time.Duration{&p.Watchdog, &p.Budget} {
		if *d == 0 {
			*d = time.Minute
		}
	}
	raw, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := os.Create(filepath.Join(p.Dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	n := &node{t: t, play: p, ended: make(chan struct{})}
	for _, what := range told {
		n.tell(what)
	}
	n.cmd = exec.Command("/proc/self/exe")
	n.cmd.Env = append(os.Environ(), roleVar+"=election", playVar+"="+string(raw))
	n.cmd.Stderr = stderr
	within(c[i], func() {
		if p.NoRealtime { // of this thread, which is thrown away, and of what it starts
			err = unix.Prctl(unix.PR_CAPBSET_DROP, unix.CAP_SYS_NICE, 0, 0, 0)
		}
		if err == nil {
			err = n.cmd.Start()
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	go func() { _ = n.cmd.Wait(); close(n.ended) }()
	t.Cleanup(n.cleanUp)
	return n
}

func (n *node) cleanUp() {
	// Frozen first, so that neither brings the other back.
	for range 3 {
		pids := n.pids()
		for _, sig := range []unix.Signal{unix.SIGSTOP, unix.SIGKILL} {
			for _, pid := range pids {
				if ours(pid) {
					_ = unix.Kill(pid, sig)
				}
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	<-n.ended
	if n.t.Failed() {
		for _, file := range []string{"stderr", "notes"} {
			b, _ := os.ReadFile(filepath.Join(n.play.Dir, file))
			n.t.Logf("%s of priority %d:\n%s", file, n.play.Config.Routers[0].Priority, b)
		}
	}
}

// ours tells that a pid still is a process of this test.
func ours(pid int) bool {
	exe, err := os.Readlink("/proc/" + strconv.Itoa(pid) + "/exe")
	self, _ := os.Readlink("/proc/self/exe")
	return err == nil && exe == self
}

// notes lists the pids of the lines that begin with what.
func (n *node) notes(what string) (pids []int) {
	b, _ := os.ReadFile(filepath.Join(n.play.Dir, "notes"))
	for line := range strings.Lines(string(b)) {
		text, pid, _ := strings.Cut(strings.TrimSpace(line), " ")
		if p, err := strconv.Atoi(pid); err == nil && strings.HasPrefix(text, what) {
			pids = append(pids, p)
		}
	}
	return pids
}

func (n *node) pids() []int { return append(n.notes("election"), n.notes("daemon")...) }

// noted waits until there are so many notes, and returns the last one's pid.
func (n *node) noted(what string, times int) int {
	n.t.Helper()
	var pids []int
	eventually(n.t, what, func() bool { pids = n.notes(what); return len(pids) >= times })
	return pids[len(pids)-1]
}

func (n *node) tell(what string) {
	n.t.Helper()
	if err := os.WriteFile(filepath.Join(n.play.Dir, what), nil, 0o644); err != nil {
		n.t.Fatal(err)
	}
}

func (n *node) untell(what string) { os.Remove(filepath.Join(n.play.Dir, what)) }

func (n *node) signal(pid int, sig unix.Signal) {
	n.t.Helper()
	if err := unix.Kill(pid, sig); err != nil {
		n.t.Fatal(err)
	}
}

// activeNode starts a node with the higher priority and waits until it is Active
// and holds its addresses.
func activeNode(t *testing.T, c cable, p play) (n *node, wire *ear) {
	t.Helper()
	wire = c.listen(t, 1, nil)
	if p.Config.Node == "" {
		p.Config = configOf(200)
	}
	n = c.start(t, 0, p)
	n.noted("transition-active", 1)
	eventually(t, "the addresses", func() bool { return c.addresses(0) == 1+p.Extra })
	return n, wire
}

// slow is a configuration whose bounds are seconds: what processes have to do within them they do on
// any machine.
func slow(priority uint8) vrrp.SetConfig {
	cfg := configOf(priority)
	cfg.Routers[0].Interval = slowInterval
	return cfg
}

const slowInterval = 10 * interval

// standby starts the other node.
func standby(t *testing.T, c cable) *node { t.Helper(); return standbyOf(t, c, configOf(100)) }

func standbyOf(t *testing.T, c cable, cfg vrrp.SetConfig) *node {
	t.Helper()
	n := c.start(t, 1, play{Config: cfg})
	n.noted("transition-backup", 1)
	return n
}

// silence is the longest pause between two adverts.
func silence(all []heard) (longest time.Duration) {
	for i := 1; i < len(all); i++ {
		longest = max(longest, all[i].at.Sub(all[i-1].at))
	}
	return longest
}
