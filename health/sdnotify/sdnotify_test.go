package sdnotify

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		name, in string
		want     Message
		ok       bool
	}{
		{"ready", "READY=1", Message{Ready: true}, true},
		{"a line end behind it", "READY=1\n", Message{Ready: true}, true},
		{"a NUL behind it", "WATCHDOG=1\x00", Message{Alive: true}, true},
		{"several", "STOPPING=1\nSTATUS=Shutting down…\nERRNO=0", Message{Stopping: true, Status: "Shutting down…"}, true},
		{"asks to be taken for dead", "WATCHDOG=trigger", Message{Trigger: true}, true},
		{"both", "WATCHDOG=1\nWATCHDOG=trigger", Message{Alive: true, Trigger: true}, true},
		{"what is not known", "FDSTORE=1\nX_MINE=WATCHDOG=1\nnothing\n=\n", Message{}, true},
		{"other values", "READY=0\nWATCHDOG=2\nSTOPPING=yes", Message{}, true},
		{"case counts", "ready=1\nWATCHDOG=Trigger", Message{}, true},
		{"another timer", "WATCHDOG_USEC=1000", Message{}, true},
		{"nothing", "", Message{}, true},
		{"the last status counts", "STATUS=a\nSTATUS=b", Message{Status: "b"}, true},
		{"a status that is not fit to print", "STATUS= a\x07b\xff ", Message{Status: "a b?"}, true},
		{"a NUL inside", "READY=1\x00WATCHDOG=1", Message{}, false},
		{"too long", strings.Repeat("A", MaxSize+1), Message{}, false},
	} {
		if got, ok := Parse([]byte(tt.in)); got != tt.want || ok != tt.ok {
			t.Errorf("%s: %+v %v, want %+v %v", tt.name, got, ok, tt.want, tt.ok)
		}
	}
	got, _ := Parse([]byte("STATUS=" + strings.Repeat("ü", 200)))
	if n := len(got.Status); n > maxStatus || n < maxStatus-4 || !utf8.ValidString(got.Status) {
		t.Errorf("a long status has %d octets: %q", n, got.Status)
	}
}

// FuzzParse: whatever comes, a line by itself says what it says among others.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"READY=1", "WATCHDOG=1\nSTATUS=x", "WATCHDOG=trigger\x00", "STOPPING=1\n\n=\n", "A\x00B"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, ok := Parse(b)
		if !ok {
			if m != (Message{}) {
				t.Fatalf("refused, and has %+v", m)
			}
			return
		}
		if len(m.Status) > maxStatus || !utf8.ValidString(m.Status) || strings.ContainsAny(m.Status, "\n\x00") {
			t.Fatalf("status %q", m.Status)
		}
		var sum Message
		for line := range strings.SplitSeq(strings.TrimSuffix(string(b), "\x00"), "\n") {
			one, ok := Parse([]byte(line))
			if !ok {
				t.Fatalf("the line %q is refused alone", line)
			}
			sum.Ready = sum.Ready || one.Ready
			sum.Stopping = sum.Stopping || one.Stopping
			sum.Alive = sum.Alive || one.Alive
			sum.Trigger = sum.Trigger || one.Trigger
		}
		sum.Status = m.Status
		if sum != m {
			t.Fatalf("%+v, line by line %+v", m, sum)
		}
	})
}
