package lab_test

import (
	"strings"
	"testing"
)

// What a process has written is there when it has ended, all of it, though a child that
// goes on has the same output.
func TestLastWordsAreThereAtTheEnd(t *testing.T) {
	_, a, _ := twoNodes(t)
	for range 20 {
		p, err := a.Start("/bin/sh", "-c", `sleep 1000 & head -c 60000 /dev/zero | tr '\0' x; echo last`)
		must(t, err)
		<-p.Done()
		if out := p.Output(); len(out) != 60005 || !strings.HasSuffix(out, "xlast\n") {
			t.Fatalf("%d bytes of it are there: …%q", len(out), out[max(0, len(out)-20):])
		}
	}
}
