package main

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestUnit: the systemd unit knows how the program works: two processes that start
// each other, commands that exist, the capabilities and the real-time class.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../../etc/systemd/understudy.service")
	if err != nil {
		t.Fatal(err)
	}
	unit := map[string]string{} // "Section.Key"
	section := ""
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		switch {
		case line == "" || line[0] == '#':
		case line[0] == '[':
			section = strings.Trim(line, "[]")
		default:
			key, value, ok := strings.Cut(line, "=")
			if _, twice := unit[section+"."+key]; !ok || twice {
				t.Errorf("no setting, or the second of its kind: %q", line)
			}
			unit[section+"."+key] = value
		}
	}
	for key, want := range map[string]string{
		"Service.Type":         "notify",
		"Service.NotifyAccess": "all",    // a new election says MAINPID
		"Service.ExitType":     "cgroup", // the daemon outlives the first process
		"Service.KillMode":     "mixed",  // SIGTERM to the election alone
		"Service.Restart":      "on-failure",
		"Service.LimitRTPRIO":  "40",
		// The default of sessions.journal_dir.
		"Service.StateDirectory": "understudy/sessions", "Service.StateDirectoryMode": "0700",
		"Install.WantedBy": "multi-user.target",
	} {
		if unit[key] != want {
			t.Errorf("%s is %q, want %q", key, unit[key], want)
		}
	}
	for key, want := range map[string]string{"ExecStart": "run", "ExecReload": "reload", "ExecStopPost": "clean"} {
		args := strings.Fields(unit["Service."+key])
		if len(args) < 2 || args[0] != "/usr/bin/understudy" || args[1] != want {
			t.Errorf("%s is %q, want the command %s", key, args, want)
			continue
		}
		command, rest, err := newRoot().Find(args[1:])
		if err != nil || command.Name() != want {
			t.Errorf("%s: no command %s (%v)", key, want, err)
			continue
		}
		if err := command.ParseFlags(rest); err != nil {
			t.Errorf("%s: %v", key, err)
		}
	}
	caps := strings.Fields(unit["Service.CapabilityBoundingSet"])
	slices.Sort(caps)
	if want := []string{"CAP_KILL", "CAP_NET_ADMIN", "CAP_NET_RAW", "CAP_SETGID", "CAP_SETUID", "CAP_SYS_NICE"}; !slices.Equal(caps, want) {
		t.Errorf("capabilities %v, want %v", caps, want)
	}
	families := strings.Fields(unit["Service.RestrictAddressFamilies"])
	for _, f := range []string{"AF_UNIX", "AF_INET", "AF_INET6", "AF_NETLINK", "AF_PACKET"} {
		if !slices.Contains(families, f) {
			t.Errorf("no sockets of %s", f)
		}
	}
	for _, forbids := range []string{"RestrictRealtime", "ProtectKernelTunables", "PrivateNetwork"} {
		if v, there := unit["Service."+forbids]; there {
			t.Errorf("%s=%s keeps it from its work", forbids, v)
		}
	}
	if got := unit["Service.RuntimeDirectoryPreserve"]; got != "restart" {
		t.Errorf("RuntimeDirectoryPreserve is %q: what has been saved there would be gone", got)
	}
}
