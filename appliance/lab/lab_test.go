package lab_test

import (
	"bufio"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// two nodes on one segment: a 10.1.0.1/24 -- seg -- b 10.1.0.2/24
func twoNodes(t *testing.T) (l *lab.T, a, b *lab.Node) {
	l = lab.NewT(t)
	seg := l.Segment("seg")
	a, b = l.Node("a"), l.Node("b")
	l.Join(a, seg, "eth0", "10.1.0.1/24")
	l.Join(b, seg, "eth0", "10.1.0.2/24")
	return l, a, b
}

// echoUDP listens in node on addr and sends every datagram back.
func echoUDP(t *testing.T, node *lab.Node, addr string) {
	t.Helper()
	var conn *net.UDPConn
	must(t, node.Do(func() (err error) {
		conn, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return err
	}))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 2048)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			_, _ = conn.WriteToUDPAddrPort(buf[:n], from)
		}
	}()
	t.Cleanup(func() { conn.Close(); <-ended })
}

// answers reports whether one of several datagrams to addr comes back.
func answers(t *testing.T, from *lab.Node, addr string, tries int) bool {
	t.Helper()
	var conn *net.UDPConn
	must(t, from.Do(func() (err error) {
		conn, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(netip.MustParseAddrPort(addr)))
		return err
	}))
	defer conn.Close()
	buf := make([]byte, 16)
	for range tries {
		if _, err := conn.Write([]byte("hello")); err != nil {
			continue // an error of an earlier datagram, reported here
		}
		must(t, conn.SetReadDeadline(time.Now().Add(100*time.Millisecond)))
		if n, err := conn.Read(buf); err == nil && string(buf[:n]) == "hello" {
			return true
		}
	}
	return false
}

func TestSegmentCarriesTrafficUntilUnpluggedOrSilenced(t *testing.T) {
	_, a, b := twoNodes(t)
	echoUDP(t, b, "10.1.0.2:7")
	link := b.Link("eth0")
	for _, step := range []struct {
		name   string
		change func() error
		want   bool
	}{
		{"plugged from the start", nil, true},
		{"unplugged", link.Unplug, false},
		{"plugged again", link.Plug, true},
		{"silenced", link.Silence, false},
		{"heard again", link.Unsilence, true},
		{"set down inside the node", link.Down, false},
		{"set up inside the node", link.Up, true},
	} {
		if step.change != nil {
			must(t, step.change())
		}
		tries := 200
		if !step.want {
			tries = 2
		}
		if got := answers(t, a, "10.1.0.2:7", tries); got != step.want {
			t.Errorf("%s: answered %v, want %v", step.name, got, step.want)
		}
	}
}

func TestUnplugTakesTheCarrierAndNothingElse(t *testing.T) {
	_, _, b := twoNodes(t)
	link := b.Link("eth0")
	must(t, link.Unplug())
	nl, err := b.Netlink().LinkByName("eth0")
	must(t, err)
	if up, running := nl.Attrs().RawFlags&unix.IFF_UP != 0, nl.Attrs().RawFlags&unix.IFF_LOWER_UP != 0; !up || running {
		t.Errorf("up %v, carrier %v; want up without carrier", up, running)
	}
	if addrs, err := link.Addrs(); err != nil || !slices.Contains(addrs, netip.MustParsePrefix("10.1.0.2/24")) {
		t.Errorf("addresses %v (%v), want the static one kept", addrs, err)
	}
}

func TestDoNestsAndComesHome(t *testing.T) {
	_, a, b := twoNodes(t)
	here := func() string {
		s, err := os.Readlink("/proc/thread-self/ns/net")
		must(t, err)
		return s
	}
	home := here()
	var inA, inB, backInA string
	must(t, a.Do(func() error {
		inA = here()
		if err := b.Do(func() error { inB = here(); return nil }); err != nil {
			return err
		}
		backInA = here()
		return nil
	}))
	if inA == home || inB == home || inA == inB || backInA != inA || here() != home {
		t.Errorf("home %s, a %s, b %s, a again %s, home again %s", home, inA, inB, backInA, here())
	}
	if err := a.Do(func() error { return errBroken }); !errors.Is(err, errBroken) {
		t.Errorf("Do returned %v, want the function's error", err)
	}
}

var errBroken = errors.New("broken")

func TestSysctlStaysInTheNode(t *testing.T) {
	read := func() string {
		b, err := os.ReadFile("/proc/sys/net/ipv4/ip_default_ttl")
		must(t, err)
		return strings.TrimSpace(string(b))
	}
	_, a, _ := twoNodes(t)
	before := read()
	must(t, a.Sysctl("ipv4/ip_default_ttl", "33"))
	var inside string
	must(t, a.Do(func() error { inside = read(); return nil }))
	if inside != "33" || read() != before {
		t.Errorf("inside %s, want 33; outside %s, want %s as before", inside, read(), before)
	}
}

func TestRebootBringsBackTheMachineAndNoState(t *testing.T) {
	_, a, b := twoNodes(t)
	must(t, b.Sysctl("ipv4/ip_forward", "1"))
	must(t, b.Sysctl("ipv4/neigh/eth0/retrans_time_ms", "20"))
	must(t, b.Route("10.9.0.0/16", "10.1.0.1"))
	link := b.Link("eth0")
	must(t, link.AddAddr(netip.MustParsePrefix("10.1.0.100/24")))
	p, err := b.Start("/bin/sleep", "1000")
	must(t, err)

	must(t, b.Reboot())

	<-p.Done()
	addrs, err := link.Addrs()
	must(t, err)
	if !slices.Contains(addrs, netip.MustParsePrefix("10.1.0.2/24")) || slices.Contains(addrs, netip.MustParsePrefix("10.1.0.100/24")) {
		t.Errorf("addresses %v, want only the static one", addrs)
	}
	nl, err := b.Netlink().LinkByName("eth0")
	must(t, err)
	if got := nl.Attrs().HardwareAddr.String(); got != link.MAC.String() {
		t.Errorf("MAC %s, want %s as before", got, link.MAC)
	}
	for path, want := range map[string]string{"ipv4/ip_forward": "1", "ipv4/neigh/eth0/retrans_time_ms": "20"} {
		var got string
		must(t, b.Do(func() error {
			v, err := os.ReadFile("/proc/sys/net/" + path)
			got = strings.TrimSpace(string(v))
			return err
		}))
		if got != want {
			t.Errorf("%s is %s, want %s", path, got, want)
		}
	}
	routes, err := b.Netlink().RouteList(nil, unix.AF_INET)
	must(t, err)
	if !slices.ContainsFunc(routes, func(r netlink.Route) bool { return r.Dst != nil && r.Dst.String() == "10.9.0.0/16" }) {
		t.Errorf("routes %v, want 10.9.0.0/16 back", routes)
	}
	echoUDP(t, b, "10.1.0.2:7")
	if !answers(t, a, "10.1.0.2:7", 200) {
		t.Error("not reachable after the reboot")
	}
}

func TestProcessesLiveInTheNode(t *testing.T) {
	_, a, _ := twoNodes(t)
	// The shell starts a grandchild that does not care about its parent's end.
	p, err := a.Start("/bin/sh", "-c", `(sleep 1000 & echo child $!); readlink /proc/self/ns/net; ls -A /run | wc -l; echo pid $$`)
	must(t, err)
	<-p.Done()
	var inside string
	must(t, a.Do(func() (err error) { inside, err = os.Readlink("/proc/thread-self/ns/net"); return err }))
	lines := strings.Fields(p.Output())
	if len(lines) != 6 || lines[2] != inside || lines[3] != "0" {
		t.Fatalf("output %q, want the node's namespace %s and an empty /run", p.Output(), inside)
	}
	if pid, _ := strconv.Atoi(lines[5]); pid == 0 || pid > 100 {
		t.Errorf("inner PID %s, want a small one of the node's own", lines[5])
	}
	pids, err := a.Pids()
	must(t, err)
	if len(pids) != 1 {
		t.Fatalf("processes %v, want the grandchild alone", pids)
	}
	must(t, a.Kill())
	if pids, err = a.Pids(); err != nil || len(pids) != 0 {
		t.Errorf("processes after Kill: %v (%v), want none", pids, err)
	}
}

func TestOutputIsKeptPastTheProcessThatWasStarted(t *testing.T) {
	_, a, _ := twoNodes(t)
	p, err := a.Start("/bin/sh", "-c", `(sleep 0.3; echo late; exec sleep 1000) & echo early`)
	must(t, err)
	<-p.Done()
	waitFor(t, "the child's word", func() bool { return p.Output() == "early\nlate\n" })
	if pids, err := a.Pids(); err != nil || len(pids) != 1 {
		t.Errorf("processes %v (%v), want the child alive", pids, err)
	}
}

func TestCrashLetsNobodySayGoodbye(t *testing.T) {
	_, a, _ := twoNodes(t)
	// A parent that says goodbye when its child dies: what a crash must not allow.
	p, err := a.Start("/bin/sh", "-c", `sleep 1000 & echo up; wait; echo goodbye`)
	must(t, err)
	waitFor(t, "the program to run", func() bool { return strings.Contains(p.Output(), "up") })
	if _, err := a.Crash(); err != nil {
		t.Fatal(err)
	}
	<-p.Done()
	if strings.Contains(p.Output(), "goodbye") {
		t.Error("a process of the node outlived another one long enough to speak")
	}
	link, err := a.Netlink().LinkByName("eth0")
	must(t, err)
	if link.Attrs().RawFlags&unix.IFF_LOWER_UP != 0 {
		t.Error("the crashed node has still a carrier")
	}
}

func TestFreezeStopsAndThawContinues(t *testing.T) {
	_, a, _ := twoNodes(t)
	p, err := a.Start("/bin/sleep", "1000")
	must(t, err)
	state := func() string {
		b, err := os.ReadFile("/proc/" + strconv.Itoa(p.Pid()) + "/stat")
		must(t, err)
		_, rest, _ := strings.Cut(string(b), ") ")
		return rest[:1]
	}
	waitFor(t, "the program to sleep", func() bool { return state() == "S" })
	must(t, a.Freeze())
	waitFor(t, "the program to stop", func() bool { return state() == "T" })
	must(t, a.Thaw())
	waitFor(t, "the program to go on", func() bool { return state() == "S" })
}

// The test runs itself again as an owner of a laboratory, kills that with
// SIGKILL, and looks for what it had started.
func TestNothingOutlivesAKilledOwner(t *testing.T) {
	lab.Require(t)
	if os.Getenv("LAB_TEST_OWNER") == "1" {
		owner(t)
		return
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestNothingOutlivesAKilledOwner$")
	cmd.Env = append(os.Environ(), "LAB_TEST_OWNER=1")
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	var pids []int
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if rest, ok := strings.CutPrefix(lines.Text(), "PIDS "); ok {
			for f := range strings.FieldsSeq(rest) {
				pid, err := strconv.Atoi(f)
				must(t, err)
				pids = append(pids, pid)
			}
			break
		}
	}
	if len(pids) != 2 {
		t.Fatalf("owner named %v, want a process and its child", pids)
	}
	must(t, cmd.Process.Kill())
	_ = cmd.Wait()
	waitFor(t, "the processes to be gone", func() bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return unix.Kill(pid, 0) == nil })
	})
}

func owner(t *testing.T) {
	_, a, _ := twoNodes(t)
	p, err := a.Start("/bin/sh", "-c", `trap '' TERM HUP INT; setsid sleep 1000 & echo up; sleep 1000`)
	must(t, err)
	waitFor(t, "two children", func() bool {
		pids, err := a.Pids()
		return err == nil && len(pids) == 3
	})
	pids, err := a.Pids()
	must(t, err)
	line := "PIDS"
	for _, pid := range pids {
		if pid != p.Pid() {
			line += " " + strconv.Itoa(pid)
		}
	}
	os.Stdout.WriteString(line + "\n")
	select {}
}

// patience bounds every wait: it is far more than anything takes.
const patience = 30 * time.Second

func waitFor(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestFilesOfANodeAreItsOwn(t *testing.T) {
	_, a, b := twoNodes(t)
	must(t, a.WriteFile("/run/x/y", []byte("of a\n"), 0o600))
	for node, want := range map[*lab.Node]string{a: "of a", b: ""} {
		p, err := node.Start("/bin/cat", "/run/x/y")
		must(t, err)
		<-p.Done()
		if ok := p.Err() == nil; ok != (want != "") || ok && !strings.Contains(p.Output(), want) {
			t.Errorf("node %s reads %q, want %q", node.Name, p.Output(), want)
		}
	}
	if _, err := os.Stat("/run/x/y"); err == nil {
		t.Error("the file is on this machine")
	}
	if _, err := a.Path("/etc/passwd"); err == nil {
		t.Error("a path outside /run was given out as the node's")
	}
	must(t, a.Reboot())
	path, err := a.Path("/run/x/y")
	must(t, err)
	if _, err := os.Stat(path); err == nil {
		t.Error("the file is there after a reboot")
	}
}
