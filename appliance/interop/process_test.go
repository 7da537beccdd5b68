package interop

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"understudy/appliance/lab"
)

// daemon is a keepalived, theirs or ours, in a machine of its own.
type daemon struct {
	*scene
	*lab.Node
	binary  string
	manager string // socket of the service manager; "": there is none
}

// Where its files are; /tmp is not a machine's own.
const (
	daemonConf = "/run/keepalived.conf"
	daemonTmp  = "/run/tmp"
	daemonLog  = "/run/ka.log"
)

// asKeepalived is the program under test by its other name.
func (s *scene) asKeepalived() string {
	s.t.Helper()
	link := filepath.Join(s.t.TempDir(), "keepalived")
	s.must(os.Symlink(program, link))
	return link
}

func (s *scene) daemon(name, binary string) *daemon {
	s.t.Helper()
	d := &daemon{scene: s, Node: s.Node(name), binary: binary}
	_, err := d.Join(s.Segment(name), "eth0", "10.254.0.1/24")
	s.must(err)
	s.must(d.WriteFile(daemonTmp+"/.keep", nil, 0o644))
	return d
}

// run runs it, and returns how it ended.
func (d *daemon) run(args ...string) (code int, output string) {
	d.t.Helper()
	cmd := exec.Command(d.binary, args...)
	cmd.Env = append(os.Environ(), "TMPDIR="+daemonTmp, "NOTIFY_SOCKET="+d.manager)
	p, err := d.StartWith(cmd)
	d.must(err)
	select {
	case <-p.Done():
	case <-time.After(patience):
		d.t.Fatalf("%s: %v does not end", d.Name, args)
	}
	var exit *exec.ExitError
	if err := p.Err(); errors.As(err, &exit) {
		code = exit.ExitCode()
	} else if err != nil {
		d.t.Fatal(err)
	}
	return code, string(p.Output())
}

func (d *daemon) file(inside string) (string, error) {
	path, err := d.Path(inside)
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

func (d *daemon) pid(file string) (int, error) {
	text, err := d.file(file)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(strings.TrimSpace(text))
}

// signal sends one of its signals to the process that the pid file names, as an
// exporter does.
func (d *daemon) signal(n int) {
	d.t.Helper()
	pid, err := d.pid("/run/keepalived.pid")
	d.must(err)
	p, err := d.Start("/bin/kill", fmt.Sprintf("-%d", n), strconv.Itoa(pid))
	d.must(err)
	<-p.Done()
	d.must(p.Err())
}

// manage is a service manager for the machine's process; news returns what it was told.
func (d *daemon) manage() (news func() []string) {
	d.t.Helper()
	d.manager = filepath.Join(d.t.TempDir(), "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: d.manager, Net: "unixgram"})
	d.must(err)
	d.t.Cleanup(func() { c.Close() })
	return func() (list []string) {
		for {
			b := make([]byte, 4096)
			d.must(c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))) // it has been said by now
			n, err := c.Read(b)
			if err != nil {
				return list
			}
			list = append(list, string(b[:n]))
		}
	}
}

// shell runs a line of shell in the machine and returns what it writes.
func (d *daemon) shell(line string) string {
	d.t.Helper()
	p, err := d.Start("/bin/sh", "-c", line)
	d.must(err)
	<-p.Done()
	d.must(p.Err())
	return string(p.Output())
}

// dump asks for a dump and returns it. What lay there is taken away first.
func (d *daemon) dump(name string, signal int) string {
	d.t.Helper()
	path := filepath.Join(daemonTmp, "keepalived."+name)
	outside, err := d.Path(path)
	d.must(err)
	_ = os.Remove(outside)
	var text string
	var asked time.Time
	d.wait(d.Name+"'s "+name, func() (err error) {
		if time.Since(asked) > time.Second { // nobody may have been there to hear it
			d.signal(signal)
			asked = time.Now()
		}
		if text, err = d.file(path); err == nil && !strings.HasSuffix(text, "\n") {
			err = errors.New("it is being written")
		}
		return err
	})
	return text
}

func (d *daemon) json() map[string]exported {
	d.t.Helper()
	out, err := exportJSON(d.dump("json", 36))
	d.must(err)
	return out
}

// is waits until all its instances are in a state.
func (d *daemon) is(state int, names ...string) {
	d.t.Helper()
	d.wait(fmt.Sprintf("%s to be %s", d.Name, exportedStates[state]), func() error {
		got := d.json()
		for _, n := range names {
			if got[n].State != state || got[n].Name != n {
				return fmt.Errorf("%+v", got)
			}
		}
		return nil
	})
}

const processConf = `global_defs {
  router_id R1
  script_user root
  enable_script_security
  vrrp_version 3
}
vrrp_script good {
  script "/usr/bin/true 'a b'"
  interval 1
  weight 5
}
vrrp_script bad {
  script "/usr/bin/false"
  interval 1
  weight 3
}
vrrp_instance VI_1 {
  interface eth0
  virtual_router_id 51
  priority 100
  advert_int 0.2
  virtual_ipaddress {
    10.254.0.9/24
    10.254.0.10
  }
  virtual_ipaddress_excluded {
    10.254.0.11
  }
  track_script {
    good
    bad
  }
}
vrrp_instance VI_2 {
  interface eth0
  virtual_router_id 52
  priority 150
  advert_int 0.2
  virtual_ipaddress {
    10.254.0.19/24
  }
}
`

// TestKeepalivedProcess: what stands around a keepalived, units, exporters, whoever
// reads the log, finds the same with ours in its place: beside 2.2.7, through a life.
func TestKeepalivedProcess(t *testing.T) {
	s := newScene(t)
	ours := s.daemon("ours", s.asKeepalived())
	theirs := s.daemon("theirs", s.tool("keepalived", "/usr/sbin/keepalived"))
	t.Cleanup(func() {
		if t.Failed() {
			for _, name := range []string{daemonLog, "/run/ka_vrrp.log"} {
				text, _ := ours.file(name)
				t.Logf("ours, %s:\n%s", name, text)
			}
		}
	})
	both := []*daemon{theirs, ours}
	for _, d := range both {
		if code, out := d.run("-n", "-l", "-f", daemonConf); code != 6 {
			t.Errorf("%s without a configuration: exit code %d\n%s", d.Name, code, out)
		}
		d.must(d.WriteFile(daemonConf, []byte(processConf), 0o644))
	}
	// Debian's keepalived writes no log files, so it stays in the foreground.
	cmd := exec.Command(theirs.binary, "-n", "-l", "-D", "-f", daemonConf)
	cmd.Env = append(os.Environ(), "TMPDIR="+daemonTmp)
	shown, err := theirs.StartWith(cmd)
	s.must(err)
	news := ours.manage()
	if code, out := ours.run("-D", "-f", daemonConf, "-g"+daemonLog, "-G"); code != 0 {
		t.Fatalf("into the background: exit code %d\n%s", code, out)
	}
	// The files are there when the first process has ended.
	for _, name := range []string{"/run/keepalived.pid", "/run/vrrp.pid"} {
		if pid, err := ours.pid(name); err != nil || pid <= 0 {
			t.Errorf("%s: %d, %v", name, pid, err)
		}
	}
	for _, d := range both {
		d.wait(d.Name+"'s pid file", func() error { _, err := d.pid("/run/keepalived.pid"); return err })
		d.is(2, "VI_1", "VI_2")
		// 2.2.7 says so and ends with 0; a unit that believes that waits for nothing.
		if code, out := d.run("-n", "-l", "-f", daemonConf); !strings.Contains(out, "daemon is already running") || d == ours && code != 1 {
			t.Errorf("%s a second time: exit code %d\n%s", d.Name, code, out)
		}
	}
	// Who goes by the name of the process finds it.
	if got := ours.shell("cat /proc/$(cat /run/keepalived.pid)/comm"); got != "keepalived\n" {
		t.Errorf("the process is called %q", got)
	}

	// The dumps, as exporters read them.
	for what, read := range map[string]func(d *daemon) any{
		"json":    func(d *daemon) any { return d.json() },
		"data":    func(d *daemon) any { out, err := exportData(d.dump("data", 10)); d.must(err); return out },
		"scripts": func(d *daemon) any { return exportScripts(d.dump("data", 10)) },
		"stats":   func(d *daemon) any { out, err := exportStats(d.dump("stats", 12)); d.must(err); return out },
	} {
		s.wait(what+" to be the same", func() error { // a script may run just now, a state be a moment old
			if diff := cmp.Diff(steady(read(theirs)), steady(read(ours))); diff != "" {
				return fmt.Errorf("-theirs +ours\n%s", diff)
			}
			return nil
		})
	}

	// A reload that renames an instance, adds an address and changes a priority.
	renamed := strings.NewReplacer("VI_2", "VI_9", "10.254.0.19/24", "10.254.0.19/24\n    10.254.0.20", "priority 150", "priority 140", "router_id R1", "router_id R2").Replace(processConf)
	for _, d := range both {
		before := d.json()
		d.must(d.WriteFile(daemonConf, []byte(renamed), 0o644))
		d.signal(1)
		d.wait(d.Name+" to have reloaded", func() error {
			if got := d.json(); len(got["VI_9"].VIPs) != 2 {
				return fmt.Errorf("%+v", got)
			}
			return nil
		})
		now := d.json()
		for _, pair := range [][2]exported{{before["VI_2"], now["VI_9"]}, {before["VI_1"], now["VI_1"]}} {
			// To 2.2.7 the reload is the last transition, though there was none.
			if was, is := pair[0], pair[1]; is.State != 2 || is.Stats["become_master"] != 1 || d == ours && is.Transition != was.Transition {
				t.Errorf("%s: what was\n%+v is\n%+v", d.Name, was, is)
			}
		}
	}

	// The daemon may die after that, and does not take the new name for a new router.
	ours.shell("kill -9 $(cat /proc/$(cat /run/keepalived.pid)/task/*/children)")
	ours.wait("another daemon", func() error {
		out, err := exportJSON(ours.dump("json", 36))
		if err == nil && (out["VI_9"].State != 2 || out["VI_9"].Stats["become_master"] != 1) {
			t.Fatalf("after the death of the daemon: %+v", out)
		}
		return err
	})

	// Nor does the election's death hide the process from those who go by its files.
	old, err := ours.pid("/run/keepalived.pid")
	s.must(err)
	ours.signal(9)
	ours.wait("another election", func() error {
		now, err := ours.pid("/run/vrrp.pid")
		if err == nil && now == old {
			err = errors.New("the files name the dead one")
		}
		return err
	})
	ours.is(2, "VI_1", "VI_9")
	if got := ours.shell("cat /proc/$(cat /run/keepalived.pid)/comm"); got != "keepalived\n" {
		t.Errorf("the process is called %q", got)
	}

	// A file of which nothing is left ends nobody.
	ours.must(ours.WriteFile(daemonConf, []byte("vrrp_instance VI_9 {\n  interface eth0\n"), 0o644))
	ours.signal(1)
	ours.wait("the refusal", func() error {
		text, err := ours.file("/run/ka_vrrp.log")
		if err == nil && !strings.Contains(text, "reload refused") {
			err = errors.New("not yet")
		}
		return err
	})
	ours.is(2, "VI_1", "VI_9")

	for _, d := range both {
		d.signal(63)
		d.wait(d.Name+" to have cleared its counters", func() error {
			got, err := exportStats(d.dump("stats", 12))
			if err == nil && (got["VI_1"]["become_master"] != 0 || got["VI_1"]["advert_sent"] > 50) {
				err = fmt.Errorf("%v", got)
			}
			return err
		})
	}

	for _, d := range both {
		d.signal(15)
		d.wait(d.Name+" to be gone", func() error {
			if _, err := d.file("/run/keepalived.pid"); !errors.Is(err, os.ErrNotExist) {
				return fmt.Errorf("its pid file is still there: %v", err)
			}
			return nil
		})
		addresses, err := d.Link("eth0").Addrs()
		d.must(err)
		for _, a := range addresses {
			if a.Addr().Is4() && a.String() != "10.254.0.1/24" {
				t.Errorf("%s has left %v", d.Name, addresses)
			}
		}
	}

	// What systemd was told, by whichever process was the main one.
	told := news()
	for _, want := range []string{"READY=1", "RELOADING=1\nMONOTONIC_USEC=", "READY=1", "MAINPID=", "RELOADING=1\nMONOTONIC_USEC=", "READY=1", "STOPPING=1"} {
		i := slices.IndexFunc(told, func(s string) bool { return strings.HasPrefix(s, want) })
		if i < 0 {
			t.Errorf("systemd was not told %q after what came before; left: %q", want, told)
			break
		}
		told = told[i+1:]
	}

	// What people look for in the log.
	for _, d := range both {
		text := string(shown.Output())
		parent := text
		if d == ours {
			text, err = d.file("/run/ka_vrrp.log")
			d.must(err)
			parent, err = d.file(daemonLog)
			d.must(err)
		}
		for _, want := range []string{"(VI_1) Entering BACKUP STATE (init)", "(VI_1) Receive advertisement timeout", "(VI_1) Entering MASTER STATE", "(VI_1) setting VIPs.",
			"(VI_1) Changing effective priority from 100 to 105", "VRRP_Script(good) succeeded", "VRRP_Script(bad) failed (exited with status 1)",
			"(VI_9) sent 0 priority", "(VI_9) removing VIPs."} {
			if n := strings.Count(text, want); n == 0 {
				t.Errorf("%s's log has no line %q:\n%s", d.Name, want, text)
			}
		}
		if n := strings.Count(text, "Entering MASTER STATE"); n != 2 {
			t.Errorf("%s entered MASTER %d times:\n%s", d.Name, n, text)
		}
		for _, want := range []string{"Starting Keepalived v", "Reloading ...", "Stopping", "Stopped Keepalived v"} {
			if !strings.Contains(parent, want) {
				t.Errorf("%s's log has no line %q:\n%s", d.Name, want, parent)
			}
		}
	}
}

// steady leaves out what is not the same at two moments.
func steady(v any) any {
	switch v := v.(type) {
	case map[string]exported:
		for k, e := range v {
			e.Transition = 0
			e.Stats = steady(map[string]map[string]int{k: e.Stats}).(map[string]map[string]int)[k]
			v[k] = e
		}
	case map[string]map[string]int:
		for _, stats := range v {
			if stats["advert_sent"] > 0 {
				stats["advert_sent"] = 1
			}
		}
	}
	return v
}
