package daemon

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"understudy/appliance/config"
	"understudy/health"
)

// What happens to servers, and to the entry point as a whole, is told; and at the end what
// was there until then.
func TestEntriesTell(t *testing.T) {
	inBubble(t, "quorum = 2\nhysteresis = 0\n", func(b entriesBed) {
		var mu sync.Mutex
		var told []string
		b.entries.tell = func(e entryTold) {
			mu.Lock()
			defer mu.Unlock()
			told = append(told, fmt.Sprint(entrySubject(e.name, e.server), " ", e.event, " ", e.first))
		}
		say := func(check string, w word) { b.health(check, w) }
		b.begin(nil)
		before, err := config.Parse("test.toml", []byte(entriesFile), config.Options{})
		if err != nil {
			t.Fatal(err)
		}
		b.begin(before)
		say("c1", word{state: health.Up})
		say("c2", word{state: health.Down})
		say("c2", word{state: health.Up})
		say("c2", word{state: health.Down})
		b.end()
		want := []string{
			"entry-web up true", // at the beginning, and not again after a reload
			"server-web 10.0.0.22:80 down true", "entry-web down true",
			"server-web 10.0.0.22:80 up false", "entry-web up false",
			"server-web 10.0.0.22:80 down false", "entry-web down false",
			"server-web 10.0.0.21:80 end false",
		}
		mu.Lock()
		defer mu.Unlock()
		if !slices.Equal(want, told) {
			t.Errorf("want\n%s\ngot\n%s", strings.Join(want, "\n"), strings.Join(told, "\n"))
		}
	})
}

// Programs are told of what they asked for: of one server, or of the entry point.
func TestEntrySpecs(t *testing.T) {
	cfg, err := config.Parse("test.toml", []byte(entriesFile+`
notify = [
  { command = ["/bin/one"], on = ["down", "end"], server = "10.0.0.22:80", user = "nobody", timeout = "3s" },
  { command = ["/bin/all"], on = ["up"] },
]
`), config.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range entrySpecs(cfg) {
		for _, c := range s.Commands {
			got = append(got, fmt.Sprint(s.Subject, c.Argv, c.States, c.User, c.Timeout, s.Env))
		}
	}
	want := []string{
		"entry-web[/bin/all][up]" + "" + fmt.Sprint(10*time.Second) + "[UNDERSTUDY_ENTRY=web UNDERSTUDY_ADDRESS=203.0.113.10:443/tcp]",
		"server-web 10.0.0.22:80[/bin/one][down end]nobody3s[UNDERSTUDY_ENTRY=web UNDERSTUDY_ADDRESS=203.0.113.10:443/tcp UNDERSTUDY_SERVER=10.0.0.22:80]",
	}
	for i := range got {
		got[i] = strings.ReplaceAll(got[i], " nobody ", "nobody")
	}
	if len(got) != len(want) {
		t.Fatalf("%d commands: %v", len(got), got)
	}
	for i := range want {
		if strip(want[i]) != strip(got[i]) {
			t.Errorf("want %s, got %s", want[i], got[i])
		}
	}
}

func strip(s string) string { return strings.ReplaceAll(s, " ", "") }
