package control_test

import "testing"

func TestLogLevel(t *testing.T) {
	c, _ := serve(t)
	for level, want := range map[string]string{"": "info", "debug": "debug"} {
		if is, err := c.LogLevel(t.Context(), level); err != nil || is != want {
			t.Errorf("%q: %q, %v, want %q", level, is, err, want)
		}
	}
	if is, err := c.LogLevel(t.Context(), "loud"); err == nil || err.Error() != "no such level" {
		t.Errorf("want the node's own words, got %q, %v", is, err)
	}
}
