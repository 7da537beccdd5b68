package interop

import (
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
)

// TestSwitch: on one machine, with one unit and one set of files, keepalived makes room
// for us, we for keepalived, and each for the other after it was killed. Nothing is left
// of the one that went: no address, route, rule, device, table, setting of either, no
// pid file and no socket.
func TestSwitch(t *testing.T) {
	lab.Require(t)
	t.Parallel()
	t.Run("rows", func(rows *testing.T) {
		// A virtual MAC of each family, a route and a rule, strict mode, IPv6 beside IPv4.
		for _, file := range []string{"dual.conf", "amphora.conf", "default", "neutron.conf"} {
			rows.Run(file, func(t *testing.T) {
				t.Parallel()
				i := slices.IndexFunc(corpus, func(r corpusRow) bool { return r.file == file })
				switching(newLife(&scene{T: lab.NewT(rows), t: t}, corpus[i], false))
			})
		}
	})
}

func switching(l *life) {
	play := func(ours bool) { l.ours = ours; l.begin(); l.arrive() }
	l.wait("addresses to be usable", linksReady(l.Node))
	bare := l.bare()
	play(false)
	theirs := l.held()
	l.must(l.proc.Stop(patience))
	// keepalived itself leaves settings of interfaces with virtual MACs as they were not.
	bare = l.same("keepalived has stopped", bare, l.bare, `^[-+] sysctl ipv4/conf/\S+/arp_(filter|ignore) = [01]$`)

	play(true)
	ours := l.held()
	l.must(l.proc.Stop(patience))
	l.same("we have stopped", bare, l.bare, "")

	play(false)
	l.same("keepalived is back", theirs, l.held, "")
	l.must(l.Kill())

	play(true)
	l.same("we have come after a keepalived that was killed", ours, l.held, "")
	l.must(l.proc.Stop(patience))
	l.same("we have stopped", bare, l.bare, "")

	play(true)
	l.must(l.Kill())
	play(true)
	l.same("we have come after ourselves, who were killed", ours, l.held, "")
	l.must(l.Kill())
	// keepalived does not know what is ours.
	p, err := l.Start(program, "clean")
	l.must(err)
	<-p.Done()
	l.must(p.Err())
	play(false)
	l.same("keepalived has come after us, who were killed", theirs, l.held, "")
	l.must(l.proc.Stop(patience))
	l.same("keepalived has stopped", bare, l.bare, "")
}

// arrive waits until every address of the configuration is here.
func (l *life) arrive() {
	l.t.Helper()
	l.wait(l.proc.Name+": every instance to be MASTER", func() error {
		select {
		case <-l.proc.Done():
			l.t.Fatalf("%s has ended: %v", l.proc.Name, l.proc.Err())
		default:
		}
		out := l.proc.Output()
		for _, name := range l.row.instances(l.scene) {
			if !strings.Contains(out, "("+name+") Entering MASTER STATE") {
				return errNotYet
			}
		}
		return nil
	})
}

// held is what is in the kernel while the program is MASTER, but for settings.
func (l *life) held() (out state) {
	l.t.Helper()
	// The last word of the log comes before the last address.
	rest := 0
	l.wait("the kernel to be at rest", func() error {
		now, err := readState(l.Node, false)
		l.must(err)
		before := out
		out = now
		if rest++; len(now.since(before)) > 0 {
			rest = 0
		}
		if rest < atRest {
			time.Sleep(4 * poll)
			return errNotYet
		}
		return l.hasAll(l.row.moving(l.scene))
	})
	return out
}

// bare is what there is when no program runs: in the kernel, and of files.
func (l *life) bare() (out state) {
	l.t.Helper()
	out, err := readState(l.Node, true)
	l.must(err)
	run, err := l.Path("/run/conf")
	l.must(err)
	run = filepath.Dir(run)
	l.must(filepath.WalkDir(run, func(path string, d fs.DirEntry, err error) error {
		inside := strings.TrimPrefix(path, run)
		if err != nil || d.IsDir() || strings.HasPrefix(inside, "/conf") || strings.HasPrefix(inside, "/spy") {
			return err
		}
		if strings.HasPrefix(inside, "/understudy/") && d.Type().IsRegular() {
			return nil // what the next start of ours wants to know: what was told, and names
		}
		kind := "file"
		switch {
		case d.Type()&fs.ModeSocket != 0:
			kind = "socket"
		case d.Type()&fs.ModeNamedPipe != 0:
			kind = "pipe"
		}
		out.say("%s /run%s", kind, inside)
		return nil
	}))
	return out
}

// same waits until two states are the same, but for lines that match; it returns the
// second.
func (l *life) same(when string, want state, read func() state, but string) (have state) {
	l.t.Helper()
	l.wait("what there was, when "+when, func() error {
		have = read()
		var odd []string
		for _, line := range have.since(want) {
			if but == "" || !pattern(but).MatchString(line) {
				odd = append(odd, line)
			}
		}
		if len(odd) > 0 {
			return fmt.Errorf("otherwise is\n%s", indented(odd))
		}
		return nil
	})
	return have
}

// hasAll fails unless every one of these addresses is in the kernel.
func (l *life) hasAll(want []netip.Addr) error {
	list, err := l.Netlink().AddrList(nil, netlink.FAMILY_ALL)
	if err != nil {
		return err
	}
	for _, a := range want {
		if !slices.ContainsFunc(list, func(h netlink.Addr) bool { return h.IP.Equal(a.AsSlice()) }) {
			return fmt.Errorf("%s has no %s", l.Name, a)
		}
	}
	return nil
}
