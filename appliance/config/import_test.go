package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"understudy/appliance/config/keepalived"
)

// bigWorld is a machine named big, which has every file of the tests and no program.
func bigWorld() keepalived.World {
	w := keepalived.Elsewhere()
	w.Hostname, w.Getenv = "big.example.org", func(string) string { return "" }
	w.LookPath = func(name string) (string, error) {
		if name == "killall" {
			return "/usr/bin/killall", nil
		}
		return "", errors.New("not there")
	}
	return w
}

// importFile imports a file of the corpus, with the conntrackd.conf beside it.
func importFile(t *testing.T, file string) (*Imported, error) {
	t.Helper()
	o := ImportOptions{Options: Options{World: bigWorld()}}
	if text, err := os.ReadFile(strings.TrimSuffix(file, ".conf") + ".conntrackd"); err == nil {
		o.Conntrackd, o.ConntrackdText = strings.TrimSuffix(file, ".conf")+".conntrackd", text
	}
	return Import(file, []byte(read(t, file)), o)
}

func corpus(t *testing.T) []string {
	t.Helper()
	files, err := filepath.Glob("testdata/keepalived/*.conf")
	if err != nil || len(files) < 12 {
		t.Fatalf("%d files, want 12 or more (%v)", len(files), err)
	}
	return files
}

// sameMeaning compares what a keepalived.conf and its TOML say.
var sameMeaning = cmp.Options{same, cmpopts.IgnoreFields(Config{}, "Warnings"), cmpopts.IgnoreFields(Sessions{}, "Secret")}

// TestImport compares what becomes of each file of the corpus, and what is said
// about it, with the golden files beside it. The TOML is accepted, and means what
// the file itself means.
func TestImport(t *testing.T) {
	for _, file := range corpus(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".conf"), func(t *testing.T) {
			out, err := importFile(t, file)
			if err != nil {
				t.Fatal(err)
			}
			var said strings.Builder
			for _, m := range out.Messages {
				fmt.Fprintf(&said, "%s: %s\n", m.Level, m)
				if m.File == "" || m.Line < 1 && m.File != file || strings.Contains(m.String(), "\n") {
					t.Errorf("without a place: %#v", m)
				}
			}
			golden(t, strings.TrimSuffix(file, ".conf")+".toml", out.TOML)
			golden(t, strings.TrimSuffix(file, ".conf")+".messages", said.String())
			assertUsable(t, out.Config)
			again := parse(t, strings.TrimSuffix(file, ".conf")+".toml", out.TOML)
			if diff := cmp.Diff(out.Config, again, sameMeaning); diff != "" {
				t.Errorf("-itself +its TOML:\n%s", diff)
			}
		})
	}
}

func golden(t *testing.T, file, got string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff(read(t, file), got); diff != "" {
		t.Errorf("%s: -want +got:\n%s", file, diff)
	}
}

// TestLoadKeepalived: a file in keepalived's language is loaded as such, by its name
// and by what is in it, and means what its import means.
func TestLoadKeepalived(t *testing.T) {
	for _, name := range []string{"gw.conf", "gateway"} {
		src := read(t, "testdata/keepalived/kubernetes.conf")
		path := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(path, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err != nil {
			t.Fatal(err)
		}
		out, err := importFile(t, "testdata/keepalived/kubernetes.conf")
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(out.Config, c, sameMeaning); diff != "" {
			t.Errorf("%s: -imported +loaded:\n%s", name, diff)
		}
	}
	if _, err := Parse("gw.toml", []byte("vrrp_instance x {\n}\n"), Options{}); err == nil || !strings.Contains(err.Error(), "not TOML") {
		t.Errorf("by the name it is TOML, got %v", err)
	}
}

// TestForwarding: the kernel forwards where something in the file cannot do without, also
// once what cannot work has been left out.
func TestForwarding(t *testing.T) {
	const instance = "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress {\n 10.0.0.1/24\n }\n}\n"
	servers := func(address, kind string) string {
		return "virtual_server " + address + " 80 {\n lb_algo rr\n lb_kind " + kind + "\n protocol TCP\n real_server 10.0.0.21 80 {\n }\n}\n"
	}
	for text, want := range map[string]bool{
		instance:                               false,
		instance + servers("10.0.0.1", "NAT"):  true,
		instance + servers("10.0.0.1", "DR"):   false,
		instance + servers("192.0.2.1", "NAT"): false, // nobody has its address
	} {
		c, err := Parse("x.conf", []byte(text), Options{World: bigWorld()})
		if err != nil || c.Forwarding != want {
			t.Errorf("%t (%v) of\n%s", c != nil && c.Forwarding, err, text)
		}
	}
	if c := parse(t, "x.toml", "node = \"a\"\n[[router]]\nname = \"a\"\ninterface = \"eth0\"\nvrid = 1\naddresses = [\"10.0.0.1/24\"]\n"); !c.Forwarding {
		t.Error("a gateway does not forward")
	}
}

// TestNothingLeft: a file of which nothing can be is refused, with the place.
func TestNothingLeft(t *testing.T) {
	_, err := Parse("x.conf", []byte("vrrp_instance a {\n interface eth0\n}\n"), Options{World: bigWorld()})
	var ps Problems
	if !errors.As(err, &ps) || len(ps) != 1 || ps[0].File != "x.conf" || !strings.Contains(ps[0].What, "nothing to keep alive") {
		t.Errorf("got %v", err)
	}
}

// TestRefusedIsLeftOut: what the checks refuse goes, and nothing else, whatever
// stands before and behind it.
func TestRefusedIsLeftOut(t *testing.T) {
	src := `vrrp_instance a {
 interface eth0
 virtual_router_id 1
 virtual_ipaddress {
  10.0.0.1/24
  10.0.0.255/24
  10.0.0.2/24
 }
 virtual_routes {
  10.1.0.7/16 via 10.0.0.9
  10.2.0.0/16 via 10.0.0.9
 }
}
vrrp_instance b {
 interface eth0
 virtual_router_id 1
 virtual_ipaddress { 10.0.1.1/24 }
}
vrrp_instance c {
 interface eth0
 virtual_router_id 3
 virtual_ipaddress { 10.0.2.1/24 }
 track_interface { eth0 weight 3
  bad/name
  eth1 }
}
vrrp_instance d {
 interface eth0
 virtual_router_id 4
 virtual_ipaddress { 2001:db8::/64 }
}
`
	c, err := Parse("x.conf", []byte(src), Options{World: bigWorld()})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, r := range c.Routers {
		got = append(got, fmt.Sprint(r.Name, r.Addresses, len(r.Routes), r.Track))
	}
	want := []string{"a[10.0.0.1/24 10.0.0.2/24] 1 []", "c[10.0.2.1/24] 0 [{interface eth1 0 false}]"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	all := strings.Join(c.Warnings, "\n")
	for _, line := range []string{"(x.conf: Line 6) virtual_ipaddress: not carried over: ", "(x.conf: Line 10) virtual_routes: ", "(x.conf: Line 16) virtual_router_id: ",
		"(x.conf: Line 24) track_interface: ", "anycast address"} {
		if !strings.Contains(all, line) {
			t.Errorf("%q is not among:\n%s", line, all)
		}
	}
}

// TestGlue: a pair that has conntrackd's state moved about keeps its sessions, and
// tells conntrackd nothing; without a secret, or without its file, all stays as it was.
func TestGlue(t *testing.T) {
	dir := t.TempDir()
	put := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	put("keepalived.conf", read(t, "testdata/keepalived/firewall.conf"), 0o644)
	load := func() *Config {
		t.Helper()
		path := filepath.Join(dir, "keepalived.conf")
		w := bigWorld()
		open := w.Open
		w.Open = func(name string) ([]byte, error) {
			if filepath.Dir(name) != dir {
				return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
			}
			return open(name)
		}
		c, err := Parse(path, []byte(read(t, path)), Options{World: w, ReadSecret: ReadSecretFile})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := load(); c.Sessions != nil || len(c.Groups[0].Notify) != 3 || !strings.Contains(strings.Join(c.Warnings, "\n"), "there is no conntrackd.conf") {
		t.Errorf("without conntrackd.conf: %+v", c)
	}
	put("conntrackd.conf", read(t, "testdata/keepalived/firewall.conntrackd"), 0o644)
	if c := load(); c.Sessions != nil || len(c.Groups[0].Notify) != 3 || !strings.Contains(strings.Join(c.Warnings, "\n"), "there is no cluster secret") {
		t.Errorf("without a secret: %+v", c)
	}
	put("understudy.secret", goodSecret, 0o644)
	if c := load(); c.Sessions != nil || len(c.Groups[0].Notify) != 3 || c.Node != "fw1" || !strings.Contains(strings.Join(c.Warnings, "\n"), "others than its owner") {
		t.Errorf("with a secret that is open: %+v", c)
	}
	if err := os.Chmod(filepath.Join(dir, "understudy.secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load()
	if c.Sessions == nil || c.Node != "192.168.100.1" || len(c.Groups[0].Notify) != 0 {
		t.Fatalf("%+v", c)
	}
	want := []Peer{{Name: "192.168.100.2", Addresses: []netip.AddrPort{netip.MustParseAddrPort("192.168.100.2:7788")}}}
	if diff := cmp.Diff(want, c.Sessions.Peers, same); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// TestMulticastPeer: conntrackd finds the other node by multicast, so it has to be named.
func TestMulticastPeer(t *testing.T) {
	conntrackd := "Sync {\n Mode ALARM {\n }\n Multicast {\n  IPv4_address 225.0.0.50\n  IPv4_interface 192.168.100.1\n  Interface eth2\n }\n}\n"
	o := ImportOptions{Options: Options{World: bigWorld()}, Conntrackd: "c.conf", ConntrackdText: []byte(conntrackd)}
	src := []byte(read(t, "testdata/keepalived/firewall.conf"))
	out, err := Import("k.conf", src, o)
	if err != nil || out.Config.Sessions != nil || !strings.Contains(fmt.Sprint(out.Messages), "--peer") {
		t.Errorf("without the other node: %v, %v", err, out.Messages)
	}
	o.Peer = netip.MustParseAddr("192.168.100.2")
	out, err = Import("k.conf", src, o)
	if err != nil || out.Config.Sessions == nil || out.Config.Sessions.Peers[0].Name != "192.168.100.2" || out.Config.Sessions.Listen[0].String() != "192.168.100.1:7788" {
		t.Errorf("with it: %v, %+v", err, out.Config.Sessions)
	}
}

// FuzzImport: whatever the file, its TOML is accepted and means the same.
func FuzzImport(f *testing.F) {
	files, _ := filepath.Glob("testdata/keepalived/*.conf")
	for _, file := range files {
		if src, err := os.ReadFile(file); err == nil {
			f.Add(src)
		}
	}
	w := bigWorld()
	w.Open, w.Glob, w.Lines = nil, nil, 5000
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<14 {
			return
		}
		out, err := Import("f.conf", src, ImportOptions{Options: Options{World: w}})
		for _, m := range out.Messages {
			if m.File != "f.conf" || m.Line < 1 || strings.Contains(m.String(), "\n") {
				t.Fatalf("%#v", m)
			}
		}
		if err != nil {
			var ps Problems
			if !errors.As(err, &ps) || len(ps) == 0 {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		assertUsable(t, out.Config)
		again, err := Parse("f.toml", []byte(out.TOML), Options{})
		if err != nil {
			t.Fatalf("%v\n%s", err, out.TOML)
		}
		if diff := cmp.Diff(out.Config, again, sameMeaning); diff != "" {
			t.Fatalf("-itself +its TOML:\n%s\n%s", diff, out.TOML)
		}
	})
}

// A gateway that is in no network of the file leads by the interface in whose network
// it is, where that is known; else by that of the instance.
func TestGatewayOfAnotherNetwork(t *testing.T) {
	const src = `vrrp_instance a {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress {
        10.0.0.1/24
    }
    virtual_routes {
        192.0.2.0/24 via 10.9.0.254
    }
}
`
	w := bigWorld()
	for _, want := range []string{"eth0", "eth1"} {
		out, err := Import("k.conf", []byte(src), ImportOptions{Options: Options{World: w}})
		if err != nil {
			t.Fatal(err)
		}
		if got := out.Config.Routers[0].Routes[0].Hops[0].Interface; got != want {
			t.Errorf("it leads by %s, want %s", got, want)
		}
		w.Networks = func() []keepalived.Network {
			return []keepalived.Network{{Interface: "eth9", Prefix: netip.MustParsePrefix("10.0.0.0/8")}, {Interface: "eth1", Prefix: netip.MustParsePrefix("10.9.0.0/16")}}
		}
	}
}

// A script whose program is not on the machine that runs the file is disabled, as
// keepalived does it; on another machine that is not known.
func TestScriptThatIsNotThere(t *testing.T) {
	const src = `vrrp_script s {
    script /nowhere/check
}
vrrp_instance a {
    interface eth0
    virtual_router_id 1
    virtual_ipaddress {
        10.0.0.1/24
    }
    track_script {
        s
    }
}
`
	for _, runs := range []bool{false, true} {
		w := bigWorld()
		w.Runs = runs
		out, err := Import("k.conf", []byte(src), ImportOptions{Options: Options{World: w}})
		if err != nil {
			t.Fatal(err)
		}
		if n := len(out.Config.Checks); (n == 0) != runs {
			t.Errorf("run here: %t; %d checks", runs, n)
		}
		said := fmt.Sprint(out.Messages)
		if strings.Contains(said, "Disabling track script s since not found/accessible") != runs {
			t.Errorf("run here: %t; said %s", runs, said)
		}
	}
}
