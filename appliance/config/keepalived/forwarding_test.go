package keepalived

import (
	"fmt"
	"strings"
	"testing"
)

// What lb_kind and lvs_method say of servers, and the type of a tunnel.
func TestForwardingMethods(t *testing.T) {
	for _, row := range []struct{ of, server, want, said string }{
		{"", "", "<nil> <nil> 10.0.1.1:80", ""},
		{"lb_kind NAT", "", "<nil> <nil> 10.0.1.1:80", ""},
		{"lb_kind DR", "", "direct <nil> 10.0.1.1", ""},
		{"lb_kind TUN", "", "tunnel <nil> 10.0.1.1", ""},
		{"lvs_method tun type ipip nocsum", "", "tunnel <nil> 10.0.1.1", ""},
		{"lvs_method TUN type gre", "", "tunnel gre 10.0.1.1", ""},
		{"lvs_method TUN type gue port 5555", "lvs_method TUN type gue port 5555 nocsum", "tunnel gue:5555 10.0.1.1", ""},
		{"", "lvs_method TUN", "tunnel <nil> 10.0.1.1", ""},
		{"lvs_method TUN type gre csum", "", "tunnel gre 10.0.1.1", "not carried over: csum; packets are without checksums of the tunnel"},
		{"lvs_method TUN type gue port 70000", "", "tunnel <nil> 10.0.1.1", "'gue port 70000' is no type"},
		{"lvs_method TUN type gue", "", "tunnel <nil> 10.0.1.1", "'gue' is no type"},
		{"lvs_method TUN gre", "", "tunnel <nil> 10.0.1.1", "'gre' is not \"type\" and a type"},
		{"lvs_method TUN", "lvs_method TUN type gue port 9", "", "lvs_method TUN type gue port 9 beside TUN"},
		{"lvs_method DR", "lvs_method TUN", "", "lvs_method TUN beside DR"},
		{"lvs_method TUN\nsorry_server 10.0.1.9 80\nsorry_server_lvs_method TUN", "", "tunnel <nil> 10.0.1.1 spare 10.0.1.9", ""},
		{"lvs_method TUN\nsorry_server 10.0.1.9 80\nsorry_server_lvs_method DR", "", "tunnel <nil> 10.0.1.1", "it would get packets by DR, and the servers do not"},
	} {
		other := row.server
		if row.want == "" { // they differ
			other = ""
		}
		src := "vrrp_instance a {\n interface eth0\n virtual_router_id 1\n virtual_ipaddress { 10.0.0.1/24 }\n}\n" +
			"virtual_server 10.0.0.1 80 {\nreal_server 10.0.1.2 80 {\n" + other + "\n}\n" + row.of + "\nprotocol TCP\nreal_server 10.0.1.1 80 {\n" + row.server + "\n}\n}\n"
		f, said := Parse("x.conf", []byte(src), World{})
		doc, more := Convert(f, Options{}, World{})
		got := ""
		if nat, _ := doc.values["nat"].(*Table); nat != nil {
			e := nat.values["entry"].([]*Table)[0]
			got = fmt.Sprint(e.values["forward"], " ", e.values["tunnel"], " ", e.values["servers"].([]*Table)[1].values["address"])
			if spare := e.values["spare"]; spare != nil {
				got += fmt.Sprint(" spare ", spare)
			}
		}
		var text []string
		for _, m := range append(said, more...) {
			if m.Level > Note {
				text = append(text, m.String())
			}
		}
		all := strings.Join(text, "\n")
		if got != row.want || row.said == "" && all != "" || !strings.Contains(all, row.said) {
			t.Errorf("%q, %q: want %q, got %q; want said %q, got\n%s", row.of, row.server, row.want, got, row.said, all)
		}
	}
}
