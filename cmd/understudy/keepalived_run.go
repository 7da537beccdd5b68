package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"understudy/appliance/config"
	"understudy/appliance/control"
	"understudy/appliance/daemon"
	"understudy/appliance/dropin"
	"understudy/vrrp/election"
)

// standIn is the process: it reads the configuration, goes into the background unless
// it is not to, writes its files, and is the election from then on.
func standIn(ctx context.Context, o dropin.Options) error {
	f := processFlags{config: o.File, spoken: &o}
	f.level.Set(verbosity(o.Detail > 1))
	cfg, err := config.LoadSpoken(o.File, f.spokenOptions())
	if err == nil {
		f.ofFile(cfg)
	}
	if o.Namespace != "" {
		if err := enterNamespace(o.Namespace); err != nil {
			return err
		}
	}
	if o.Check && !o.VRRP {
		return errors.New("checks alone (-C) are not run: servers belong to an address that VRRP moves")
	}
	if !o.Foreground {
		return background(o)
	}
	if o.Umask >= 0 {
		syscall.Umask(o.Umask)
	}
	f.control = controlOf(o)
	nameProcess()
	log := f.logger(dropin.IdentParent)
	log.Info(fmt.Sprintf("Starting "+spokenVersion, version))
	log.Info("Command line: '" + strings.Join(os.Args, "' '") + "'")
	for _, why := range o.Idle {
		log.Info(why)
	}
	// What ends the process is in the log; whoever watches its console reads it once.
	fail := func(err error) error {
		if err == nil {
			return nil
		}
		for l := range strings.Lines(err.Error()) {
			log.Error(strings.TrimSuffix(l, "\n"))
		}
		code := &codeError{code: exitFailed}
		errors.As(err, &code)
		return &codeError{code: code.code, quiet: o.Console, err: err}
	}
	log.Info(fmt.Sprintf("Configuration file %s", o.File))
	if err != nil {
		return fail(keepalivedError(err))
	}
	pids, err := dropin.LockPIDs(o.PIDPaths(checksServers(cfg))...)
	if err != nil {
		return fail(err)
	}
	defer pids.Remove()
	if err := detach(o); err != nil {
		return err
	}
	err = fail(f.elect(ctx, cfg, log))
	f.sayStopped(log)
	return err
}

// sayStopped is keepalived's last word.
func (f *processFlags) sayStopped(log *slog.Logger) {
	if f.spoken != nil {
		log.Info(fmt.Sprintf("Stopped "+spokenVersion, version))
	}
}

// spokenFlag carries what keepalived was started with to the other process.
type spokenFlag processFlags

func (s *spokenFlag) String() string {
	if s == nil || s.spoken == nil {
		return ""
	}
	b, err := json.Marshal(s.spoken)
	if err != nil {
		return "" // strings, numbers and truth values: it does not happen
	}
	return string(b)
}

func (s *spokenFlag) Type() string { return "json" }

func (s *spokenFlag) Set(v string) error {
	s.spoken = &dropin.Options{Umask: -1}
	return json.Unmarshal([]byte(v), s.spoken)
}

// logger is that of the process: keepalived's, if it is one. Its level can be changed.
func (f *processFlags) logger(ident string) *slog.Logger {
	if f.log != nil {
		return f.log
	}
	f.log = newLogger(&f.level)
	if f.spoken == nil {
		return f.log
	}
	h, err := dropin.NewHandler(*f.spoken, ident, &f.level)
	if err != nil {
		fmt.Fprintln(os.Stderr, "keepalived:", err)
		return f.log
	}
	f.log = slog.New(h)
	return f.log
}

func (f *processFlags) spokenOptions() config.SpokenOptions {
	if f.spoken == nil {
		return config.SpokenOptions{Runs: true, Tunnels: daemon.CanTunnel}
	}
	return config.SpokenOptions{Keepalived: true, Runs: true, ID: f.spoken.ID, VRRPOnly: f.spoken.VRRP, Tunnels: daemon.CanTunnel}
}

// ofFile takes in what the file says of the process, where the command line says nothing.
func (f *processFlags) ofFile(cfg *config.Config) {
	g, o := cfg.Spoken.File.Global, f.spoken
	if o.Namespace == "" {
		o.Namespace = g.Namespace.V
	}
	o.Instance, o.PIDDir = g.Instance.V, g.PIDDir.V
}

func checksServers(cfg *config.Config) bool {
	return cfg.Spoken != nil && len(cfg.Spoken.File.VirtualServers) > 0
}

// nameProcess calls the process what it stands in for: it may have been started by
// another name, or by a file that has none any more, and some look for it by that.
func nameProcess() { _ = os.WriteFile("/proc/self/comm", []byte("keepalived"), 0) }

// inheritPIDs puts our number into the files in which that of a dead election is.
func (f *processFlags) inheritPIDs(log *slog.Logger) dropin.PIDFiles {
	if f.spoken == nil {
		return nil
	}
	nameProcess()
	cfg, err := config.LoadSpoken(f.config, f.spokenOptions())
	if err != nil {
		cfg = &config.Config{} // it has been changed since: what is in it does not matter here
	}
	pids, err := dropin.LockPIDs(f.spoken.PIDPaths(checksServers(cfg))...)
	if err != nil {
		log.Warn("pid files", "err", err)
	}
	return pids
}

// controlOf is the control socket: one for each keepalived of the machine.
func controlOf(o dropin.Options) string {
	if env := os.Getenv("UNDERSTUDY_CONTROL"); env != "" {
		return env
	}
	if o.Alone() {
		return control.DefaultSocket
	}
	h := fnv.New64a()
	io.WriteString(h, o.PIDFile+"\x00"+o.Namespace+"\x00"+o.Instance)
	return filepath.Join(filepath.Dir(control.DefaultSocket), fmt.Sprintf("keepalived-%016x.sock", h.Sum64()))
}

// sayNews writes what keepalived writes into its log.
func sayNews(log *slog.Logger, n election.News) {
	switch n {
	case election.NewsReloading:
		log.Info("Reloading ...")
	case election.NewsReloaded:
		log.Info("Reload complete")
	case election.NewsStopping:
		log.Info("Stopping")
	}
}

// forkedVar names, in the environment of a process that another one has put into the
// background, the file by which it says that it is at work.
const forkedVar = "UNDERSTUDY_FORKED"

// background starts this program again, in a session of its own, and returns when it
// has written its files: whoever has started us finds them then. One that cannot work
// ends with its own code, and so do we.
func background(o dropin.Options) error {
	ours, theirs, err := os.Pipe()
	if err != nil {
		return err
	}
	defer ours.Close()
	args := append([]string{"keepalived", "--dont-fork"}, os.Args[1:]...)
	if filepath.Base(os.Args[0]) != "keepalived" && len(os.Args) > 1 {
		args = append([]string{"keepalived", "--dont-fork"}, os.Args[2:]...) // "understudy keepalived …"
	}
	cmd := &exec.Cmd{Path: invoked(), Args: args, Env: append(os.Environ(), forkedVar+"=3"), Dir: "/",
		Stderr: os.Stderr, ExtraFiles: []*os.File{theirs}, SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if path, err := filepath.Abs(o.File); err == nil {
		cmd.Args = append(cmd.Args, "--use-file="+path) // it was relative to where we are
	}
	if o.Console {
		cmd.Stdout = os.Stdout
	}
	err = cmd.Start()
	theirs.Close()
	if err != nil {
		return err
	}
	var word [1]byte
	if n, _ := ours.Read(word[:]); n == 1 {
		return nil
	}
	err = cmd.Wait()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		return said(max(exit.ExitCode(), exitFailed), err)
	case err != nil:
		return err
	}
	return said(exitFailed, errors.New("it ended at once"))
}

// detach tells the process that has put us into the background, if one has, that we are
// at work, and lets go of its terminal.
func detach(o dropin.Options) error {
	if os.Getenv(forkedVar) == "" {
		return nil
	}
	os.Unsetenv(forkedVar)
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer null.Close()
	for fd := range 3 {
		if fd == 0 || !o.Console {
			if err := unix.Dup3(int(null.Fd()), fd, 0); err != nil {
				return err
			}
		}
	}
	ready := os.NewFile(3, "ready")
	defer ready.Close()
	_, err = ready.Write([]byte{1})
	return err
}

// enterNamespace goes on in a network namespace of `ip netns`. A thread can enter one,
// a process of several cannot: so the program begins again.
func enterNamespace(name string) error {
	if strings.Contains(name, "/") {
		return fmt.Errorf("namespace %q: a name has no slash", name)
	}
	path := filepath.Join("/run/netns", name)
	if sameFile(path, "/proc/self/ns/net") {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	runtime.LockOSThread()
	if err := unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("namespace %s: %w", name, err)
	}
	return syscall.Exec(invoked(), os.Args, os.Environ())
}
