package vrrp_test

import (
	"testing"

	"understudy/vrrp"
)

// Every kind has a word of its own, and it comes back.
func TestKindsAreWords(t *testing.T) {
	seen := map[string]bool{}
	for k := vrrp.InStart; k <= vrrp.InStop; k++ {
		b, _ := k.MarshalText()
		var back vrrp.InputKind
		if err := back.UnmarshalText(b); err != nil || back != k || len(b) == 0 || seen[string(b)] {
			t.Errorf("input %d is %q, and comes back as %d: %v", k, b, back, err)
		}
		seen[string(b)] = true
	}
	for k := vrrp.OpSend; k <= vrrp.OpDrop; k++ {
		b, _ := k.MarshalText()
		var back vrrp.OpKind
		if err := back.UnmarshalText(b); err != nil || back != k || len(b) == 0 || seen[string(b)+"op"] {
			t.Errorf("op %d is %q, and comes back as %d: %v", k, b, back, err)
		}
		seen[string(b)+"op"] = true
	}
	if (vrrp.InStop+1).String() != "unknown" || (vrrp.OpDrop+1).String() != "unknown" {
		t.Error("the last kind is not the last")
	}
}
