package kernel

import "testing"

func TestMirrorSettings(t *testing.T) {
	for strict, want := range map[bool]string{false: "0", true: "2"} {
		got := MirrorSettings("mir.0", strict)
		if len(got) != 1 || got[0].Key != "net.ipv4.conf.mir/0.rp_filter" || got[0].Value != want {
			t.Errorf("strict %v: %+v", strict, got)
		}
	}
}
