package installed

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/machine"
)

// build makes the packages of a version and returns their directory.
func build(t *testing.T, version string) string {
	t.Helper()
	return begin(t, version)()
}

// begin begins to make the packages of a version; the end is waited for, and their
// directory returned, by what it returns.
func begin(t *testing.T, version string) (end func() string) {
	t.Helper()
	dir := t.TempDir()
	var said bytes.Buffer
	c := exec.Command("../../../.ci/packages", version, dir)
	c.Stdout, c.Stderr = &said, &said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	wait := sync.OnceValue(c.Wait)
	t.Cleanup(func() { wait() }) // before its directory goes
	return func() string {
		t.Helper()
		if err := wait(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, said.String())
		}
		return dir
	}
}

// one is the one file that a pattern names.
func one(t *testing.T, dir, pattern string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, pattern))
	if err != nil || len(names) != 1 {
		t.Fatalf("%s in %s: %q (%v)", pattern, dir, names, err)
	}
	return names[0]
}

const gateway = `
node = "gw1"

[[router]]
name = "lan"
interface = "lan0"
vrid = 51
priority = 200
advertise = "100ms"
addresses = ["10.0.0.1/24"]

[[group]]
name = "gateway"
routers = ["lan"]

[nat]
source = [{ from = "192.168.7.0/24", out = "lan0", to = "10.0.0.1" }]
`

// unlisted are directories in which a package manager keeps its books, and what is not
// on disk. Whatever else is new after a removal was left behind.
var unlisted = []string{"/var/lib/dpkg", "/var/lib/rpm", "/var/log", "/var/cache", "/run", "/tmp", "/proc", "/sys", "/dev", "/root", "/incoming"}

// TestPackages: installed, used, upgraded, taken off.
func TestPackages(t *testing.T) {
	lab.Require(t)
	first, again, second := build(t, "v1.0.0"), build(t, "v1.0.0"), build(t, "v1.1.0")

	t.Run("built twice is the same", func(t *testing.T) {
		a, errA := os.ReadFile(filepath.Join(first, "SHA256SUMS"))
		b, errB := os.ReadFile(filepath.Join(again, "SHA256SUMS"))
		if errA != nil || errB != nil || string(a) != string(b) || strings.Count(string(a), "\n") != 6 {
			t.Errorf("%v %v\n%s\n%s", errA, errB, a, b)
		}
	})
	t.Run("bill of materials", func(t *testing.T) {
		text, err := os.ReadFile(one(t, first, "*.cdx.json"))
		if err != nil {
			t.Fatal(err)
		}
		var bill struct {
			BOMFormat  string
			Components []struct{ Name, Version string }
		}
		if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
			t.Fatalf("%v: %.200s", err, text)
		}
		for _, name := range []string{"github.com/vishvananda/netlink", "github.com/google/nftables", "std"} {
			if !slices.ContainsFunc(bill.Components, func(c struct{ Name, Version string }) bool { return c.Name == name && c.Version != "" }) {
				t.Errorf("%s is in the program, and not in its bill of materials", name)
			}
		}
	})

	m := machine.Boot(t)
	m.Run("ip", "link", "add", "lan0", "type", "veth", "peer", "name", "far0")
	m.Run("ip", "addr", "add", "10.0.0.2/24", "dev", "lan0")
	m.Run("ip", "link", "set", "lan0", "up")
	m.Run("ip", "link", "set", "far0", "up")
	before := m.Written(unlisted...)

	t.Run("deb", func(t *testing.T) {
		m := m.For(t)
		said := m.Run("dpkg", "--install", m.Copy(one(t, first, "understudy_*.deb"), "/incoming"))
		if !strings.Contains(said, "systemctl enable --now understudy") {
			t.Errorf("an installation says what comes next:\n%s", said)
		}
		if out := m.Run("systemctl", "cat", "understudy"); !strings.Contains(out, "ExecStart=/usr/bin/understudy run") {
			t.Errorf("systemctl cat:\n%s", out)
		}
		if out := m.Run("understudy", "version"); !strings.Contains(out, "v1.0.0") {
			t.Errorf("version: %s", out)
		}
		if out, _ := m.Try("systemctl", "is-enabled", "understudy"); strings.TrimSpace(out) != "disabled" {
			t.Errorf("a service nobody asked for is %s", out)
		}
		// Without a configuration it says what is missing.
		if out, _ := m.Try("systemctl", "start", "understudy"); !strings.Contains(out, "failed") {
			t.Errorf("started without a configuration:\n%s", out)
		}
		if out := m.Run("journalctl", "-u", "understudy", "--no-pager"); !strings.Contains(out, "/etc/understudy/understudy.toml") {
			t.Errorf("the journal does not say which file is missing:\n%s", out)
		}
		m.Try("systemctl", "stop", "understudy")
		m.Try("systemctl", "reset-failed", "understudy")
	})
	t.Run("service", func(t *testing.T) { service(t, m.For(t)) })
	t.Run("upgrade", func(t *testing.T) {
		m := m.For(t)
		was := look(t, m)
		m.Run("dpkg", "--install", m.Copy(one(t, second, "understudy_*.deb"), "/incoming"))
		is := lookFor(t, m, "v1.1.0")
		if is.main != was.main || is.status.Routers[0].State != was.status.Routers[0].State || is.status.Routers[0].Transitions != was.status.Routers[0].Transitions {
			t.Errorf("the role moved: %+v, was %+v", is, was)
		}
	})
	t.Run("watchdog", func(t *testing.T) { watchdog(t, m.For(t)) })
	t.Run("stop", func(t *testing.T) {
		m := m.For(t)
		m.Run("systemctl", "stop", "understudy")
		if has(m, "10.0.0.1") {
			t.Errorf("the address is left after a stop")
		}
	})
	t.Run("purge", func(t *testing.T) {
		m := m.For(t)
		m.Run("systemctl", "start", "understudy")
		m.Run("dpkg", "--remove", "understudy") // a running one
		if has(m, "10.0.0.1") {
			t.Errorf("the address is left after a removal")
		}
		if _, err := os.Stat(m.Path("/etc/understudy/understudy.toml")); err != nil {
			t.Errorf("a removal took what people wrote: %v", err)
		}
		m.Run("rm", "/etc/understudy/understudy.toml")
		m.Run("dpkg", "--purge", "understudy")
		traces(t, m, before)
	})
	t.Run("rpm", func(t *testing.T) {
		m := m.For(t)
		m.Run("rpm", "--install", "--nodeps", m.Copy(one(t, first, "understudy-1*.rpm"), "/incoming"))
		if out := m.Run("systemctl", "cat", "understudy"); !strings.Contains(out, "ExecStart=/usr/bin/understudy run") {
			t.Errorf("systemctl cat:\n%s", out)
		}
		m.Write("/etc/understudy/understudy.toml", gateway, 0o600)
		m.Run("systemctl", "start", "understudy")
		m.Run("rpm", "--upgrade", "--nodeps", m.Copy(one(t, second, "understudy-1*.rpm"), "/incoming"))
		lookFor(t, m, "v1.1.0")
		m.Run("rm", "/etc/understudy/understudy.toml")
		m.Run("rpm", "--erase", "understudy")
		traces(t, m, before)
	})
	t.Run("keepalived", func(t *testing.T) { inPlaceOfKeepalived(t, m.For(t), second) })
}

// traces compares the files with those of before.
func traces(t *testing.T, m *machine.Machine, before []string) {
	t.Helper()
	for _, name := range m.Written(unlisted...) {
		if !slices.Contains(before, name) {
			t.Errorf("left behind: %s", name)
		}
	}
	for _, name := range []string{"/run/understudy", "/run/systemd/system/understudy.service"} {
		if _, err := os.Stat(m.Path(name)); err == nil {
			t.Errorf("left behind: %s", name)
		}
	}
	if out, _ := m.Try("nft", "list", "tables"); strings.Contains(out, "understudy") {
		t.Errorf("left in the kernel: %s", out)
	}
	if out, _ := m.Try("systemctl", "cat", "understudy"); !strings.Contains(out, "No files found") {
		t.Errorf("the unit is still there:\n%s", out)
	}
}

// seen is how a node stands.
type seen struct {
	status appliance.Status
	main   string // number of the service's main process
}

// look asks until the node is the active one.
func look(t *testing.T, m *machine.Machine) seen { t.Helper(); return lookFor(t, m, "") }

// lookFor asks until the node is the active one, and of a version; "": of whichever.
func lookFor(t *testing.T, m *machine.Machine, version string) seen {
	t.Helper()
	var s seen
	var out string
	eventually(t, func() bool {
		var err error
		if out, err = m.Try("understudy", "status", "--json"); err != nil {
			return false
		}
		s = seen{main: strings.TrimSpace(m.Run("systemctl", "show", "-p", "MainPID", "--value", "understudy"))}
		return json.Unmarshal([]byte(out), &s.status) == nil && len(s.status.Routers) == 1 && s.status.Routers[0].State == "active" &&
			(version == "" || s.status.Version == version)
	}, func() string {
		said, _ := m.Try("journalctl", "-u", "understudy", "-n", "40", "--no-pager")
		return out + "\n" + said
	})
	return s
}

func eventually(t *testing.T, ok func() bool, why func() string) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !ok(); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute:\n%s", why())
		}
	}
}

// service: started by systemd, it is up when it takes part, it is reloaded, and a refused
// file changes nothing.
func service(t *testing.T, m *machine.Machine) {
	m.Write("/etc/understudy/understudy.toml", gateway, 0o600)
	m.Run("understudy", "check")
	m.Run("systemctl", "enable", "--now", "understudy")
	is := look(t, m)
	if is.main == "" || is.main == "0" {
		t.Errorf("the service's main process is %q", is.main)
	}
	eventually(t, func() bool { return has(m, "10.0.0.1") }, func() string { return "the address is not there" })
	// Its programs run within what the unit leaves them.
	if out := m.Run("systemctl", "show", "-p", "WatchdogUSec,NRestarts,Result,SubState", "understudy"); !strings.Contains(out, "SubState=running") ||
		!strings.Contains(out, "NRestarts=0") || !strings.Contains(out, "WatchdogUSec=30s") {
		t.Errorf("%s", out)
	}
	if out := m.Run("cat", "/proc/"+is.main+"/status"); !strings.Contains(out, "NoNewPrivs:\t1") || !strings.Contains(out, "Seccomp:\t2") {
		t.Errorf("the process is not held by its unit:\n%s", out)
	}
	m.Write("/etc/understudy/understudy.toml", strings.ReplaceAll(gateway, `"10.0.0.1/24"`, `"10.0.0.1/24", "10.0.0.9/24"`), 0o600)
	m.Run("systemctl", "reload", "understudy")
	eventually(t, func() bool { return has(m, "10.0.0.9") && has(m, "10.0.0.1") }, func() string { return "after a reload the addresses are not both there" })
	m.Write("/etc/understudy/understudy.toml", gateway+"\nnonsense = 1\n", 0o600)
	m.Refused("systemctl", "reload", "understudy")
	if now := look(t, m); now.main != is.main || now.status.Routers[0].Transitions != is.status.Routers[0].Transitions || now.status.ReloadError == "" {
		t.Errorf("after a refused reload: %+v, was %+v", now, is)
	}
	m.Write("/etc/understudy/understudy.toml", gateway, 0o600)
	m.Run("systemctl", "reload", "understudy")
	eventually(t, func() bool { return !has(m, "10.0.0.9") }, func() string { return "the address that was taken out of the file is still there" })
}

// has says whether the machine's interface has an address.
func has(m *machine.Machine, address string) bool {
	return strings.Contains(m.Run("ip", "-brief", "addr", "show", "lan0"), " "+address+"/")
}

// watchdog: a daemon that dies comes back by itself, and so does an election that hangs;
// if both hang, systemd ends them, and starts anew.
func watchdog(t *testing.T, m *machine.Machine) {
	was := look(t, m)
	m.Run("pkill", "-KILL", "-f", "^understudy daemon")
	eventually(t, func() bool {
		_, err := m.Try("understudy", "status")
		return err == nil
	}, func() string { return "no daemon" })
	if now := look(t, m); now.main != was.main || now.status.Routers[0].Transitions != was.status.Routers[0].Transitions {
		t.Errorf("the role moved with the daemon's death: %+v, was %+v", now, was)
	}
	m.Write("/run/systemd/system/understudy.service.d/fast.conf", "[Service]\nWatchdogSec=3s\n", 0o644)
	m.Run("systemctl", "daemon-reload")
	m.Run("systemctl", "restart", "understudy")
	was = look(t, m)
	m.Run("pkill", "-STOP", "-f", "^understudy daemon")
	m.Run("kill", "-STOP", was.main)
	var out string
	eventually(t, func() bool {
		out = m.Run("systemctl", "show", "-p", "NRestarts", "--value", "understudy")
		return strings.TrimSpace(out) != "0"
	}, func() string { return "restarts: " + out })
	if now := look(t, m); now.main == was.main {
		t.Errorf("the process %s that hung is still the service's", was.main)
	}
	m.Run("rm", "-r", "/run/systemd/system/understudy.service.d")
	m.Run("systemctl", "daemon-reload")
}

const keepalivedConf = `
vrrp_instance lan {
    state MASTER
    interface lan0
    virtual_router_id 51
    priority 200
    advert_int 1
    virtual_ipaddress {
        10.0.0.1/24
    }
}
`

// inPlaceOfKeepalived: Debian's keepalived serves; ours is installed, which takes it off
// and goes on by its name, its unit and its files.
func inPlaceOfKeepalived(t *testing.T, m *machine.Machine, packages string) {
	m.Write("/etc/keepalived/keepalived.conf", keepalivedConf, 0o644)
	m.Write("/etc/default/keepalived", "DAEMON_ARGS=\"-D\"\n", 0o644)
	journal := func() string {
		out, _ := m.Try("journalctl", "-u", "keepalived", "-n", "40", "--no-pager")
		return out
	}
	serves := func(address string) {
		t.Helper()
		eventually(t, func() bool { return has(m, address) }, journal)
	}
	m.Run("systemctl", "enable", "--now", "keepalived")
	serves("10.0.0.1")
	if out := m.Run("cat", "/proc/"+mainOf(m)+"/comm"); !strings.HasPrefix(out, "keepalived") {
		t.Fatalf("Debian's keepalived is not what runs: %s", out)
	}

	said := m.Run("dpkg", "--install", m.Copy(one(t, packages, "understudy_*.deb"), "/incoming"), m.Copy(one(t, packages, "understudy-keepalived_*.deb"), "/incoming"))
	if !strings.Contains(said, "Removing keepalived") {
		t.Errorf("keepalived was not taken off:\n%s", said)
	}
	serves("10.0.0.1")
	if out, err := os.Readlink(m.Path("/proc/" + mainOf(m) + "/exe")); err != nil || out != "/usr/bin/understudy" {
		t.Errorf("what runs is %s (%v)", out, err)
	}
	if out := journal(); !strings.Contains(out, "(lan) Entering MASTER STATE") {
		t.Errorf("the journal has no such line:\n%s", out)
	}
	if out := m.Run("systemctl", "is-enabled", "keepalived"); strings.TrimSpace(out) != "enabled" {
		t.Errorf("at the next boot it is %s", out)
	}
	was := mainOf(m)
	m.Write("/etc/keepalived/keepalived.conf", strings.ReplaceAll(keepalivedConf, "10.0.0.1/24", "10.0.0.1/24\n        10.0.0.9/24"), 0o644)
	m.Run("systemctl", "reload", "keepalived")
	serves("10.0.0.9")
	if is := mainOf(m); is != was {
		t.Errorf("a reload took another process: %s, was %s", is, was)
	}
	m.Run("systemctl", "stop", "keepalived")
	if has(m, "10.0.0.1") || has(m, "10.0.0.9") {
		t.Errorf("addresses are left after a stop: %s", m.Run("ip", "-brief", "addr", "show", "lan0"))
	}
	m.Run("dpkg", "--purge", "understudy-keepalived", "understudy")
	if _, err := m.Try("test", "-e", "/usr/sbin/keepalived"); err == nil {
		t.Errorf("the command keepalived is left")
	}
}

// mainOf is the main process of the service keepalived.
func mainOf(m *machine.Machine) string {
	return strings.TrimSpace(m.Run("systemctl", "show", "-p", "MainPID", "--value", "keepalived"))
}
