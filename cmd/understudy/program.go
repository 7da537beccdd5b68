package main

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"understudy/vrrp/election"
)

// self is the program of this process, even if its file has been replaced or is
// gone.
const self = "/proc/self/exe"

// invoked is the absolute path by which this process was started, symbolic links
// and all: an upgrade may change one of those instead of the file.
func invoked() string {
	if p, err := exec.LookPath(os.Args[0]); err == nil {
		if p, err = filepath.Abs(p); err == nil && sameFile(p, self) {
			return p
		}
	}
	p, err := os.Executable() // the kernel's word, without links
	if err != nil {
		return self
	}
	return p
}

func sameFile(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// program is the file that daemons are started from. After a package has replaced
// it, the next daemon runs the new program; if that is of no use, the one after it
// runs ours again, and the new one is not tried before it is replaced as well.
type program struct {
	path string
	log  *slog.Logger

	mu     sync.Mutex
	last   identity // of the file that was chosen last; zero: ours
	refuse identity // of no use
}

// identity is one content of a path.
type identity struct {
	dev, ino uint64
	size     int64
	changed  time.Time
}

func newProgram(path string, log *slog.Logger) *program { return &program{path: path, log: log} }

// choose returns what to start the next daemon from.
func (p *program) choose() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.last = identity{}
	id, err := identify(p.path)
	switch {
	case errors.Is(err, errOurs):
		return self
	case err != nil:
		p.log.Warn("the program's file cannot be run: the daemon is started from the running program", "err", err)
		return self
	case id == p.refuse:
		p.log.Warn("the program's file was of no use: the daemon is started from the running program", "file", p.path)
		return self
	}
	p.log.Info("the program's file was replaced: the daemon is started from the new one", "file", p.path)
	p.last = id
	return p.path
}

// unfit says that what was chosen last did not work.
func (p *program) unfit() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last != (identity{}) {
		p.refuse = p.last
	}
}

var errOurs = errors.New("it is what we run")

func identify(path string) (identity, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return identity{}, err
	}
	if ours, err := os.Stat(self); err == nil && os.SameFile(ours, fi) {
		return identity{}, errOurs
	}
	if !fi.Mode().IsRegular() || fi.Mode().Perm()&0o111 == 0 {
		return identity{}, &fs.PathError{Op: "run", Path: path, Err: fs.ErrPermission}
	}
	st := fi.Sys().(*syscall.Stat_t)
	return identity{dev: st.Dev, ino: st.Ino, size: fi.Size(), changed: fi.ModTime()}, nil
}

// sameProtocol refuses to work with an election process that would not understand
// us. One without a word of it is older than the question.
func sameProtocol(its string) error {
	if ours := election.Protocol(); its != ours {
		return fmt.Errorf("the election process talks differently (%q, this program %q): restart the service instead (the peer takes over meanwhile)", its, ours)
	}
	return nil
}
