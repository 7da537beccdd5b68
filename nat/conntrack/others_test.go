package conntrack

import (
	"slices"
	"strings"
	"testing"
)

func TestListeners(t *testing.T) {
	const list = `sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode
0000000000000000 0   1          00000001 0        0        0     2        0        1
0000000000000000 12  100        00000000 0        0        0     2        0        2
0000000000000000 12  200        00000007 0        0        0     2        0        3
0000000000000000 12  -300       00000004 0        0        0     2        0        4
0000000000000000 12  400        00000040 0        0        0     2        0        5
0000000000000000 12  500        80000002 0        0        0     2        7        6
`
	got, err := listeners(strings.NewReader(list), []uint32{500})
	minus := int32(-300)
	if want := []uint32{200, uint32(minus)}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v; want %v", got, err, want)
	}
	for _, bad := range []string{"heading\nx\n", "heading\na b c d\n", "heading\na 12 c d\n", "heading\na 12 1 zz\n"} {
		if got, err := listeners(strings.NewReader(bad), nil); err == nil {
			t.Errorf("%q: %v", bad, got)
		}
	}
}
