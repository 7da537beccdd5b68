package bench

import (
	"os"
	"testing"
	"time"
)

func TestParseStat(t *testing.T) {
	const rest = " S 1 2 3 0 -1 4194304 100 200 300 400 37 5 11 12 20 0 8 0 12345 67890 111\n"
	for _, tc := range []struct {
		name, in string
		want     time.Duration
		bad      bool
	}{
		{"plain", "42 (understudy)" + rest, 420 * time.Millisecond, false},
		{"a name with everything in it", "42 (a) b (c d)" + rest, 420 * time.Millisecond, false},
		{"no name", "42 understudy S 1", 0, true},
		{"too short", "42 (x) S 1 2", 0, true},
		{"not a number", "42 (x) S 1 2 3 0 -1 4 1 2 3 4 many 5 1", 0, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := parseStat([]byte(tc.in))
			if (err != nil) != tc.bad || !tc.bad && got != tc.want {
				t.Errorf("want %v (error: %v), got %v, %v", tc.want, tc.bad, got, err)
			}
		})
	}
}

func TestParseKiB(t *testing.T) {
	text := []byte("VmRSS:\t    9000 kB\nRssAnon:\t    2048 kB\nRssFile:\t  1 kB\n")
	if got, err := parseKiB(text, "RssAnon:"); err != nil || got != 2<<20 {
		t.Errorf("got %d, %v", got, err)
	}
	if _, err := parseKiB(text, "Rss:"); err == nil {
		t.Error("a line was found that is not there")
	}
}

func TestSubcommand(t *testing.T) {
	for in, want := range map[string]string{
		"understudy\x00daemon\x00--config\x00x\x00": "daemon",
		"/usr/bin/understudy\x00run\x00":            "run",
		"understudy\x00":                            "",
		"":                                          "",
	} {
		if got := subcommand([]byte(in)); got != want {
			t.Errorf("%q: want %q, got %q", in, want, got)
		}
	}
}

func TestSlabObject(t *testing.T) {
	text := []byte("slabinfo - version: 2.1\n# name <active_objs> <num_objs> <objsize>\nnf_conntrack_expect 0 0 208 19 1\nnf_conntrack 420 496 256 16 1 : tunables 0 0 0\n")
	if got := slabObject(text, "nf_conntrack"); got != 256 {
		t.Errorf("got %d", got)
	}
	if got := slabObject(text, "tcp"); got != 0 {
		t.Errorf("not listed, but got %d", got)
	}
}

func TestProcessor(t *testing.T) {
	if got := processor([]byte("processor\t: 0\nmodel name\t: Some CPU: 2 GHz\n")); got != "Some CPU: 2 GHz" {
		t.Errorf("got %q", got)
	}
	if got := processor(nil); got == "" {
		t.Error("nothing at all is said")
	}
}

// What this machine's /proc looks like is what we read.
func TestUsedOfThisProcess(t *testing.T) {
	held := make([]byte, 64<<20)
	for i := 0; i < len(held); i += 4096 {
		held[i] = 1
	}
	u, err := used(os.Getpid())
	if err != nil || u.Memory < int64(len(held)) {
		t.Errorf("got %+v, %v", u, err)
	}
	if _, err := used(0); err == nil {
		t.Error("process 0 was found")
	}
	held[0]++
}

func TestRoom(t *testing.T) {
	for _, tc := range []struct{ asked, max, want int }{
		{100_000, 262144, 98_000},
		{100_000, 1 << 20, 100_000},
		{5_000, 262144, 5_000},
		{100_000, 0, 100_000}, // unlimited
	} {
		if got := room(tc.asked, tc.max); got != tc.want {
			t.Errorf("%d of a table of %d: want %d, got %d", tc.asked, tc.max, tc.want, got)
		}
	}
}
