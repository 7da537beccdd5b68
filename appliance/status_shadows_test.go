package appliance

import (
	"bytes"
	"strings"
	"testing"
)

// What is replayed all along is said where something is to be, and why the rest is not.
func TestShadowsInStatus(t *testing.T) {
	for _, row := range []struct {
		log  *LogStatus
		want string
	}{
		{nil, ""},
		{&LogStatus{}, ""},
		{&LogStatus{Shadows: &ShadowStatus{}}, "Replayed all along: 0 connections\n"},
		{&LogStatus{Shadows: &ShadowStatus{Connections: 12, Without: map[string]int{"gone": 3, "diverged": 1}}}, "Replayed all along: 12 connections; not: 1 diverged, 3 gone\n"},
	} {
		var b bytes.Buffer
		NATStatus{Log: row.log}.writeEntries(&b)
		if got := strings.TrimPrefix(b.String(), "\n"); got != row.want {
			t.Errorf("%q, want %q", got, row.want)
		}
	}
}
