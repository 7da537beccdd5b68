package keepalived

import "testing"

// The same values as keepalived 2.2.7 takes, and none that it refuses.
func TestUmask(t *testing.T) {
	for text, want := range map[string]int{"022": 0o22, "0x12": 0o22, "18": 0o22, "0177": 0o177, "IWGRP|IWOTH": 0o22, "IRUSR": 0o400,
		"": -1, "999999": -1, "foo": -1, "IRWXG": -1, "IRUSR|foo": -1} {
		f, said := Parse("x.conf", []byte("global_defs {\n umask "+text+"\n}\n"), Elsewhere())
		if got := f.Global.Umask.or(-1); got != want || (want < 0) != (len(said) == 1 && said[0].Level == Fault && said[0].Line == 2) {
			t.Errorf("%q: %#o, %v", text, got, said)
		}
	}
}
