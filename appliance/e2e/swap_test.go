package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os/exec"
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

// TestSwapUnderTraffic: a pair of keepalived and conntrackd becomes one of ours, a node
// at a time, with connections through it. Not one is lost: the standby goes first, and
// conntrackd's cache is put into its kernel before the other one is stopped.
func TestSwapUnderTraffic(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	theirs := map[*pair.Gateway]*lab.Process{}
	tracking := map[*pair.Gateway]*lab.Process{}
	for i, g := range s.Gateways {
		s.team(i, g)
		s.must(g.WriteFile(conntrackdConf, []byte(fmt.Sprintf(theirConntrackd, i+1, 2-i)), 0o644))
		s.must(g.WriteFile("/run/lab/primary-backup.sh", []byte(glue), 0o755))
		s.must(g.WriteFile(theirConf, []byte(strings.ReplaceAll(instanceBlock+fmt.Sprintf(keepalivedFile, 200-100*i),
			"/etc/conntrackd/", "/run/lab/")), 0o644))
		tracking[g] = s.theirs(g, "conntrackd", "-C", conntrackdConf)
	}
	for _, g := range s.Gateways {
		theirs[g] = s.theirs(g, "keepalived", "--vrrp", "--dont-fork", "--log-console", "--use-file="+theirConf,
			"--pid=/run/lab/k.pid", "--vrrp_pid=/run/lab/v.pid")
	}
	s.wait("their pair", func(context.Context) error {
		if !hasAddress(s.gw1, "lan0", "10.0.0.1/24") || hasAddress(s.gw2, "lan0", "10.0.0.1/24") {
			return errors.New("the addresses are not on gw1 alone")
		}
		return nil
	})
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 20})
	s.must(err)
	s.wait("conntrackd to know of it on both", func(context.Context) error {
		if n := strings.Count(s.conntrackd(s.gw2, "-e"), "sport="); n < 24 {
			return fmt.Errorf("gw2 knows %d flows", n)
		}
		return nil
	})

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
