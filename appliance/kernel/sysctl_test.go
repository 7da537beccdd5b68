package kernel

import (
	"errors"
	"io/fs"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"understudy/garp"
)

// tree is a /proc/sys of files.
type tree struct {
	t    *testing.T
	root string
}

func newTree(t *testing.T, values map[string]string) tree {
	tr := tree{t, t.TempDir()}
	for k, v := range values {
		p := filepath.Join(tr.root, k)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		tr.set(k, v) // as the operator does
	}
	return tr
}

func (tr tree) set(key, value string) {
	tr.t.Helper()
	if err := os.WriteFile(filepath.Join(tr.root, key), []byte(value+"\n"), 0o644); err != nil {
		tr.t.Fatal(err)
	}
}

func (tr tree) want(what string, want map[string]string) {
	tr.t.Helper()
	got := map[string]string{}
	for k := range want {
		b, err := os.ReadFile(filepath.Join(tr.root, k))
		if err != nil {
			tr.t.Fatal(err)
		}
		got[k] = strings.TrimSpace(strings.SplitN(string(b), "\n", 2)[0])
	}
	if diff := cmp.Diff(want, got); diff != "" {
		tr.t.Errorf("%s (-want +got):\n%s", what, diff)
	}
}

func saved(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, savedFile))
	return err == nil
}

var twoSettings = []Setting{{Key: "net.a", Value: "1"}, {Key: "net.b", Value: "2"}, {Key: "net.kept", Value: "1", Keep: true}}

func TestSysctlsApplyAndRestore(t *testing.T) {
	tr, dir := newTree(t, map[string]string{"net/a": "0", "net/b": "2", "net/kept": "0"}), filepath.Join(t.TempDir(), "run")
	// Each step is another process, with nothing but the directory.
	sys := func() *Sysctls { return &Sysctls{dir: dir, root: tr.root} }
	ours := map[string]string{"net/a": "1", "net/b": "2", "net/kept": "1"}
	for range 2 {
		if err := sys().Apply(twoSettings); err != nil {
			t.Fatal(err)
		}
		tr.want("applied", ours)
	}
	for range 2 {
		if err := sys().Restore(); err != nil {
			t.Fatal(err)
		}
		tr.want("restored", map[string]string{"net/a": "0", "net/b": "2", "net/kept": "1"})
		if saved(dir) {
			t.Error("the file is still there")
		}
	}
}

func TestSysctlsKeepWhatTheOperatorChanged(t *testing.T) {
	tr, dir := newTree(t, map[string]string{"net/a": "0", "net/b": "0", "net/kept": "1"}), t.TempDir()
	sys := &Sysctls{dir: dir, root: tr.root}
	if err := sys.Apply(twoSettings); err != nil {
		t.Fatal(err)
	}
	tr.set("net/a", "7")
	if err := sys.Restore(); err != nil {
		t.Fatal(err)
	}
	tr.want("restored", map[string]string{"net/a": "7", "net/b": "0"})

	// Changed while we run, then a restart: the change is what we go back to.
	if err := sys.Apply(twoSettings); err != nil {
		t.Fatal(err)
	}
	tr.set("net/b", "5")
	if err := sys.Apply(twoSettings); err != nil {
		t.Fatal(err)
	}
	tr.want("applied again", map[string]string{"net/a": "1", "net/b": "2"})
	if err := sys.Restore(); err != nil {
		t.Fatal(err)
	}
	tr.want("restored again", map[string]string{"net/a": "7", "net/b": "5"})
}

// A newer version may want another value; the original is still the operator's.
func TestSysctlsOfANewerVersion(t *testing.T) {
	tr, dir := newTree(t, map[string]string{"net/a": "0"}), t.TempDir()
	sys := &Sysctls{dir: dir, root: tr.root}
	for _, value := range []string{"1", "2"} {
		if err := sys.Apply([]Setting{{Key: "net.a", Value: value}}); err != nil {
			t.Fatal(err)
		}
		tr.want("applied", map[string]string{"net/a": value})
	}
	if err := sys.Restore(); err != nil {
		t.Fatal(err)
	}
	tr.want("restored", map[string]string{"net/a": "0"})
}

func TestSysctlsTakeBackWhatIsNotWantedAnyMore(t *testing.T) {
	tr, dir := newTree(t, map[string]string{"net/a": "0", "net/b": "0", "net/kept": "1"}), t.TempDir()
	sys := &Sysctls{dir: dir, root: tr.root}
	if err := sys.Apply(twoSettings); err != nil {
		t.Fatal(err)
	}
	if err := sys.Apply(twoSettings[1:]); err != nil {
		t.Fatal(err)
	}
	tr.want("reduced", map[string]string{"net/a": "0", "net/b": "2"})
	if !saved(dir) {
		t.Error("the previous value of net.b is lost")
	}
}

// A crash after the value was saved and before it was set: the write is made to
// fail, which leaves the same files behind.
func TestSysctlsCrashBetweenSaveAndSet(t *testing.T) {
	values := map[string]string{"net/a": "0", "net/b": "0", "net/kept": "0"}
	crash := func(t *testing.T) (tree, *Sysctls) {
		tr, dir := newTree(t, values), t.TempDir()
		sys := &Sysctls{dir: dir, root: tr.root}
		v, err := load(dir)
		if err != nil {
			t.Fatal(err)
		}
		v.note(twoSettings[0], "0", sys.affected)
		if err := v.store(dir); err != nil {
			t.Fatal(err)
		}
		return tr, sys
	}
	t.Run("restore leaves all as it is", func(t *testing.T) {
		tr, sys := crash(t)
		if err := sys.Restore(); err != nil {
			t.Fatal(err)
		}
		tr.want("restored", values)
	})
	t.Run("the next start sets it and still knows the original", func(t *testing.T) {
		tr, sys := crash(t)
		if err := sys.Apply(twoSettings); err != nil {
			t.Fatal(err)
		}
		tr.want("applied", map[string]string{"net/a": "1"})
		if err := sys.Restore(); err != nil {
			t.Fatal(err)
		}
		tr.want("restored", map[string]string{"net/a": "0"})
	})
}

func TestSysctlsReportAndGoOn(t *testing.T) {
	tr, dir := newTree(t, map[string]string{"net/a": "0"}), t.TempDir()
	sys := &Sysctls{dir: dir, root: tr.root}
	err := sys.Apply([]Setting{{Key: "net.missing", Value: "1"}, {Key: "net.a", Value: "1"}, {Key: "net/../../etc/x", Value: "1"}})
	if !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "net.missing") || !strings.Contains(err.Error(), "not a key") {
		t.Errorf("error %v", err)
	}
	tr.want("applied", map[string]string{"net/a": "1"})

	if err := os.WriteFile(filepath.Join(dir, savedFile), []byte("{"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := sys.Restore(); err == nil {
		t.Error("a broken file is not reported")
	}
	tr.want("nothing is restored from a broken file", map[string]string{"net/a": "1"})
}

func TestSysctlKeys(t *testing.T) {
	s := &Sysctls{root: "/proc/sys"}
	for key, want := range map[string]string{
		"net.ipv4.ip_forward":                               "/proc/sys/net/ipv4/ip_forward",
		"net/ipv4/conf/eth0.100/rp_filter":                  "/proc/sys/net/ipv4/conf/eth0.100/rp_filter",
		interfaceKey("ipv4", "eth0.100", "arp_announce"):    "/proc/sys/net/ipv4/conf/eth0.100/arp_announce",
		interfaceKey("ipv4", "lan0", "promote_secondaries"): "/proc/sys/net/ipv4/conf/lan0/promote_secondaries",
	} {
		if got, err := s.path(key); got != want || err != nil {
			t.Errorf("%s is %s, error %v; want %s", key, got, err, want)
		}
	}
}

// In a real kernel: writing ip_forward touches each interface and the redirects
// of all, and both must come back.
func TestSettingsInTheKernel(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "eth0.100")
	before := map[string]string{
		"net/ipv4/ip_forward":                        "0",
		"net/ipv4/conf/all/accept_redirects":         "0",
		"net/ipv4/conf/lan0/forwarding":              "1",
		"net/ipv4/conf/eth0.100/forwarding":          "0",
		"net/ipv4/conf/lan0/arp_announce":            "0",
		"net/ipv4/conf/lan0/promote_secondaries":     "0",
		"net/ipv4/conf/eth0.100/promote_secondaries": "0",
	}
	setSysctl(t, "net/ipv4/ip_forward", "0")
	for k, v := range before {
		if k != "net/ipv4/ip_forward" {
			setSysctl(t, k, v)
		}
	}
	tr := tree{t, "/proc/sys"}
	tr.want("set up", before)

	sys := NewSysctls(t.TempDir())
	settings := append(Forwarding(false), Settings([]string{"lan0", "eth0.100"}, nil)...)
	if err := sys.Apply(settings); err != nil {
		t.Fatal(err)
	}
	ours := map[string]string{}
	for _, s := range settings {
		p, err := sys.path(s.Key)
		if err != nil {
			t.Fatal(err)
		}
		rel, _ := filepath.Rel("/proc/sys", p)
		ours[rel] = s.Value
		if s.Why == "" {
			t.Errorf("%s has no reason", s.Key)
		}
	}
	tr.want("applied", ours)
	if err := sys.Restore(); err != nil {
		t.Fatal(err)
	}
	before["net/netfilter/nf_conntrack_events"] = "1"
	tr.want("restored", before)
}

// The same for IPv6: forwarding of all is that of each interface, and comes back as
// it was.
func TestForwarding6InTheKernel(t *testing.T) {
	enter(t)
	addVeth(t, "lan0", "mgmt0")
	before := map[string]string{
		"net/ipv6/conf/all/forwarding":     "0",
		"net/ipv6/conf/default/forwarding": "0",
		"net/ipv6/conf/lan0/forwarding":    "1",
		"net/ipv6/conf/mgmt0/forwarding":   "0",
	}
	for _, k := range slices.Sorted(maps.Keys(before)) { // all first
		setSysctl(t, k, before[k])
	}
	tr := tree{t, "/proc/sys"}
	tr.want("set up", before)
	sys := NewSysctls(t.TempDir())
	for name, c := range map[string]struct {
		six  bool
		want map[string]string
	}{
		"without IPv6 routers": {false, before},
		"with":                 {true, map[string]string{"net/ipv6/conf/all/forwarding": "1", "net/ipv6/conf/lan0/forwarding": "1"}},
	} {
		if err := sys.Apply(append(Forwarding(c.six), Settings([]string{"lan0"}, nil)...)); err != nil {
			t.Fatal(err)
		}
		tr.want(name, c.want)
		// A reload takes away the last IPv6 router.
		if err := sys.Apply(append(Forwarding(false), Settings([]string{"lan0"}, nil)...)); err != nil {
			t.Fatal(err)
		}
		tr.want("without IPv6 routers any more", before)
	}
	must(t, sys.Restore())
	tr.want("restored", before)
}

// Why arp_announce is in Settings: asked to send in the name of a virtual
// address, the kernel asks for the neighbour in that name too, and the neighbour
// believes it.
func TestArpAnnounceKeepsVirtualAddressesOutOfRequests(t *testing.T) {
	for value, want := range map[string]string{"0": "10.0.0.1", "2": "10.0.0.2"} {
		enter(t)
		addVeth(t, "peer0", "lan0")
		addAddr(t, "lan0", "10.0.0.2/24")
		a := open(t)
		apply(t, a, on("lan0", "10.0.0.1/24"))
		setSysctl(t, "net/ipv4/conf/lan0/arp_announce", value)
		attrs := linkOf(t, "peer0").Attrs()
		c, err := packet.Listen(&net.Interface{Index: attrs.Index, Name: attrs.Name}, packet.Raw, unix.ETH_P_ARP, nil)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		sendFrom(t, "10.0.0.1", "10.0.0.77")
		buf := make([]byte, 128)
		if err := c.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
			t.Fatal(err)
		}
		n, _, err := c.ReadFrom(buf)
		if err != nil {
			t.Fatal(err)
		}
		if p, r := garp.ParseARP(buf[14:n]); p.Sender != netip.MustParseAddr(want) {
			t.Errorf("arp_announce=%s: asked by %v (%v), want %s", value, p.Sender, r, want)
		}
	}
}

// sendFrom sends a datagram between the addresses.
func sendFrom(t *testing.T, from, to string) {
	t.Helper()
	c, err := net.DialUDP("udp4", &net.UDPAddr{IP: net.ParseIP(from)}, &net.UDPAddr{IP: net.ParseIP(to), Port: 9})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write([]byte("x")); err != nil {
		t.Fatal(err)
	}
}

func TestNetnsCookie(t *testing.T) {
	enter(t)
	one, err := RuntimeDir("/run/understudy")
	if err != nil {
		t.Fatal(err)
	}
	if same, _ := RuntimeDir("/run/understudy"); same != one {
		t.Errorf("one namespace is %s and %s", one, same)
	}
	enter(t)
	other, err := RuntimeDir("/run/understudy")
	if err != nil || other == one {
		t.Errorf("two namespaces are %s, error %v", other, err)
	}
}

// A setting of a module that nobody has loaded is no error where it is nobody's then;
// any other that is missing is.
func TestSysctlsOfAModuleThatIsNotLoaded(t *testing.T) {
	sys := &Sysctls{dir: t.TempDir(), root: newTree(t, nil).root}
	if err := sys.Apply([]Setting{{Key: "net.netfilter.nf_conntrack_events", Value: "1", Keep: true, Lazy: true}}); err != nil {
		t.Error(err)
	}
	if err := sys.Apply([]Setting{{Key: "net.netfilter.nf_conntrack_events", Value: "1", Keep: true}}); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got %v", err)
	}
}

// An interface that is not there yet keeps no gateway from starting: its settings come
// with it.
func TestSettingsOfAnInterfaceToCome(t *testing.T) {
	tree := newTree(t, map[string]string{"net/ipv4/ip_forward": "0"})
	sys := &Sysctls{dir: t.TempDir(), root: tree.root}
	if err := sys.Apply(append(Forwarding(false), Settings([]string{"eth9"}, []string{"eth9"})...)); err != nil {
		t.Error(err)
	}
}
