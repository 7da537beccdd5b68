package program

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Trusted tells why the program could be exchanged by somebody who must not be
// able to: nil if its file, and each directory on the way to it, belongs to root or
// to the user who runs it, and nobody else may write there. A directory like /tmp,
// in which others can add files but not touch those of root, will do. Links are
// followed first. Programs that it starts in turn are the operator's affair.
func (p *Program) Trusted() error {
	uid := uint32(os.Geteuid())
	if p.cred != nil {
		uid = p.cred.Uid
	}
	real, err := filepath.EvalSymlinks(p.argv[0])
	if err != nil {
		return bare(err)
	}
	for path := real; ; path = filepath.Dir(path) {
		st, err := os.Lstat(path)
		if err != nil {
			return bare(err)
		}
		if path == real && !st.Mode().IsRegular() {
			return fmt.Errorf("%s is no file", path)
		}
		if err := trusted(path, st, uid); err != nil {
			return err
		}
		if path == filepath.Dir(path) {
			return nil
		}
	}
}

func trusted(path string, st fs.FileInfo, uid uint32) error {
	sys := st.Sys().(*syscall.Stat_t)
	mode := st.Mode()
	sticky := mode.IsDir() && mode&fs.ModeSticky != 0
	switch {
	case sys.Uid != 0 && sys.Uid != uid:
		return fmt.Errorf("%s belongs to user %d, who could change what is run; give it to root", path, sys.Uid)
	case mode&0o002 != 0 && !sticky:
		return fmt.Errorf("everybody may write %s; take that away (chmod o-w)", path)
	case mode&0o020 != 0 && sys.Gid != 0 && !sticky:
		return fmt.Errorf("group %d may write %s; take that away (chmod g-w)", sys.Gid, path)
	case mode.IsRegular() && mode&0o111 == 0:
		return fmt.Errorf("%s is not executable (chmod +x)", path)
	}
	return nil
}
