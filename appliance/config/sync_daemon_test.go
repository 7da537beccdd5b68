package config

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestSyncDaemon: lvs_sync_daemon keeps connections, where both nodes are known and there is
// a secret; else its line says what is missing.
func TestSyncDaemon(t *testing.T) {
	src := `global_defs {
 lvs_sync_daemon eth1 b id 3
}
vrrp_instance a {
 interface eth0
 virtual_router_id 1
 virtual_ipaddress { 10.0.0.1/24 }
}
vrrp_instance b {
 interface eth1
 virtual_router_id 2
 unicast_src_ip 10.1.0.2
 unicast_peer {
  10.1.0.3
 }
 virtual_ipaddress { 10.1.0.1/24 }
}
`
	dir := t.TempDir()
	path := filepath.Join(dir, "keepalived.conf")
	load := func(src string) *Config {
		t.Helper()
		c, err := Parse(path, []byte(src), Options{World: bigWorld(), ReadSecret: ReadSecretFile})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	if c := load(src); c.Sessions != nil || !strings.Contains(strings.Join(c.Warnings, "\n"), "keepalived.conf: Line 2) lvs_sync_daemon: not carried over: there is no cluster secret") {
		t.Errorf("without a secret: %+v", c)
	}
	if err := os.WriteFile(filepath.Join(dir, "understudy.secret"), []byte(goodSecret), 0o600); err != nil {
		t.Fatal(err)
	}
	c := load(src)
	if c.Sessions == nil || c.Node != "10.1.0.2" || c.Sessions.Peers[0].Name != "10.1.0.3" || c.Sessions.Listen[0] != netip.MustParseAddrPort("10.1.0.2:7788") {
		t.Errorf("with it: %+v", c.Sessions)
	}
	if c := load(strings.Replace(src, "  10.1.0.3\n", "  10.1.0.3\n  10.1.0.4\n", 1)); c.Sessions != nil || !strings.Contains(strings.Join(c.Warnings, "\n"), "Line 2) lvs_sync_daemon: not carried over: the address of the other node") {
		t.Errorf("with two others: %v", c.Warnings)
	}
}
