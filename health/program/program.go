package program

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Config is a program and who runs it.
type Config struct {
	Argv []string // Argv[0] is an absolute path
	User string   // optional: a name or number, and a group behind a colon; "" is whoever we are
	// Inherit: it has our environment, but for what changes how a shell or the linker
	// works, in place of one with PATH, HOME and LC_ALL alone.
	Inherit bool
}

// Program is something to be run.
type Program struct {
	argv []string
	cred *syscall.Credential
	home string
	env  []string // of all runs
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
	if cfg.Inherit {
		p.env = inherited(os.Environ())
	}
	if cfg.User == "" {
		return p, nil
	}
	u, group, err := lookup(cfg.User)
	if err != nil {
		return nil, err
	}
	p.home = u.HomeDir
	if p.cred, err = credential(u, group); err != nil {
		return nil, fmt.Errorf("user %s: %w", cfg.User, err)
	}
	return p, nil
}

// lookup finds "USER" or "USER:GROUP", each a name or a number; group is "" if none is named.
func lookup(name string) (u *user.User, group string, err error) {
	name, wanted, _ := strings.Cut(name, ":")
	if u, err = user.Lookup(name); err != nil {
		if u, err = user.LookupId(name); err != nil {
			return nil, "", fmt.Errorf("there is no user %q", name)
		}
	}
	if wanted == "" {
		return u, "", nil
	}
	g, err := user.LookupGroup(wanted)
	if err != nil {
		if g, err = user.LookupGroupId(wanted); err != nil {
			return nil, "", fmt.Errorf("there is no group %q", wanted)
		}
	}
	return u, g.Gid, nil
}

// IDs are the numbers of "USER" or "USER:GROUP"; of "": of whoever we are.
func IDs(name string) (uid, gid int, err error) {
	if name == "" {
		return os.Geteuid(), os.Getegid(), nil
	}
	u, group, err := lookup(name)
	if err != nil {
		return 0, 0, err
	}
	cred, err := credential(u, group)
	if err != nil {
		return 0, 0, fmt.Errorf("user %s: %w", name, err)
	}
	return int(cred.Uid), int(cred.Gid), nil
}

// Name is the last part of the program's path.
func (p *Program) Name() string { return filepath.Base(p.argv[0]) }

// credential is that of a user with all groups, or with the one that is named alone.
func credential(u *user.User, group string) (*syscall.Credential, error) {
	groups, err := u.GroupIds()
	if err != nil {
		return nil, err
	}
	gid := u.Gid
	if group != "" {
		gid, groups = group, []string{group}
	}
	ids := make([]uint32, 0, 2+len(groups))
	for _, s := range append([]string{u.Uid, gid}, groups...) {
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
