package e2e

import (
	"context"
	"fmt"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// hooksFile has programs run before the node begins, of which one hangs, and after it.
const hooksFile = `
global_defs {
    startup_script "/run/lab/hook start"
    startup_script_timeout 1
    shutdown_script "/run/lab/hook end"
}
` + keepalivedGateway

// hook writes what it is for, and whether the address is there.
const hook = `#!/bin/sh
case "$(ip -o addr show dev lan0)" in *" 10.0.0.1/"*) has=yes ;; *) has=no ;; esac
echo "$1 address $has" >>` + saidPath + `
[ $1 = end ] || exec sleep 1000
`

// TestStartupAndShutdownScripts: the one is run before anything else, and ended when its
// time is up; the other once, when nothing is left, also if another election process has
// taken the place of the first.
func TestStartupAndShutdownScripts(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	g := s.gw1
	s.must(g.Start()) // for the sake of the control client
	s.must(g.Kill())
	s.must(g.WriteFile(keepalivedConf, []byte(hooksFile), 0o644))
	s.must(g.WriteFile("/run/lab/hook", []byte(hook), 0o755))
	s.byKeepalivedConf(g)
	s.wait("it to be active", g.Is("active"))
	s.wait("one program to have been run", says(g, "", "start address no"))
	if found := s.journal.of(g, "startup_script failed", "longer than 1s"); len(found) != 1 {
		t.Errorf("the log says of its end: %q", found)
	}
	// Another process takes the place of the one that ran it, and ends the node.
	pid := s.kill(g, "run")
	s.wait("another election", replaced(g, pid, "election"))
	s.wait("it to be active", g.Is("active"))
	list, err := processes(g)
	s.must(err)
	s.must(unix.Kill(list["election"], unix.SIGTERM))
	s.wait("the other program to have been run", says(g, "", "start address no", "end address no"))
	s.wait("the end of all", func(context.Context) error {
		list, err := processes(g)
		if err == nil && len(list) > 0 {
			err = fmt.Errorf("there are %v", list)
		}
		return err
	})
	if got := said(g, ""); len(got) != 2 {
		t.Errorf("programs were run: %q", got)
	}
}
