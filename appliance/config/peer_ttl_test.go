package config

import (
	"net/netip"
	"slices"
	"strings"
	"testing"

	"understudy/appliance/config/keepalived"
	"understudy/vrrp"
)

// TestPeerTTL: what is behind the address of a peer, and what is not a range.
func TestPeerTTL(t *testing.T) {
	toml := func(peers, more string) string {
		return `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
unicast = [` + peers + "]\n" + more
	}
	c := parse(t, "peers.toml", toml(`"10.0.0.3", "10.0.0.4 ttl 60-64", "198.51.100.7  ttl  250"`, `checksum = "group"`))
	r := c.Election().Routers[0]
	addr := netip.MustParseAddr
	want := []vrrp.Peer{{Address: addr("10.0.0.3")}, {Address: addr("10.0.0.4"), Least: 60, Most: 64}, {Address: addr("198.51.100.7"), Routed: true, Least: 250, Most: 255}}
	if !slices.Equal(r.Peers, want) || r.Checksum != vrrp.ChecksumGroup {
		t.Errorf("%+v", r)
	}
	if _, err := vrrp.NewSet(c.Election()); err != nil {
		t.Error(err)
	}
	for _, tt := range []struct{ peer, more, says string }{
		{`"10.0.0.4 ttl 0"`, "", `"ttl 0" is no range of TTLs; write "10.0.0.4 ttl 250", or "10.0.0.4 ttl 60-64"`},
		{`"10.0.0.4 ttl 256"`, "", "is no range of TTLs"},
		{`"10.0.0.4 ttl 64-60"`, "", "is no range of TTLs"},
		{`"10.0.0.4 ttl"`, "", "is no range of TTLs"},
		{`"10.0.0.4 hops 3"`, "", "is no range of TTLs"},
		{`"10.0.0.4", "10.0.0.4 ttl 250"`, "", "10.0.0.4 is there already"},
		{`"fe80::4 ttl 250", "10.0.0.4"`, "", "fe80::4 is an IPv6 address, and the router has none of those"},
		{``, `checksum = "group"`, "group is for adverts to single nodes"},
	} {
		_, err := Parse("peers.toml", []byte(toml(tt.peer, tt.more)), Options{})
		if err == nil || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: want %q, got %v", tt.peer, tt.says, err)
		}
	}
}

// TestPeerTTLOfKeepalived: min_ttl, max_ttl and old_unicast_checksum, and how -t ends, as measured with 2.2.7.
func TestPeerTTLOfKeepalived(t *testing.T) {
	for _, tt := range []struct {
		peers, more string
		want        string // the TOML has
		says        string
		code        int
	}{
		{"10.0.0.3 min_ttl 250", "", `unicast = ["10.0.0.3 ttl 250-255"]`, "", 0},
		{"10.0.0.3 max_ttl 250 min_ttl 60", "", `unicast = ["10.0.0.3 ttl 60-250"]`, "", 0},
		{"10.0.0.3 max_ttl 250", "", `unicast = ["10.0.0.3 ttl 1-250"]`, "", 0},
		{"10.0.0.3\n10.0.0.4 min_ttl 9", "", `"10.0.0.4 ttl 9-255"`, "", 0},
		{"10.0.0.3 max_ttl 0", "", `unicast = ["10.0.0.3"]`, "max_ttl 0: nothing arrives with that", 0},
		{"10.0.0.3 min_ttl 60 max_ttl 50", "", `unicast = ["10.0.0.3"]`, "min_ttl 60 > max_ttl 50 - all packets will be discarded", 5},
		{"10.0.0.3 min_ttl 300", "", `unicast = ["10.0.0.3"]`, "must be between 0 and 255", 5},
		{"10.0.0.3 min_ttl", "", `unicast = ["10.0.0.3"]`, "min_ttl is missing a value", 5},
		{"10.0.0.3 min_ttl x", "", `unicast = ["10.0.0.3"]`, "not a valid number", 5},
		{"10.0.0.3", "old_unicast_checksum", `checksum = "group"`, "", 0},
		{"10.0.0.3", "old_unicast_checksum never", `checksum = "rfc5798"`, "", 0},
		{"10.0.0.3", "old_unicast_checksum x", "", "Unknown old_unicast_chksum mode x", 5},
		{"10.0.0.3", "v3_checksum_as_v2\n old_unicast_checksum", `checksum = "rfc9568"`, "", 0},
		{"", "old_unicast_checksum", "", "old_unicast_checksum without unicast peers", 5},
	} {
		src := "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n version 3\n " + tt.more + "\n unicast_peer {\n" + tt.peers +
			"\n }\n virtual_ipaddress {\n  10.0.0.1/24\n }\n}\n"
		w := bigWorld()
		out, err := Import("k.conf", []byte(src), ImportOptions{Options: Options{World: w}})
		if err != nil {
			t.Errorf("%s %s: %v", tt.peers, tt.more, err)
			continue
		}
		var said []string
		for _, m := range out.Messages {
			said = append(said, m.String())
		}
		if text := strings.Join(said, "\n"); !strings.Contains(out.TOML, tt.want) || !strings.Contains(text, tt.says) || tt.says == "" && text != "" {
			t.Errorf("%s %s: it says %q\n%s", tt.peers, tt.more, text, out.TOML)
		}
		if tt.want == "" && strings.Contains(out.TOML, "checksum =") {
			t.Errorf("%s %s:\n%s", tt.peers, tt.more, out.TOML)
		}
		if code := keepalived.ExitCode(keepalived.Test("k.conf", []byte(src), w)); code != tt.code {
			t.Errorf("%s %s: -t ends with %d, want %d", tt.peers, tt.more, code, tt.code)
		}
	}
}
