package entry

import (
	"net/netip"
	"testing"
)

// What Jenkins' own test prints (lookup3.c, driver5).
func TestHash(t *testing.T) {
	const key = "Four score and seven years ago"
	for seed, want := range map[uint32]uint32{0: 0x17770551, 1: 0xcd628161} {
		if got := hashOf([]byte(key), seed); got != want {
			t.Errorf("seed %d: %#x, want %#x", seed, got, want)
		}
	}
	if s := SlotOf(netip.MustParseAddr("2001:db8::1"), 7); s < 0 || s >= 7 {
		t.Errorf("slot %d of 7", s)
	}
}
