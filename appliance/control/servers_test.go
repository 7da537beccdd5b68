package control_test

import "testing"

func TestDrainServer(t *testing.T) {
	c, _ := serve(t)
	if err := c.DrainServer(t.Context(), "web", "10.0.0.21:80", true); err != nil {
		t.Errorf("drain: %v", err)
	}
	err := c.DrainServer(t.Context(), "web", "10.0.0.21:80", false)
	if want := "web has no server 10.0.0.21:80 to undrain"; err == nil || err.Error() != want {
		t.Errorf("want the node's own words %q, got %v", want, err)
	}
}
