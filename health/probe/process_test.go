package probe_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/health/probe"
)

// procfs is a made-up /proc.
type procfs string

func (p procfs) add(t *testing.T, pid int, comm string, state byte, argv ...string) {
	t.Helper()
	dir := filepath.Join(string(p), fmt.Sprint(pid))
	must(t, os.MkdirAll(dir, 0o700))
	must(t, os.WriteFile(filepath.Join(dir, "stat"), fmt.Appendf(nil, "%d (%s) %c 1 %d", pid, comm, state, pid), 0o600))
	line := ""
	for _, a := range argv {
		line += a + "\x00"
	}
	must(t, os.WriteFile(filepath.Join(dir, "cmdline"), []byte(line), 0o600))
}

func (p procfs) remove(t *testing.T, pid int) {
	t.Helper()
	must(t, os.RemoveAll(filepath.Join(string(p), fmt.Sprint(pid))))
}

func TestProcess(t *testing.T) {
	proc := procfs(t.TempDir())
	proc.add(t, 1, "systemd", 'S', "/sbin/init")
	proc.add(t, 7, "kworker/0:1", 'I')
	proc.add(t, 20, "haproxy", 'S', "/usr/sbin/haproxy", "-f", "/etc/haproxy.cfg")
	proc.add(t, 21, "haproxy", 'R', "/usr/sbin/haproxy", "-f", "/etc/haproxy.cfg")
	proc.add(t, 22, "haproxy", 'Z')
	proc.add(t, 30, "nginx", 'Z')
	proc.add(t, 31, "squid", 'T', "squid")
	proc.add(t, 40, "a-very-long-pro", 'S', "/opt/a-very-long-program", "--serve")
	proc.add(t, 41, "bash", 'S', "-bash")
	proc.add(t, 42, "odd) S (name", 'D', "odd")
	proc.add(t, 43, "", 'S')
	must(t, os.MkdirAll(filepath.Join(string(proc), "sys"), 0o700))
	must(t, os.MkdirAll(filepath.Join(string(proc), "99"), 0o700)) // ended while we looked
	for _, tt := range []struct {
		name string
		p    probe.Process
		want string
	}{
		{"by the kernel's name", probe.Process{Name: "systemd"}, ""},
		{"by the program's name", probe.Process{Name: "init"}, ""},
		{"one of the kernel", probe.Process{Name: "kworker/0:1"}, ""},
		{"a long name", probe.Process{Name: "a-very-long-program"}, ""},
		{"a login shell", probe.Process{Name: "bash"}, ""},
		{"a name with brackets", probe.Process{Name: "odd) S (name"}, ""},
		{"none", probe.Process{Name: "bird"}, "process bird: not running"},
		{"a zombie", probe.Process{Name: "nginx"}, "process nginx: not running"},
		{"a stopped one", probe.Process{Name: "squid"}, "not running"},
		{"by its arguments", probe.Process{Name: "haproxy", Args: []string{"-f", "/etc/haproxy.cfg"}}, ""},
		{"by its first arguments", probe.Process{Name: "haproxy", Args: []string{"-f"}}, ""},
		{"by other arguments", probe.Process{Name: "haproxy", Args: []string{"-c"}}, "not running"},
		{"by more arguments than it has", probe.Process{Name: "init", Args: []string{"x"}}, "not running"},
		{"two of two", probe.Process{Name: "haproxy", Min: 2, Max: 2}, ""},
		{"two of three", probe.Process{Name: "haproxy", Min: 3}, "2 running, at least 3 wanted"},
		{"two of at most one", probe.Process{Name: "haproxy", Max: 1}, "2 running, at most 1 wanted"},
	} {
		tt.p.Proc = string(proc)
		outcome(t, tt.name, tt.want, tt.p.Probe(t.Context()))
		outcome(t, tt.name+", again", tt.want, tt.p.Probe(t.Context()))
	}
}

func TestProcessFollowsARestart(t *testing.T) {
	proc := procfs(t.TempDir())
	p := probe.Process{Name: "haproxy", Proc: string(proc)}
	outcome(t, "not started", "not running", p.Probe(t.Context()))
	proc.add(t, 20, "haproxy", 'S', "haproxy")
	outcome(t, "started", "", p.Probe(t.Context()))
	proc.remove(t, 20)
	outcome(t, "ended", "not running", p.Probe(t.Context()))
	proc.add(t, 20, "cron", 'S', "cron")
	outcome(t, "its number is another's", "not running", p.Probe(t.Context()))
	proc.add(t, 33, "haproxy", 'S', "haproxy")
	outcome(t, "started again", "", p.Probe(t.Context()))
}

func TestProcessOfThisMachine(t *testing.T) {
	name := fmt.Sprintf("us-probe-%d", os.Getpid())
	path := filepath.Join(t.TempDir(), name)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Skip("no sleep here")
	}
	must(t, os.Symlink(sleep, path))
	p := &probe.Process{Name: name, Args: []string{"1000"}}
	outcome(t, "before", "not running", p.Probe(t.Context()))
	cmd := exec.Command(path, "1000")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	must(t, cmd.Start())
	for end := time.Now().Add(soon); p.Probe(t.Context()) != nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond) // it is still us, until it has become the program
	}
	outcome(t, "running", "", p.Probe(t.Context()))
	must(t, cmd.Process.Kill())
	for end := time.Now().Add(soon); p.Probe(t.Context()) == nil && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	outcome(t, "a zombie", "not running", p.Probe(t.Context()))
	if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
		t.Errorf("%v, want it killed", err)
	}
}
