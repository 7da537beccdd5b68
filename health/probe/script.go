package probe

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"os/user"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// ScriptConfig is a program and who runs it.
type ScriptConfig struct {
	Argv []string // Argv[0] is an absolute path; no shell sees any of it
	User string   // optional: a name or number; "" is whoever we are
}

// Script runs a program: exit code 0 is success. It has a process group of its
// own, which is killed as a whole when the time is up, when the program has
// ended and left something behind, and when this process dies. It gets no input
// and a small environment; what it writes is kept for the error, up to a line.
type Script struct {
	argv []string
	cred *syscall.Credential
	home string
}

var _ Prober = (*Script)(nil)

// NewScript looks the user up and returns a prober.
func NewScript(cfg ScriptConfig) (*Script, error) {
	if len(cfg.Argv) == 0 {
		return nil, errors.New("script: no program")
	}
	if !filepath.IsAbs(cfg.Argv[0]) {
		return nil, fmt.Errorf("script: %s is not an absolute path", cfg.Argv[0])
	}
	s := &Script{argv: cfg.Argv, home: "/"}
	if cfg.User == "" {
		return s, nil
	}
	u, err := user.Lookup(cfg.User)
	if err != nil {
		if u, err = user.LookupId(cfg.User); err != nil {
			return nil, fmt.Errorf("script: there is no user %q", cfg.User)
		}
	}
	s.home = u.HomeDir
	if s.cred, err = credential(u); err != nil {
		return nil, fmt.Errorf("script: user %s: %w", cfg.User, err)
	}
	return s, nil
}

func credential(u *user.User) (*syscall.Credential, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	ids := make([]uint32, 0, 2+len(groups))
	for _, s := range append([]string{u.Uid, u.Gid}, groups...) {
		n, err := strconv.ParseUint(s, 10, 32)
		if err != nil {
			return nil, err
		}
		ids = append(ids, uint32(n))
	}
	return &syscall.Credential{Uid: ids[0], Gid: ids[1], Groups: ids[2:]}, nil
}

// Probe runs the program once.
func (p *Script) Probe(ctx context.Context) error {
	if err := p.run(ctx); err != nil {
		return fmt.Errorf("script %s: %w", filepath.Base(p.argv[0]), err)
	}
	return nil
}

func (p *Script) run(ctx context.Context) error {
	// The death signal comes when the *thread* that started the program ends, so
	// that one is ours until then.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var said tail
	cmd := &exec.Cmd{Path: p.argv[0], Args: p.argv, Dir: "/", Stdout: &said, Stderr: &said,
		Env:         []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME=" + p.home, "LC_ALL=C"},
		WaitDelay:   100 * time.Millisecond, // for one that left the group and holds the pipe
		SysProcAttr: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL, Credential: p.cred}}
	if err := cmd.Start(); err != nil {
		return bare(err)
	}
	pid := cmd.Process.Pid
	killedC := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { kill(pid); close(killedC) })
	awaitEnd(pid)
	// Its number, and that of its group, is nobody else's until it is reaped: no
	// signal may be on its way any more by then.
	if !stop() {
		<-killedC
	}
	kill(pid)
	err := cmd.Wait()
	if errors.Is(err, exec.ErrWaitDelay) {
		err = nil
	}
	if err == nil {
		return nil
	}
	if ctx.Err() == nil && said.line() != "" {
		return fmt.Errorf("%w: %s", err, said.line())
	}
	return because(ctx, err)
}

// kill ends the process group of pid; there may be nobody left in it.
func kill(pid int) { _ = unix.Kill(-pid, unix.SIGKILL) }

// awaitEnd returns when a child has ended, and leaves it a zombie.
func awaitEnd(pid int) {
	for unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil) == unix.EINTR {
	}
}

// tail keeps the last of what a program writes, and never blocks it.
type tail struct{ b []byte }

const maxTail = 512

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b[max(0, len(b)-maxTail):]...)
	t.b = t.b[max(0, len(t.b)-maxTail):]
	return len(b), nil
}

// line is the last line that says something, fit to be printed.
func (t *tail) line() string {
	lines := strings.Split(strings.TrimSpace(string(t.b)), "\n")
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(strings.TrimSpace(lines[len(lines)-1]), "?"))
}
