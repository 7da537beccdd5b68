package main

import (
	"strings"
	"testing"

	"understudy/appliance/daemon"
)

// TestKeepalivedFlags: what keepalived's flags print, and with which exit code.
func TestKeepalivedFlags(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "good.conf", "vrrp_instance a {\n interface lo\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n}\n", 0o644)
	write(t, dir, "wrong.conf", "vrrp_instance a {\n interface lo\n virtual_router_id 1\n nonsense\n virtual_ipaddress { 10.0.0.1 }\n}\n", 0o644)
	write(t, dir, "main.conf", "include wrong.conf\n", 0o644)
	write(t, dir, "away.conf", "vrrp_instance a {\n interface none0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n}\n", 0o644)
	write(t, dir, "script.conf", "vrrp_script s {\n script /bin/true\n}\nvrrp_instance a {\n interface lo\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n track_script {\n s\n }\n}\n", 0o644)
	write(t, dir, "tunnel.conf", "vrrp_instance a {\n interface lo\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1 }\n}\n"+
		"virtual_server 10.0.0.1 80 {\n lb_kind TUN\n protocol TCP\n real_server 10.9.0.1 80 {\n }\n}\n", 0o644)
	tunnels, reason := 0, ""
	if daemon.CanTunnel() != nil { // as this kernel has it
		tunnels, reason = 4, "(Line 7) virtual_server [10.0.0.1]:80/tcp: not carried over: lb_kind TUN: tunnels to servers take IPVS (module ip_vs), which is not to be had: "
	}
	for _, row := range []struct {
		args      string
		code      int
		out, errs string // parts
	}{
		{"-t -f good.conf", 0, "", ""},
		{"--config-test --use-file=wrong.conf", 5, "", "(Line 4) Unknown keyword 'nonsense'"},
		{"-t -f main.conf", 5, "", "(wrong.conf: Line 4) Unknown keyword 'nonsense'"},
		{"-t -f away.conf", 5, "", "none0"},
		{"-t -f script.conf", 6, "", "SECURITY VIOLATION"},
		{"-t -f tunnel.conf", tunnels, "", reason},
		{"-t -f missing.conf", 0, "", "missing.conf"},
		{"-t -e -f missing.conf", 4, "", "missing.conf"},
		{"-v", 0, "", "Keepalived v2.2.7 ("},
		{"-h", 0, "", "Usage: keepalived"},
		{"--signum=STATS_CLEAR", 0, "63\n", ""},
		{"--signum=NONE", 1, "", "Unknown sigfunc NONE"},
		{"--nonsense", 1, "", "nonsense"},
		{"-t stray -f good.conf", 0, "", "Unexpected argument 'stray'"},
	} {
		code, out, errs := understudy(t, dir, append([]string{"keepalived"}, strings.Fields(row.args)...)...)
		if code != row.code || out != row.out || !strings.Contains(errs, row.errs) || row.errs == "" && errs != "" {
			t.Errorf("%s: exit code %d, want %d\n%s\n%s", row.args, code, row.code, out, errs)
		}
	}
}
