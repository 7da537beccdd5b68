package keepalived

import (
	"strings"
	"testing"
)

// TestRefusedServers: what cannot be steered here is refused by a test of the file, with
// the reason, at its line.
func TestRefusedServers(t *testing.T) {
	instance := "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1/24 }\n}\n"
	for _, row := range []struct {
		name, options string
		code          int
		said          string
	}{
		{"as it should be", "lb_algo wrr\nlb_kind NAT", 0, ""},
		{"direct routing", "lb_algo wrr\nlb_kind DR", 0, ""},
		{"a tunnel", "lvs_sched rr\nlvs_method TUN", 4, "Line 8) virtual_server [10.0.0.1]:80/tcp: not carried over: lb_kind TUN"},
		{"a cache's algorithm", "lb_algo lblcr\nlb_kind NAT", 4, "Line 7) virtual_server [10.0.0.1]:80/tcp: not carried over: lblcr"},
		{"no algorithm", "lb_algo best\nlb_kind NAT", 5, "Line 7) Invalid lvs_scheduler 'best'"},
		{"a quorum that cannot be", "quorum 1\nhysteresis 1", 5, "hysteresis 1 must be less than the quorum 1"},
	} {
		src := instance + "virtual_server 10.0.0.1 80 {\n" + row.options + "\nprotocol TCP\nreal_server 10.0.1.1 80 {\n}\n}\n"
		list := Test("x.conf", []byte(src), World{})
		var said []string
		for _, m := range list {
			said = append(said, m.String())
		}
		if code := ExitCode(list); code != row.code || !strings.Contains(strings.Join(said, "\n"), row.said) {
			t.Errorf("%s: want %d and %q, got %d and\n%s", row.name, row.code, row.said, code, strings.Join(said, "\n"))
		}
	}
}
