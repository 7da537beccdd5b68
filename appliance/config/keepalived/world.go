package keepalived

import (
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
)

// World is what a file's meaning depends on beside its text. A nil function
// answers that nothing is known.
type World struct {
	// Open returns the content of a file. Directories, devices and executable files
	// are errors, as they are to keepalived.
	Open func(path string) ([]byte, error)
	// Glob returns the files that match, in order.
	Glob func(pattern string) ([]string, error)
	// Interface tells whether there is an interface of that name; nil: as if there were.
	Interface func(name string) bool
	// Networks are those that interfaces have addresses in; nil: not known.
	Networks func() []Network
	// VRF is the table of the VRF of that name; 0: it is an interface of another kind. nil: not
	// known.
	VRF func(name string) (table uint32, err error)
	// LookPath finds a program by its name alone.
	LookPath func(name string) (string, error)
	// Executable tells whether a file is there and can be run; nil: none is.
	Executable func(path string) bool
	// Runs: it is this machine that the configuration is for, now. A script that is not
	// there is disabled.
	Runs bool
	// User tells whether there is a user of that name; nil: as if there were.
	User func(name string) bool
	// Tunnels says why the kernel cannot send packets to servers in tunnels; nil: as if it
	// could.
	Tunnels func() error
	// Getenv reads the environment for ${_ENV NAME}.
	Getenv func(name string) string

	Hostname string // whole
	ID       string // config-id of @conditions; "": the host's name up to the first dot
	VRRPOnly bool   // virtual servers are another's affair

	Lines int // the most lines that variables and sequences may become; 0: [MostLines]
}

// Network is one that an interface has an address in.
type Network struct {
	Interface string
	Prefix    netip.Prefix
}

// MostLines bounds what a file may become.
const MostLines = 4 << 20

// maxFile bounds one file.
const maxFile = 16 << 20

// Here is the machine that we are on.
func Here() World {
	host, _ := os.Hostname()
	return World{
		Open: openRegular, Glob: filepath.Glob, LookPath: exec.LookPath, Getenv: os.Getenv, Hostname: host,
		Executable: func(path string) bool {
			st, err := os.Stat(path)
			return err == nil && st.Mode().IsRegular() && st.Mode().Perm()&0o111 != 0
		},
		User:      func(name string) bool { _, err := user.Lookup(name); return err == nil },
		Interface: func(name string) bool { _, err := net.InterfaceByName(name); return err == nil },
		VRF:       VRFTable,
	}
}

// Networks are those of this machine, now.
func Networks() (out []Network) {
	list, err := net.Interfaces()
	if err != nil {
		return nil
	}
	for _, i := range list {
		addrs, err := i.Addrs()
		if err != nil {
			continue
		}
		for _, a := range addrs {
			if p, err := netip.ParsePrefix(a.String()); err == nil && !p.IsSingleIP() {
				out = append(out, Network{i.Name, p.Masked()})
			}
		}
	}
	return out
}

// VRFTable is the table of a VRF of this machine, as [World.VRF] tells it.
func VRFTable(name string) (uint32, error) {
	l, err := netlink.LinkByName(name)
	if err != nil {
		return 0, err
	}
	if v, ok := l.(*netlink.Vrf); ok {
		return v.Table, nil
	}
	return 0, nil
}

// interfaceTo is the interface in whose network an address is; "": none that is known.
func (w World) interfaceTo(a netip.Addr) string {
	if w.Networks == nil {
		return ""
	}
	name, longest := "", -1
	for _, n := range w.Networks() {
		if n.Prefix.Contains(a) && n.Prefix.Bits() > longest {
			name, longest = n.Interface, n.Prefix.Bits()
		}
	}
	return name
}

// Elsewhere is this machine's files as if they were for another machine: which
// interfaces it has is not known.
func Elsewhere() World {
	w := Here()
	w.Interface, w.VRF = nil, nil
	return w
}

func openRegular(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	switch {
	case !st.Mode().IsRegular():
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("is not a regular file")}
	case st.Mode().Perm()&0o111 != 0:
		return nil, &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("is executable, so it is no configuration")}
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(src) > maxFile {
		err = &fs.PathError{Op: "open", Path: path, Err: fmt.Errorf("is larger than %d bytes", maxFile)}
	}
	return src, err
}

// id is the config-id.
func (w World) id() string {
	if w.ID != "" {
		return w.ID
	}
	short, _, _ := strings.Cut(w.Hostname, ".")
	return short
}

func (w World) lines() int {
	if w.Lines > 0 {
		return w.Lines
	}
	return MostLines
}
