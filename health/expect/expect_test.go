package expect

import (
	"bytes"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestParseSpan(t *testing.T) {
	for in, want := range map[string]Span{"200": {200, 200}, "200-299": {200, 299}, " 1 - 2 ": {1, 2}, "0": {0, 0}} {
		if got, err := ParseSpan(in); err != nil || got != want {
			t.Errorf("%q: %v, %v", in, got, err)
		}
	}
	for _, in := range []string{"", "-", "299-200", "-1", "2x", "1-2-3", "ok"} {
		if got, err := ParseSpan(in); err == nil {
			t.Errorf("%q is %v", in, got)
		}
	}
	for _, s := range []string{"200", "200-299"} {
		if got, _ := ParseSpan(s); got.String() != s {
			t.Errorf("%q is written %q", s, got)
		}
	}
}

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, answer string
		want            bool
	}{
		{"", "", true},
		{"", "anything", true},
		{"pong", "xpongx", true},
		{"pong", "PONG", false},
		{"hex:", "", true},
		{"hex:80 01", "\x80\x01\x02", true},
		{"hex:8001", "\x80", false},
		{"hex:8001", "\x00\x80\x01", false},
		{"hex:8X0x", "\x8f\x0f", true},
		{"hex:8X0x", "\x9f\x0f", false},
		{"hex:XX", "\x00", true},
		{"hex:XX", "", false},
	} {
		p, err := ParsePattern(tt.pattern)
		if err != nil || p.In([]byte(tt.answer)) != tt.want {
			t.Errorf("%q in %q: %v, %v", tt.pattern, tt.answer, !tt.want, err)
		}
	}
	for _, in := range []string{"hex:8", "hex:8g", "hex:X"} {
		if _, err := ParsePattern(in); err == nil {
			t.Errorf("%q is taken", in)
		}
	}
}

// What was sent in hexadecimal is met by its own pattern, and by no shorter answer.
func TestOctetsMeetTheirPattern(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := Hexadecimal + rapid.StringMatching(`([0-9a-fA-F]{2}){1,20}`).Draw(t, "octets")
		b, err := Octets(text)
		if err != nil {
			t.Fatal(err)
		}
		p, err := ParsePattern(text)
		if err != nil || !p.In(append(bytes.Clone(b), 1)) || p.In(b[:len(b)-1]) {
			t.Fatalf("%q: %v", text, err)
		}
		i := rapid.IntRange(0, len(b)-1).Draw(t, "which")
		b[i] ^= byte(rapid.IntRange(1, 255).Draw(t, "change"))
		if p.In(b) {
			t.Fatal("another octet will do")
		}
	})
	if b, err := Octets("ping"); string(b) != "ping" || err != nil {
		t.Error(b, err)
	}
	if _, err := Octets("hex:0"); err == nil {
		t.Error("half an octet")
	}
}

func TestParseDigest(t *testing.T) {
	md5, sha := "MD5:"+strings.Repeat("aB", 16), "sha256:"+strings.Repeat("0f", 32)
	for _, in := range []string{md5, sha} {
		if d, err := ParseDigest(in); err != nil || d.String() != strings.ToLower(in) {
			t.Errorf("%q: %v, %v", in, d, err)
		}
	}
	for _, in := range []string{"", "md5", "md5:", "md5:" + strings.Repeat("a", 31), "md5:" + strings.Repeat("g", 32), "sha1:" + strings.Repeat("a", 40), "sha256:" + strings.Repeat("a", 32)} {
		if d, err := ParseDigest(in); err == nil {
			t.Errorf("%q is %v", in, d)
		}
	}
	if (Digest{}).String() != "" {
		t.Error("none has a text")
	}
}
