package machine

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"understudy/appliance/lab"
)

// Machine is a machine that has booted.
type Machine struct {
	t      lab.TB
	nspawn *exec.Cmd
	init   string // number of its first process, as this machine counts
	said   *bytes.Buffer
	dir    string // where its layers are, in its mount namespace
}

// setUp lays a writable layer above this machine's files and boots from it. It runs in
// a mount namespace of its own: with the last process all of it is gone. Only what
// systemd itself needs is started; what this machine has switched on beside it is not.
const setUp = `
mount -t tmpfs -o mode=755 layer "$1" && mkdir "$1/upper" "$1/work" "$1/root" || exit
mount -t overlay -o "lowerdir=/,upperdir=$1/upper,workdir=$1/work" overlay "$1/root" || exit
rm -rf "$1"/root/etc/systemd/system/*.wants "$1"/root/usr/sbin/policy-rc.d
systemd-id128 new >"$1/root/etc/machine-id" || exit
exec systemd-nspawn --quiet --register=no --keep-unit --private-network --console=pipe \
  --link-journal=no --machine=understudy-test --directory="$1/root" --boot systemd.unit=multi-user.target`

// Boot boots a machine. The test ends it.
func Boot(t lab.TB) *Machine {
	t.Helper()
	lab.Require(t)
	dir, err := os.MkdirTemp("", "understudy-machine-")
	if err != nil {
		t.Fatalf("%v", err)
	}
	m := &Machine{t: t, said: &bytes.Buffer{}, dir: dir}
	m.nspawn = exec.Command("bash", "-c", setUp, "boot", dir)
	m.nspawn.Stdout, m.nspawn.Stderr = m.said, m.said
	// The namespace goes with the process, and the process with this one.
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS, Pdeathsig: syscall.SIGKILL}
	if err := m.nspawn.Start(); err != nil {
		t.Fatalf("boot: %v", err)
	}
	ended := make(chan struct{})
	go func() {
		m.nspawn.Wait()
		close(ended)
	}()
	t.Cleanup(func() {
		// systemd's own word for: halt at once.
		m.nspawn.Process.Signal(syscall.SIGTERM)
		select {
		case <-ended:
		case <-time.After(20 * time.Second):
			m.nspawn.Process.Kill()
			<-ended
		}
		if err := os.Remove(dir); err != nil {
			t.Errorf("%v", err)
		}
	})
	m.wait(ended)
	return m
}

// wait waits until the machine is up.
func (m *Machine) wait(ended <-chan struct{}) {
	m.t.Helper()
	deadline := time.Now().Add(2 * time.Minute)
	for time.Now().Before(deadline) {
		select {
		case <-ended:
			m.t.Fatalf("the machine did not boot:\n%s", m.said.String())
		case <-time.After(100 * time.Millisecond):
		}
		// Again each time: the first one that there is only makes the one that stays.
		if m.init = child(m.nspawn.Process.Pid); m.init == "" {
			continue
		}
		if out, _ := m.Try("systemctl", "is-system-running"); strings.TrimSpace(out) == "running" {
			return
		}
	}
	failed, _ := m.Try("systemctl", "--failed", "--no-legend")
	m.t.Fatalf("the machine is not up after two minutes; failed units:\n%s", failed)
}

// child is the number of a process's first child, "" if it has none yet.
func child(pid int) string {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	first, _, _ := strings.Cut(strings.TrimSpace(string(text)), " ")
	return first
}

// For is the machine for a part of the test: what fails there, fails it.
func (m *Machine) For(t lab.TB) *Machine {
	part := *m
	part.t = t
	return &part
}

// Try runs a command in the machine; its output is both of its streams.
func (m *Machine) Try(args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, "nsenter", append([]string{"--target", m.init, "--mount", "--uts", "--ipc", "--net", "--pid", "--cgroup", "--root", "--wd=/", "--"}, args...)...)
	c.Env = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"}
	c.WaitDelay = 5 * time.Second // a daemon that was started may hold the pipe
	out, err := c.CombinedOutput()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil // and it has ended well
	}
	return string(out), err
}

// Run is [Machine.Try] for a command that has to end well.
func (m *Machine) Run(args ...string) string {
	m.t.Helper()
	out, err := m.Try(args...)
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// Refused is [Machine.Try] for a command that has to fail.
func (m *Machine) Refused(args ...string) string {
	m.t.Helper()
	out, err := m.Try(args...)
	if err == nil {
		m.t.Fatalf("%s: no error\n%s", strings.Join(args, " "), out)
	}
	return out
}

// Path is a path of the machine, as this one sees it.
func (m *Machine) Path(name string) string { return filepath.Join("/proc", m.init, "root", name) }

// Write writes a file of the machine, with its directories.
func (m *Machine) Write(name, text string, mode os.FileMode) {
	m.t.Helper()
	err := os.MkdirAll(m.Path(filepath.Dir(name)), 0o755)
	if err == nil {
		err = os.WriteFile(m.Path(name), []byte(text), mode)
	}
	if err != nil {
		m.t.Fatalf("%v", err)
	}
}

// Copy copies a file of this machine into a directory of the other, and returns its
// name there.
func (m *Machine) Copy(file, dir string) string {
	m.t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	name := filepath.Join(dir, filepath.Base(file))
	m.Write(name, string(text), 0o644)
	return name
}

// Written are the paths of all that was written on disk since the machine began to
// boot, and is there, but for what lies below the directories that are left out, and
// for directories that this machine has too.
func (m *Machine) Written(but ...string) []string {
	m.t.Helper()
	var list []string
	upper := filepath.Join("/proc", strconv.Itoa(m.nspawn.Process.Pid), "root", m.dir, "upper")
	err := filepath.WalkDir(upper, func(path string, d fs.DirEntry, err error) error {
		name := "/" + strings.TrimPrefix(strings.TrimPrefix(path, upper), "/")
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // gone since its directory was read
		case err != nil:
			return err
		case slices.Contains(but, name):
			return fs.SkipDir
		case d.IsDir() && isDir(name):
		case d.Type()&fs.ModeCharDevice == 0: // overlayfs marks so what is no longer there
			list = append(list, name)
		}
		return nil
	})
	if err != nil {
		m.t.Fatalf("%v", err)
	}
	return list
}

func isDir(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.IsDir()
}
