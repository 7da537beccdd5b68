package e2e

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strings"
	"testing"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// Where the files are of a gateway that runs by keepalived's.
const (
	keepalivedConf = "/run/lab/keepalived.conf"
	conntrackdConf = "/run/lab/conntrackd.conf"
	besideSecret   = "/run/lab/understudy.secret"
)

// keepalivedFile is the configuration of a gateway as a team with keepalived and
// conntrackd has it.
const keepalivedFile = `
global_defs {
    router_id gateways          # the same on both, as it often is
    vrrp_version 3
    enable_dbus
}
vrrp_script told_once {
    script "/bin/true"
    interval 1
}
vrrp_sync_group gateway {
    group { lan wan }
    notify_master "/etc/conntrackd/primary-backup.sh primary"
    notify_backup "/etc/conntrackd/primary-backup.sh backup"
    notify_fault "/etc/conntrackd/primary-backup.sh fault"
    notify /run/lab/told
}
$PRIORITY=%d
~LST({NAME, IF, ID, VIP, MORE}, {lan, lan0, 51, 10.0.0.1/24, 10.0.7.1/24}, {wan, wan0, 52, 203.0.113.1/24, 203.0.113.77/32}) $INSTANCE
`

// instanceBlock is a variable of several lines.
const instanceBlock = `$INSTANCE= \
vrrp_instance $NAME { \
    state BACKUP \
    interface $IF \
    virtual_router_id $ID \
    priority $PRIORITY \
    advert_int 0.1 \
    virtual_ipaddress { \
        $VIP dev $IF \
    } \
    virtual_ipaddress_excluded { \
        $MORE \
    } \
    track_script { \
        told_once \
    } \
}
`

const conntrackdFile = `
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
    UNIX {
        Path /var/run/conntrackd.ctl
    }
}
`

// ruleset is the translation of that team: its own.
const ruleset = `table ip theirs {
	chain out {
		type nat hook postrouting priority srcnat
		oifname "wan0" ip saddr 10.0.0.0/24 snat to 203.0.113.1
	}
}
`

// team gives a gateway the files of a team with keepalived and conntrackd, and its
// translation. Ours has been there for a moment, for the sake of the control client.
func (s *scene) team(i int, g *pair.Gateway) {
	s.t.Helper()
	nft, err := exec.LookPath("nft")
	if err != nil {
		s.t.Fatalf("%v; .ci/tools installs nftables", err)
	}
	s.must(g.Start())
	s.must(g.Kill())
	for file, text := range map[string]string{
		keepalivedConf: instanceBlock + fmt.Sprintf(keepalivedFile, 200-100*i),
		conntrackdConf: fmt.Sprintf(conntrackdFile, i+1, 2-i),
		besideSecret:   "",
		"/run/lab/nft": ruleset,
	} {
		mode := os.FileMode(0o644)
		if file == besideSecret {
			text, mode = strings.Repeat("QUJD", 10)+"QUI=\n", 0o600
		}
		s.must(g.WriteFile(file, []byte(text), mode))
	}
	s.must(g.Sysctl("ipv4/ip_forward", "1")) // theirs leaves that to the team
	s.must(g.WriteFile("/run/lab/told", []byte("#!/bin/sh\necho \"$@\" >>/run/lab/heard\n"), 0o755))
	p, err := g.Node.Start(nft, "-f", "/run/lab/nft")
	s.must(err)
	if a := s.ended(p); a.code != 0 {
		s.t.Fatalf("nft: %s", a.out)
	}
}

// byKeepalivedConf starts the program by keepalived's file.
func (s *scene) byKeepalivedConf(g *pair.Gateway) *lab.Process {
	s.t.Helper()
	// What is below /var/lib is this machine's, unless it is the gateway's own.
	cmd := exec.Command("/bin/sh", "-c", `mount -t tmpfs tmpfs /var/lib && exec "$0" run --config `+keepalivedConf, binary)
	cmd.Stdout = lines{s.journal, g.Name + " | "}
	p, err := g.StartWith(cmd)
	s.must(err)
	return p
}

// TestKeepalivedPair: two gateways that run by the keepalived.conf and conntrackd.conf
// of a team that has never heard of us, translated by rules of its own. One crashes,
// and every flow goes on.
func TestKeepalivedPair(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	for i, g := range s.Gateways {
		s.team(i, g)
		if out := s.ok(g, "check", "--config", keepalivedConf); !strings.Contains(out, "(/run/lab/keepalived.conf: Line 22) enable_dbus: not carried over") ||
			!strings.Contains(out, "valid: node 10.255.0."+fmt.Sprint(i+1)) {
			t.Fatalf("check says\n%s", out)
		}
		s.byKeepalivedConf(g)
	}
	s.wait("the better one to be active", all(s.gw1.Is("active"), s.gw2.Is("backup"), s.gw1.InSync, s.gw2.InSync))
	var err error
	s.traffic, err = s.StartTraffic(s.within(patience), pair.TrafficOptions{Connections: 20})
	s.must(err)
	s.wait("translated flows", func(context.Context) error {
		if n := len(natted(s.table(s.gw1))); n < 4 {
			return fmt.Errorf("%d", n)
		}
		return nil
	})
	s.wait("equal tables", s.tablesEqual(s.gw1))
	held := func(g *pair.Gateway, iface string) string {
		var out []string
		s.must(g.Do(func() error {
			l, err := net.InterfaceByName(iface)
			if err != nil {
				return err
			}
			list, err := l.Addrs()
			for _, a := range list {
				out = append(out, a.String())
			}
			return err
		}))
		return strings.Join(out, " ")
	}
	for iface, more := range map[string]string{"lan0": "10.0.7.1/24", "wan0": "203.0.113.77/32"} {
		if !strings.Contains(held(s.gw1, iface), more) || strings.Contains(held(s.gw2, iface), more) {
			t.Errorf("%s is to be on gw1 alone: %s; %s", more, held(s.gw1, iface), held(s.gw2, iface))
		}
	}
	cut := s.crash(s.gw1)
	s.intact(cut)
	s.whole()
	for iface, more := range map[string]string{"lan0": "10.0.7.1/24", "wan0": "203.0.113.77/32"} {
		s.wait(more+" to move along", func(context.Context) error {
			if have := held(s.gw2, iface); !strings.Contains(have, more) {
				return errors.New(have)
			}
			return nil
		})
	}
	s.wait("the program to be told", func(context.Context) error {
		path, err := s.gw2.Path("/run/lab/heard")
		if err != nil {
			return err
		}
		heard, err := os.ReadFile(path)
		if err == nil && !strings.HasSuffix(string(heard), "GROUP gateway MASTER 0\n") {
			err = fmt.Errorf("it heard %q", heard)
		}
		return err
	})
	if n := len(s.journal.of(s.gw2, "primary-backup")); n > 0 {
		t.Errorf("the glue of conntrackd was run, or spoken of as run: %d lines", n)
	}
}
