package daemon

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"understudy/appliance/kernel"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/nft"
)

// RunDir is where what has to survive a crash of ours, but not a reboot, is kept.
const RunDir = "/run/understudy"

// Cleaned is what Clean found and removed.
type Cleaned struct {
	Addresses int
	Devices   int // with a virtual MAC
	Routes    int
	Rules     int // of routing
}

// Clean removes everything of ours from the kernel of this network namespace, by
// our marks, and puts changed sysctls back. It needs no configuration, may be
// called any number of times, and goes on after a failure. With an understudy at
// work here it refuses, unless forced.
func Clean(force bool) (out Cleaned, err error) {
	if !force {
		for _, name := range []string{lockElection, lockDaemon} {
			unlock, err := lock(name)
			if err != nil {
				return out, fmt.Errorf("%w; stop it first, or use --force", err)
			}
			defer unlock()
		}
	}
	out, err = clean()
	return out, errors.Join(err, cleanSockets(RunDir))
}

// cleanSockets removes control sockets that nobody listens on. Others may be at work in
// other network namespaces.
func cleanSockets(dir string) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.sock"))
	var errs []error
	for _, f := range files {
		c, err := net.Dial("unix", f)
		switch {
		case err == nil:
			c.Close()
		case errors.Is(err, syscall.ECONNREFUSED):
			errs = append(errs, os.Remove(f))
		}
	}
	return errors.Join(append(errs, err)...)
}

// clean stops the forwarding first, if it was ours: hosts that have not heard of
// another gateway yet still send to this one, and without our table what they
// send would leave untranslated. The table goes last: its gate keeps the box from
// answering for the addresses while they go.
func clean() (out Cleaned, err error) {
	var errs []error
	dir, err := kernel.RuntimeDir(RunDir)
	if err == nil {
		err = kernel.NewSysctls(dir).Restore()
	}
	errs = append(errs, err)
	addresses, err := kernel.Open()
	if err == nil {
		out.Rules, out.Routes, err = addresses.CleanRouting()
		errs = append(errs, err)
		out.Addresses, err = addresses.Clean()
		errs = append(errs, err)
		out.Devices, err = addresses.CleanDevices()
		errs = append(errs, addresses.Close())
	}
	errs = append(errs, err)
	entries, err := nft.OpenEntries(nft.Config{})
	if err == nil {
		err = errors.Join(entries.Clean(), entries.Close())
	}
	errs = append(errs, err)
	moves := nft.OpenMoves(nft.Config{})
	_, err = moves.Apply(nil)
	errs = append(errs, err, moves.Close())
	logged, err := nft.OpenLogged(nft.Config{})
	if err == nil {
		_, err = logged.Apply(nil, nil, nft.Side{})
		_, also := lognet.RemoveSide()
		err = errors.Join(err, also, logged.Close())
	}
	errs = append(errs, err)
	direct, err := nft.OpenDirect(nft.Config{})
	if err == nil {
		err = errors.Join(direct.Clean(), direct.Close(), cleanServices())
	}
	errs = append(errs, err)
	table, err := nft.Open(nft.Config{})
	if err == nil {
		err = errors.Join(table.Clean(), table.Close())
	}
	return out, errors.Join(append(errs, err)...)
}
