package config

import (
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/config/keepalived"
	"understudy/health"
	"understudy/vrrp"
)

// TestLinks: the election has the delays of all links, the tracker those of links that weigh something.
func TestLinks(t *testing.T) {
	c := parse(t, "links.toml", `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
track = ["interface:up0:-20", "interface:up1:-20", "interface:up2:-20"]
[[link]]
interface = "lan0"
down_delay = "1999ms"
[[link]]
interface = "up0"
down_delay = "3s"
up_delay = "500ms"
[[link]]
interface = "up1"
up_delay = "4s"
`)
	want := []vrrp.LinkDelay{{Interface: "lan0", Down: 1999 * time.Millisecond}, {Interface: "up0", Down: 3 * time.Second, Up: 500 * time.Millisecond}, {Interface: "up1", Up: 4 * time.Second}}
	if got := c.Election().Delays; !slices.Equal(got, want) {
		t.Errorf("the election: %v", got)
	}
	var got [][2]time.Duration
	for _, s := range c.Health().Sources {
		if s.Kind == health.KindInterface {
			got = append(got, [2]time.Duration{s.DownAfter, s.UpAfter})
		}
	}
	if !reflect.DeepEqual(got, [][2]time.Duration{{3 * time.Second, time.Second}, {0, 4 * time.Second}, {0, time.Second}}) {
		t.Errorf("the tracker: %v", got)
	}
}

// TestLinksOfKeepalived: what interface_up_down_delays becomes, bounded as measured with 2.2.7 (1.996 s there, too), and
// how -t ends.
func TestLinksOfKeepalived(t *testing.T) {
	const instances = `
vrrp_instance a {
 interface eth0
 virtual_router_id 1
 track_interface {
  eth1
 }
 virtual_ipaddress {
  10.0.0.1/24
 }
}
vrrp_instance b {
 interface eth2
 virtual_router_id 2
 version 3
 advert_int 0.1
 down_timer_adverts 4
 virtual_ipaddress {
  10.2.0.1/24
 }
}
vrrp_instance c {
 interface eth3
 virtual_router_id 3
 down_timer_adverts 1
 virtual_ipaddress {
  10.3.0.1/24
 }
}
`
	ms := time.Millisecond
	for _, tt := range []struct {
		lines string
		want  []Link
		says  string // some message
		code  int
	}{
		{"eth0 1.5", []Link{{"eth0", 1500 * ms, 0}}, "", 0},
		{"eth0 1.5 0.25", []Link{{"eth0", 1500 * ms, 250 * ms}}, "", 0},
		{"eth0 1 1 9", []Link{{"eth0", time.Second, time.Second}}, "", 0},
		{"eth0 5.5 7", []Link{{"eth0", 1996 * ms, 1996 * ms}}, "Line 2) a: delays of interface eth0 have to be less than 2s", 0},
		{"eth1 5.5 7", []Link{{"eth1", 5500 * ms, 7 * time.Second}}, "", 0},
		{"eth2 1", []Link{{"eth2", 296 * ms, 0}}, "b: delays of interface eth2", 0},
		{"eth3 1 1", nil, "c: delays of interface eth3 have to be less than 0s", 0},
		{"eth0 0 1\neth1 0\neth0 1", []Link{{"eth0", time.Second, 0}}, "", 0},
		{"eth0", nil, "", 0},
		{"eth4 1", nil, "Line 2) interface_up_down_delays: not carried over: eth4 is the interface of no router", 0},
		{"eth0 300", nil, "Line 2) eth0 '300' - must be between 0 and 255 seconds", 5},
		{"eth0 1 300", nil, "must be between 0 and 255", 5},
		{"eth0 1 -1", nil, "must be between 0 and 255", 5},
		{"eth0 x", nil, "not a valid number", 5},
		{"eth9 1", nil, "", 4},
	} {
		src := "interface_up_down_delays {\n" + tt.lines + "\n}\n" + instances
		w := bigWorld()
		w.Interface = func(name string) bool { return name < "eth9" }
		out, err := Import("k.conf", []byte(src), ImportOptions{Options: Options{World: w}})
		if err != nil {
			t.Errorf("%s: %v", tt.lines, err)
			continue
		}
		var said []string
		for _, m := range out.Messages {
			if strings.Contains(m.String(), "state MASTER") {
				continue
			}
			said = append(said, m.String())
		}
		text := strings.Join(said, "\n")
		if !slices.Equal(out.Config.Links, tt.want) || !strings.Contains(text, tt.says) || tt.says == "" && tt.code == 0 && text != "" {
			t.Errorf("%s: %v, and it says %q", tt.lines, out.Config.Links, text)
		}
		if code := keepalived.ExitCode(keepalived.Test("k.conf", []byte(src), w)); code != tt.code {
			t.Errorf("%s: -t ends with %d, want %d", tt.lines, code, tt.code)
		}
	}
}
