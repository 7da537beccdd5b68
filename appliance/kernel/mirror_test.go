package kernel

import "testing"

func TestMirrorSettings(t *testing.T) {
	for strict, want := range map[bool]string{false: "0", true: "2"} {
		got := MirrorSettings("mir.0", strict, false)
		if len(got) != 1 || got[0].Key != "net.ipv4.conf.mir/0.rp_filter" || got[0].Value != want {
			t.Errorf("strict %v: %+v", strict, got)
		}
		if six := MirrorSettings("mir.0", strict, true); len(six) != 2 || six[1].Key != "net.ipv6.conf.mir/0.disable_ipv6" || six[1].Value != "0" {
			t.Errorf("strict %v, IPv6: %+v", strict, six)
		}
	}
}
