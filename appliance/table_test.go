package appliance

import (
	"fmt"
	"math/rand"
	"strings"
	"testing"
	"text/tabwriter"
)

// The layout is that of text/tabwriter, but for spaces at the ends of lines.
func TestTableIsATabwriter(t *testing.T) {
	words := []string{"", "a", "gateway", "10.0.0.1/24", "é", "x y z"}
	for seed := range int64(300) {
		r := rand.New(rand.NewSource(seed))
		var text strings.Builder
		for range r.Intn(8) {
			for range r.Intn(5) {
				text.WriteString(words[r.Intn(len(words))] + "\t")
			}
			text.WriteString(words[r.Intn(len(words))] + "\n")
		}
		var ours, theirs strings.Builder
		a, b := newTable(&ours, false), tabwriter.NewWriter(&theirs, 0, 0, gap, ' ', 0)
		fmt.Fprint(a, text.String())
		fmt.Fprint(b, text.String())
		a.Flush()
		b.Flush()
		want := ""
		for l := range strings.Lines(theirs.String()) {
			want += strings.TrimRight(l, " \n") + "\n"
		}
		if ours.String() != want {
			t.Fatalf("seed %d: %q\ngives\n%s\nwant\n%s", seed, text.String(), ours.String(), want)
		}
	}
}

// Colours move nothing.
func TestColoursTakeNoRoom(t *testing.T) {
	show := func(colours bool) string {
		var b strings.Builder
		w := newTable(&b, colours)
		fmt.Fprintf(w, "%s\tSTATE\tMEMBERS\n", paint(w, heading, "GROUP"))
		fmt.Fprintf(w, "one\t%s\ta b\n", paintState(w, "active (leaving)"))
		fmt.Fprintf(w, "two\t%s\tc d\n", paintState(w, "fault"))
		fmt.Fprintf(w, "three\t%s\te\n", paintState(w, "backup"))
		w.Flush()
		return b.String()
	}
	bare, painted := show(false), show(true)
	if strings.ContainsRune(bare, '\x1b') {
		t.Errorf("colours where there are none: %q", bare)
	}
	for _, want := range []string{"\x1b[32mactive (leaving)\x1b[0m", "\x1b[1;31mfault\x1b[0m", "\x1b[1mGROUP\x1b[0m"} {
		if !strings.Contains(painted, want) {
			t.Errorf("no %q in %q", want, painted)
		}
	}
	got := ""
	for l := range strings.Lines(painted) {
		got += strip(l)
	}
	if got != bare {
		t.Errorf("without its colours it is\n%s\nwant\n%s", got, bare)
	}
}

func strip(s string) (out string) {
	for len(s) > 0 {
		if k := escape(s); k > 0 {
			s = s[k:]
			continue
		}
		out, s = out+s[:1], s[1:]
	}
	return out
}

func TestClip(t *testing.T) {
	red := escapes[bad]
	for _, row := range []struct {
		in      string
		columns int
		want    string
	}{
		{"abcdef", 3, "abc"},
		{"abc", 3, "abc"},
		{"äöü", 2, "äö"},
		{red + "abc" + escapeEnd + "def", 2, red + "ab" + escapeEnd},
		{red + "abc" + escapeEnd + "def", 4, red + "abc" + escapeEnd + "d"},
		{red + "abc" + escapeEnd, 9, red + "abc" + escapeEnd},
		{"", 5, ""},
	} {
		if got := Clip(row.in, row.columns); got != row.want {
			t.Errorf("%q to %d: %q, want %q", row.in, row.columns, got, row.want)
		}
	}
}
