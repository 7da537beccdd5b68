package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// Config is a program and who runs it.
type Config struct {
	Argv []string // Argv[0] is an absolute path
	User string   // optional: a name or number; "" is whoever we are
}

// Program is something to be run.
type Program struct {
	argv []string
	cred *syscall.Credential
	home string
}

// New looks the user up and returns the program.
func New(cfg Config) (*Program, error) {
	if len(cfg.Argv) == 0 {
		return nil, errors.New("no program")
	}
	if !filepath.IsAbs(cfg.Argv[0]) {
		return nil, fmt.Errorf("%s is not an absolute path", cfg.Argv[0])
	}
	p := &Program{argv: cfg.Argv, home: "/"}
	if cfg.User == "" {
		return p, nil
	}
	u, err := user.Lookup(cfg.User)
	if err != nil {
		if u, err = user.LookupId(cfg.User); err != nil {
			return nil, fmt.Errorf("there is no user %q", cfg.User)
		}
	}
	p.home = u.HomeDir
	if p.cred, err = credential(u); err != nil {
		return nil, fmt.Errorf("user %s: %w", cfg.User, err)
	}
	return p, nil
}

// Name is the last part of the program's path.
func (p *Program) Name() string { return filepath.Base(p.argv[0]) }

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

// bare takes the operation and the path off an error: whoever called New knows
// them.
func bare(err error) error {
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
