package config

import (
	"fmt"
	"strings"
	"testing"
)

// TestReverse: what is tracked in reverse, and who looks at it.
func TestReverse(t *testing.T) {
	c := parse(t, "x.toml", `node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
track = ["check:up:reverse", "interface:eth1:reverse", "interface:eth2:-20:reverse", "interface:eth3"]
`+check("up", ""))
	var got []string
	for _, k := range c.Health().Groups[0].Routers[0].Track {
		got = append(got, fmt.Sprint(k.Source, " ", k.Weight, " ", k.Reverse))
	}
	if want := "check up 0 true|interface eth1 0 true|interface eth2 -20 true"; strings.Join(got, "|") != want {
		t.Errorf("want %s, got %s", want, strings.Join(got, "|"))
	}
	if want, got := "[eth3]", fmt.Sprint(c.Election().Routers[0].Track); got != want {
		t.Errorf("the election tracks %s, want %s", got, want)
	}
	if want, got := "[eth1 eth2]", fmt.Sprint(c.WeighedInterfaces()); got != want {
		t.Errorf("links that are told: %s, want %s", got, want)
	}
	for _, bad := range []string{"bond:bond0:reverse", "check:up:reverse:-5", "check:up:0:reverse", "interface:lan0:reverse"} {
		_, err := Parse("x.toml", []byte(`node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
track = ["`+bad+`"]
[[bond]]
name = "bond0"
`+check("up", "")), Options{})
		if err == nil || !strings.Contains(err.Error(), "x.toml:7: router[0].track[0]: ") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
