package daemon

import (
	"errors"
	"fmt"
	"testing"

	"understudy/appliance/kernel"
)

func TestMirrorLack(t *testing.T) {
	up := kernel.Link{Up: true, Running: true}
	for _, tt := range []struct {
		name string
		link kernel.Link
		err  error
		want string
	}{
		{"well", up, nil, ""},
		{"switched off", kernel.Link{}, nil, "mir0 is down: packets are not copied to the other node"},
		{"no carrier", kernel.Link{Up: true}, nil, "mir0 is down: packets are not copied to the other node"},
		{"not there", kernel.Link{}, fmt.Errorf("kernel: %w", kernel.ErrNoInterface), "there is no interface mir0: packets are not copied to the other node"},
		{"unknown", up, errors.New("no answer"), "mir0: no answer"},
	} {
		if got := mirrorLack("mir0", tt.link, tt.err); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}
