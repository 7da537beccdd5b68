package vrrp

import (
	"fmt"
	"testing"
)

func TestS7_3_VirtualMAC(t *testing.T) {
	for _, c := range []struct {
		family, vrid uint8
		want         string
	}{
		{4, 1, "00005e000101"}, {4, 51, "00005e000133"}, {4, 255, "00005e0001ff"},
		{6, 1, "00005e000201"}, {6, 51, "00005e000233"}, {6, 255, "00005e0002ff"},
	} {
		if got := fmt.Sprintf("%x", VirtualMAC(c.family, c.vrid)); got != c.want {
			t.Errorf("VRID %d of IPv%d: want %s, got %s", c.vrid, c.family, c.want, got)
		}
	}
}
