package config

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"understudy/nat/session"
)

// twoRouters is a small whole configuration to put more behind.
const twoRouters = `
node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
[[router]]
name = "wan"
interface = "wan0"
vrid = 51
addresses = ["203.0.113.1/24"]
`

// sessions is a small whole [sessions] to put more behind.
const sessions = "[sessions]\nlisten=\"10.255.0.1:7788\"\npeers=[{name=\"gw2\",address=\"10.255.0.2:7788\"}]\nsecret_file=\"good\"\n"

// TestGood: what is accepted, and what becomes of it.
func TestGood(t *testing.T) {
	rows := []struct {
		name, more string
		got        func(*Config) any
		want       any
	}{
		{"a router of no group is a group", "", func(c *Config) any { return c.Groups }, []Group{{Name: "lan", Routers: []string{"lan"}}, {Name: "wan", Routers: []string{"wan"}}}},
		{"a group has its members in the order of the file", "[[group]]\nname=\"gw\"\nrouters=[\"wan\",\"lan\"]",
			func(c *Config) any { return c.Groups }, []Group{{Name: "gw", Routers: []string{"wan", "lan"}}}},
		{"the router left out of the groups comes after them", "[[group]]\nname=\"gw\"\nrouters=[\"wan\"]",
			func(c *Config) any { return c.Groups }, []Group{{Name: "gw", Routers: []string{"wan"}}, {Name: "lan", Routers: []string{"lan"}}}},
		{"GroupOf", "[[group]]\nname=\"gw\"\nrouters=[\"wan\"]",
			func(c *Config) any { return c.GroupOf("wan").Name + " " + c.GroupOf("lan").Name }, "gw lan"},
		{"one VRID on two interfaces", "", func(c *Config) any { return c.Routers[1].VRID }, uint8(51)},
		{"the longest interval", router("d", "advertise = \"40.95s\""), func(c *Config) any { return c.Routers[2].Advertise }, 40950 * time.Millisecond},
		{"the shortest interval", router("d", "advertise = \"10ms\""), func(c *Config) any { return c.Routers[2].Advertise }, 10 * time.Millisecond},
		{"the limits of priority", router("d", "priority = 1") + router("e", "priority = 254"),
			func(c *Config) any { return c.Routers[2].Priority + c.Routers[3].Priority }, uint8(255)},
		{"track", router("d", "track = [\"lan0\", \"interface:eth9\"]"), func(c *Config) any { return c.Routers[2].Track },
			[]Track{{TrackInterface, "lan0", 0, false}, {TrackInterface, "eth9", 0, false}}},
		{"track with weights", router("d", "track = [\"lan0:-20\", \"interface:eth9:+5\", \"check:up\", \"c2:-253\"]") + check("up", "") + check("c2", ""),
			func(c *Config) any { return c.Routers[2].Track },
			[]Track{{TrackInterface, "lan0", -20, false}, {TrackInterface, "eth9", 5, false}, {TrackCheck, "up", 0, false}, {TrackCheck, "c2", -253, false}}},
		{"the election knows the interfaces without a weight only", router("d", "track = [\"lan0:-20\", \"wan0\", \"up\"]") + check("up", ""),
			func(c *Config) any { return c.Election().Routers[2].Track }, []string{"wan0"}},
		{"the tracker knows the rest", router("d", "track = [\"lan0:-20\", \"wan0\", \"up\"]") + check("up", "value = true") + check("idle", ""),
			func(c *Config) any {
				h := c.Health()
				return fmt.Sprint(h.Groups[2].Routers, h.Sources[0].Measures, h.Sources[2].UpAfter, len(h.Sources))
			}, "[{d 100 [{interface lan0 -20 false} {check up 0 false}]}] true 1s 3"},
		{"the defaults of a check", check("up", ""), func(c *Config) any { return c.Checks[0] },
			Check{Name: "up", Kind: CheckFile, Path: "/run/up", Every: time.Second, Timeout: time.Second, Rise: 2, Fall: 3}},
		{"a timeout is every", check("up", "every = \"50ms\""), func(c *Config) any { return c.Checks[0].Timeout }, 50 * time.Millisecond},
		{"the first word of a check that nobody tracks is not waited for", check("up", "every = \"1h\""), func(c *Config) any { return c.WordBound() }, time.Second},
		{"that of one which is tracked is", router("d", "track = [\"up\"]") + check("up", ""), func(c *Config) any { return c.WordBound() }, 6 * time.Second},
		{"a forward without a name has its address for one", "[[nat.forward]]\naddress=\"203.0.113.1:80/tcp\"\nto=\"10.0.0.9:8080\"",
			func(c *Config) any { return c.Mappings.Forwards[0].Name + " " + c.Mappings.Forwards[0].Router }, "203.0.113.1:80/tcp wan"},
		{"one port for two protocols", "[nat]\nforward=[{address=\"203.0.113.1:53/tcp\",to=\"10.0.0.9:53\"},{address=\"203.0.113.1:53/udp\",to=\"10.0.0.9:53\"}]",
			func(c *Config) any { return len(c.Mappings.Forwards) }, 2},
		{"an address of a subnet moves with its router", "[nat]\nsource=[{from=\"10.0.0.0/24\",out=\"wan0\",to=\"203.0.113.7\"}]",
			func(c *Config) any { return c.Identity("wan").String() + "|" + c.NAT().Groups[1].Name }, "address 203.0.113.1/24 dev wan0\naddress 203.0.113.7/32 dev wan0\n|wan"},
		{"an address of no subnet moves with the router that is named", "[nat]\nsource=[{from=\"10.0.0.0/24\",out=\"wan0\",to=\"198.51.100.7\",router=\"wan\"}]",
			func(c *Config) any { return c.NAT().Groups[1].Addresses[0].String() }, "198.51.100.7"},
		{"one network to two interfaces", "[nat]\nsource=[{from=\"10.1.0.0/24\",out=\"wan0\",to=\"203.0.113.1\"},{from=\"10.1.0.0/24\",out=\"lan0\",to=\"10.0.0.1\"}]",
			func(c *Config) any { return len(c.NAT().Sources) }, 2},
		{"the group's identity", "[[group]]\nname=\"gw\"\nrouters=[\"wan\",\"lan\"]",
			func(c *Config) any { return c.Identity("gw").String() }, "address 10.0.0.1/24 dev lan0\naddress 203.0.113.1/24 dev wan0\n"},
		{"a virtual MAC puts the addresses on a device", "[nat]\nsource=[{from=\"10.1.0.0/24\",out=\"eth0\",to=\"10.100.0.9\"}]" + router("d", "mac = \"virtual\""),
			func(c *Config) any { return c.Identity("d").String() },
			"device us4-100-eth0 on eth0 mac 00:00:5e:00:01:64\naddress 10.100.0.1/24 dev us4-100-eth0\naddress 10.100.0.9/32 dev us4-100-eth0\n"},
		{"behind a gate, and translated too", "[nat]\nsource=[{from=\"10.1.0.0/24\",out=\"eth0\",to=\"10.100.0.9\"}]" + router("d", "mac = \"virtual\""),
			func(c *Config) any {
				n := c.NAT()
				return fmt.Sprintln(n.Devices, n.Sources[0].Out, n.Sources[1].Out, c.Election().Routers[2].VirtualMAC)
			},
			"[{us4-100-eth0 d}] eth0 us4-100-eth0 true\n"},
		{"what is not accepted", "[nat]\nsource=[{from=\"10.1.0.0/24\",out=\"eth0\",to=\"10.100.0.9\"}]" + router("d", "accept = false"),
			func(c *Config) any { return fmt.Sprint(c.NAT().Refused, c.Devices()) }, "[10.100.0.1 10.100.0.9] []"},
		{"no identity for no group", "", func(c *Config) any { return len(c.Identity("nobody").Addresses) }, 0},
		{"no sessions", "", func(c *Config) any { return c.Sessions == nil && !c.NAT().Sessions }, true},
		{"a relative secret file", "[sessions]\nlisten=\"10.255.0.1:7788\"\npeers=[{name=\"gw2\",address=\"[2001:db8::2]:7788\"}]\nsecret_file=\"keys/secret\"",
			func(c *Config) any { return c.Sessions.SecretFile }, "/etc/understudy/keys/secret"},
		{"the default mode", sessions, func(c *Config) any { return c.Sessions.Mode }, session.ModeHybrid},
		{"a mode is a set of knobs", sessions + "mode = \"log-optimistic\"", func(c *Config) any { return c.Sessions.Knobs },
			session.Knobs{Every: time.Second, Batch: 256, Disk: session.DiskAlways, Ack: session.AckNone}},
		{"some of which can be chosen", sessions + "mode = \"log-optimistic\"\nevery = \"250ms\"\nbatch = 2", func(c *Config) any { return c.Sessions.Knobs },
			session.Knobs{Every: 250 * time.Millisecond, Batch: 2, Disk: session.DiskAlways, Ack: session.AckNone}},
		{"a dump each minute", sessions + "mode = \"periodic\"\nevery = \"1m\"", func(c *Config) any { return c.Sessions.Knobs }, session.Knobs{Every: time.Minute, Dump: true}},
		{"sessions in the table alone", sessions + "install = \"takeover\"", func(c *Config) any { return c.Sessions.Install }, InstallTakeover},
		{"what a leader tells has no age", sessions + "mode = \"leader-follower\"\n[[sessions.class]]\nmin_age = \"0s\"", func(c *Config) any { return c.Sessions.Knobs.Early }, true},
		{"the election", "", func(c *Config) any {
			r := c.Election().Routers[0]
			return strings.TrimSpace(fmt.Sprintln(r.Name, r.Interface, r.VRID, r.Priority, r.Version, r.Interval, r.Preempt, r.PreemptDelay, r.Accept, r.Checksum, r.Addresses, r.Family))
		}, "lan lan0 51 100 3 1s true 0s true auto [10.0.0.1] 4"},
	}
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			got := row.got(parse(t, "/etc/understudy/understudy.toml", twoRouters+row.more))
			if !reflect.DeepEqual(row.want, got) {
				t.Errorf("want %#v, got %#v", row.want, got)
			}
		})
	}
}

// router returns one more router.
func router(name, more string) string {
	n := int(name[0])
	return fmt.Sprintf("\n[[router]]\nname=%q\ninterface=\"eth0\"\nvrid=%d\naddresses=[\"10.%d.0.1/24\"]\n%s\n", name, n, n, more)
}

// check returns one more check.
func check(name, more string) string {
	return fmt.Sprintf("\n[[check]]\nname=%q\nkind=\"file\"\npath=\"/run/%s\"\n%s\n", name, name, more)
}

// TestHash: it is the same where nodes agree, and no other where they do not.
func TestHash(t *testing.T) {
	nat := "[nat]\nsource=[{from=\"10.0.0.0/24\",out=\"wan0\",to=\"203.0.113.1\"}]\nforward=[{address=\"203.0.113.1:80/tcp\",to=\"10.0.0.9:80\"}]\n[[group]]\nname=\"gw\"\nrouters=[\"lan\",\"wan\"]\n"
	base := twoRouters + nat
	want := parse(t, "f", base).Hash()
	rows := []struct {
		name, from, to string
		same           bool
	}{
		{"the node", `node = "gw1"`, `node = "gw2"`, true},
		{"an interface", "wan0", "enp1s0", true},
		{"a priority", "name = \"lan\"", "name = \"lan\"\npriority = 7", true},
		{"an interval", "name = \"lan\"", "name = \"lan\"\nadvertise = \"10ms\"", true},
		{"a router's name", `"lan"`, `"inside"`, true},
		{"the order of members", `["lan","wan"]`, `["wan","lan"]`, true},
		{"a VRID", "vrid = 51\naddresses = [\"10", "vrid = 52\naddresses = [\"10", false},
		{"an address", "10.0.0.1/24", "10.0.0.5/24", false},
		{"a virtual MAC", "name = \"lan\"", "name = \"lan\"\nmac = \"virtual\"", false},
		{"whether it is talked to", "name = \"lan\"", "name = \"lan\"\naccept = false", false},
		{"a prefix length", "10.0.0.1/24", "10.0.0.1/25", false},
		{"a group's name", `"gw"`, `"gateway"`, false},
		{"a network inside", "10.0.0.0/24", "10.0.0.0/23", false},
		{"a server", "10.0.0.9:80", "10.0.0.9:81", false},
		{"a protocol", "80/tcp", "80/udp", false},
		{"a public address", `to="203.0.113.1"`, `to="203.0.113.9"`, false},
		{"the way out", `out="wan0"`, `out="lan0"`, false},
	}
	for _, row := range rows {
		src := strings.ReplaceAll(base, row.from, row.to)
		if src == base {
			t.Errorf("%s: nothing changed", row.name)
		}
		if got := parse(t, "f", src).Hash(); (got == want) != row.same {
			t.Errorf("%s: want the same hash %v\n%s", row.name, row.same, parse(t, "f", src).Agreement())
		}
	}
}

// TestLoad reads real files.
func TestLoad(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "gw.toml")
	secret := filepath.Join(dir, "secret")
	src := twoRouters + "[sessions]\nlisten=\"10.255.0.1:7788\"\npeers=[{name=\"gw2\",address=\"10.255.0.2:7788\"}]\nsecret_file=\"secret\"\n"
	write := func(path, content string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	refused := func(want string) {
		t.Helper()
		if _, err := Load(path); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}

	if _, err := Load(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("want that there is no file, got %v", err)
	}
	write(path, src, 0o644)
	refused(path + ":16: sessions.secret_file: " + secret + " does not exist; ")
	write(secret, goodSecret, 0o640)
	refused(secret + " has mode 0640: others than its owner can use it; chmod 600 " + secret)
	write(secret, goodSecret+goodSecret, 0o600)
	refused("not a cluster secret")
	write(secret, strings.Repeat("x", 8192), 0o600)
	refused("larger than")
	write(secret, goodSecret, 0o600)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := string(c.Sessions.Secret[0][:]); got != "0123456789abcdef0123456789abcdef" {
		t.Errorf("secret is %q", got)
	}
	if got := fmt.Sprintf("%v %+v %#v", c.Sessions, *c.Sessions, *c.Sessions); strings.Contains(got, "0x30, 0x31") || strings.Contains(got, "48 49 50") {
		t.Errorf("the secret is shown: %s", got)
	}
	if _, err := Load(dir); err == nil {
		t.Error("a directory is no configuration")
	}
}

// TestSecret: what is a secret and what is not, and no message shows it.
func TestSecret(t *testing.T) {
	fresh, err := NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, SecretSize)))
	if err != nil {
		t.Fatal(err)
	}
	if s, err := ParseSecret([]byte(fresh)); err != nil || s[0][0] != 7 {
		t.Errorf("cannot read what it wrote: %v %v", s, err)
	}
	if _, err := NewSecret(strings.NewReader("short")); err == nil {
		t.Error("made a secret of too few bytes")
	}
	line := strings.TrimSuffix(goodSecret, "\n")
	for _, row := range []struct {
		name, content string
		keys          int
	}{
		{"one", line, 1},
		{"one with CR", line + "\r\n", 1},
		{"two, while rotating", fresh + goodSecret, 2},
		{"three", fresh + goodSecret + fresh, 0},
		{"the same twice", goodSecret + goodSecret, 0},
		{"empty", "", 0},
		{"an empty line", goodSecret + "\n", 0},
		{"hex", strings.Repeat("0f", 32), 0},
		{"too short", line[4:], 0},
		{"31 bytes", line[:42] + "==", 0},
		{"stray bits at the end", line[:42] + "Z=", 0},
		{"a blank before", " " + line[:43], 0},
		{"zero", strings.Repeat("A", 43) + "=", 0},
		{"comment", "# secret\n" + line, 0},
	} {
		s, err := ParseSecret([]byte(row.content))
		if len(s) != row.keys || (err == nil) != (row.keys > 0) {
			t.Errorf("%s: want %d keys, got %d, %v", row.name, row.keys, len(s), err)
		}
	}
}
