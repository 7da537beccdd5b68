package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// theirConntrackd is a conntrackd.conf that conntrackd itself can run by on a node that
// shares a file system with others.
const theirConntrackd = `
Sync {
    Mode FTFW {
    }
    UDP {
        IPv4_address 10.255.0.%d
        IPv4_Destination_Address 10.255.0.%d
        Port 3780
        Interface sync0
    }
}
General {
    HashSize 32768
    HashLimit 131072
    LockFile /run/lab/conntrackd.lock
    UNIX {
        Path /run/lab/conntrackd.ctl
    }
    Filter From Userspace {
        Address Ignore {
            IPv4_address 127.0.0.1
            IPv4_address 10.255.0.1
            IPv4_address 10.255.0.2
        }
    }
}
`

// theirPair is a pair of keepalived and conntrackd with connections through it that both
// of them know.
func theirPair(t *testing.T) (s *scene, theirs, tracking map[*pair.Gateway]*lab.Process) {
	t.Helper()
	s = newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	theirs, tracking = map[*pair.Gateway]*lab.Process{}, map[*pair.Gateway]*lab.Process{}
	for i, g := range s.Gateways {
		s.team(i, g)
		s.must(g.WriteFile(conntrackdConf, []byte(fmt.Sprintf(theirConntrackd, i+1, 2-i)), 0o644))
		s.must(g.WriteFile("/run/lab/primary-backup.sh", []byte(glue), 0o755))
		s.must(g.WriteFile(theirConf, []byte(strings.ReplaceAll(instanceBlock+fmt.Sprintf(keepalivedFile, 200-100*i),
			"/etc/conntrackd/", "/run/lab/")), 0o644))
		tracking[g] = s.theirs(g, "conntrackd", "-C", conntrackdConf)
	}
	for _, g := range s.Gateways {
		theirs[g] = s.theirs(g, "keepalived", unitWords...)
	}
	s.wait("their pair", s.hasAddresses(s.gw1))
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 20})
	s.must(err)
	s.wait("conntrackd to know of it on both", s.tracked(s.gw2))
	return s, theirs, tracking
}

// unitWords are what a unit starts keepalived with.
var unitWords = []string{"--vrrp", "--dont-fork", "--log-console", "--use-file=" + theirConf}

// hasAddresses is a condition: the addresses are on one gateway alone.
func (s *scene) hasAddresses(on *pair.Gateway) func(context.Context) error {
	return func(context.Context) error {
		for _, g := range s.Gateways {
			if hasAddress(g, "lan0", "10.0.0.1/24") != (g == on) && hasAddress(g, "lan0", "10.0.0.1/32") != (g == on) {
				return fmt.Errorf("%s has the address: %t", g.Name, g != on)
			}
		}
		return nil
	}
}

// tracked is a condition: the conntrackd of a gateway knows what goes through the other
// one.
func (s *scene) tracked(g *pair.Gateway) func(context.Context) error {
	return func(context.Context) error {
		if n := strings.Count(s.conntrackd(g, "-e"), "sport="); n < 24 {
			return fmt.Errorf("%s knows %d flows", g.Name, n)
		}
		return nil
	}
}

// TestSwapUnderTraffic: a pair of keepalived and conntrackd becomes one of ours, a node
// at a time, with connections through it. Not one is lost: the standby goes first, and
// conntrackd's cache is put into its kernel before the other one is stopped.
func TestSwapUnderTraffic(t *testing.T) {
	s, theirs, tracking := theirPair(t)

	// The standby.
	s.must(theirs[s.gw2].Stop(patience))
	s.byKeepalivedConf(s.gw2)
	s.wait("ours to be the standby", s.gw2.Is("backup"))
	s.conntrackd(s.gw2, "-c")
	mark := time.Now()
	s.must(theirs[s.gw1].Stop(patience))
	s.wait("ours to take over", s.gw2.Is("active"))
	s.intact(mark)

	// The other one.
	s.must(tracking[s.gw1].Stop(patience))
	mark = time.Now()
	s.byKeepalivedConf(s.gw1)
	s.wait("both to be in sync", all(s.gw1.InSync, s.gw2.InSync))
	s.wait("the better one to be active again", all(s.gw1.Is("active"), s.gw2.Is("backup")))
	s.must(tracking[s.gw2].Stop(patience))
	s.intact(mark)
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
}

// TestSwapAsKeepalived: the same by keepalived's name: the words of the unit and the files
// are what they were, and the program is another. One node after the other goes over to it
// and back again, with connections through the pair, and not one is lost, at no step.
func TestSwapAsKeepalived(t *testing.T) {
	s, theirs, tracking := theirPair(t)
	ours := map[*pair.Gateway]*lab.Process{}

	s.must(theirs[s.gw2].Stop(patience))
	ours[s.gw2] = s.asKeepalived(s.gw2)
	s.wait("ours to be the standby", s.gw2.Is("backup"))
	s.conntrackd(s.gw2, "-c")
	mark := time.Now()
	s.must(theirs[s.gw1].Stop(patience))
	s.wait("ours to take over", all(s.gw2.Is("active"), s.hasAddresses(s.gw2)))
	s.intact(mark)
	mark = time.Now()
	s.must(tracking[s.gw1].Stop(patience))
	ours[s.gw1] = s.asKeepalived(s.gw1)
	s.wait("both to be in sync", all(s.gw1.InSync, s.gw2.InSync))
	s.wait("the better one to be active again", all(s.gw1.Is("active"), s.gw2.Is("backup"), s.hasAddresses(s.gw1)))
	s.intact(mark)

	// And back: conntrackd first, which is told of what is there.
	s.must(tracking[s.gw2].Stop(patience))
	for _, g := range s.Gateways {
		tracking[g] = s.theirs(g, "conntrackd", "-C", conntrackdConf)
	}
	s.wait("conntrackd to answer", func(context.Context) error {
		for _, g := range s.Gateways {
			path, err := g.Path("/run/lab/conntrackd.ctl")
			if err == nil {
				_, err = os.Stat(path)
			}
			if err != nil {
				return err
			}
		}
		return nil
	})
	s.conntrackd(s.gw1, "-R")
	s.conntrackd(s.gw1, "-B")
	s.wait("conntrackd to know of it on the standby", s.tracked(s.gw2))
	s.must(ours[s.gw2].Stop(patience))
	theirs[s.gw2] = s.theirs(s.gw2, "keepalived", unitWords...)
	s.wait("theirs to be the standby", func(context.Context) error {
		if !strings.Contains(string(theirs[s.gw2].Output()), "Entering BACKUP STATE") {
			return errors.New("not yet")
		}
		return nil
	})
	mark = time.Now()
	s.conntrackd(s.gw2, "-c")
	s.must(ours[s.gw1].Stop(patience))
	s.wait("theirs to take over", s.hasAddresses(s.gw2))
	s.intact(mark)
	mark = time.Now()
	theirs[s.gw1] = s.theirs(s.gw1, "keepalived", unitWords...)
	s.wait("the better one to have the addresses", s.hasAddresses(s.gw1))
	s.intact(mark)
	s.whole()
}

// asKeepalived starts the program by its other name, with the words of the unit.
func (s *scene) asKeepalived(g *pair.Gateway) *lab.Process {
	s.t.Helper()
	link := filepath.Join(s.t.TempDir(), "keepalived")
	s.must(os.Symlink(binary, link))
	// What is below /var/lib is this machine's, unless it is the gateway's own.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `mount -t tmpfs tmpfs /var/lib && exec "$0" "$@"`, link}, unitWords...)...)
	cmd.Stdout = lines{s.journal, g.Name + " | "}
	p, err := g.StartWith(cmd)
	s.must(err)
	return p
}

// theirConf is keepalived's file for keepalived, whose glue is where the node has it.
const theirConf = "/run/lab/their.conf"

// glue is what a pair of conntrackd has notify scripts for.
const glue = `#!/bin/sh
case $1 in
primary) for o in -c -f -R -B; do /usr/sbin/conntrackd -C ` + conntrackdConf + ` $o; done ;;
backup) for o in -t -n; do /usr/sbin/conntrackd -C ` + conntrackdConf + ` $o; done ;;
fault) /usr/sbin/conntrackd -C ` + conntrackdConf + ` -t ;;
esac
`

// theirs starts one of their programs.
func (s *scene) theirs(g *pair.Gateway, name string, args ...string) *lab.Process {
	s.t.Helper()
	path, err := exec.LookPath("/usr/sbin/" + name)
	if err != nil {
		s.t.Fatalf("%v; .ci/tools installs it", err)
	}
	cmd := exec.Command(path, args...)
	cmd.Stdout = lines{s.journal, g.Name + " " + name + " | "}
	p, err := g.StartWith(cmd)
	s.must(err)
	return p
}

// conntrackd tells the conntrackd of a gateway what to do, and returns its answer.
func (s *scene) conntrackd(g *pair.Gateway, order string) string {
	s.t.Helper()
	p, err := g.Node.Start("/usr/sbin/conntrackd", "-C", conntrackdConf, order)
	s.must(err)
	a := s.ended(p)
	if a.code != 0 {
		s.t.Fatalf("conntrackd %s: %s", order, a.out)
	}
	return a.out
}

// hasAddress tells whether a gateway's kernel has an address.
func hasAddress(g *pair.Gateway, iface, address string) (has bool) {
	_ = g.Do(func() error {
		l, err := net.InterfaceByName(iface)
		if err != nil {
			return err
		}
		list, err := l.Addrs()
		for _, a := range list {
			has = has || a.String() == address
		}
		return err
	})
	return has
}
