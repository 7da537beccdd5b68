package dropin

import (
	"slices"
	"testing"
)

// Where 2.2.7 has them.
func TestPIDPaths(t *testing.T) {
	for _, tt := range []struct {
		o      Options
		checks bool
		want   []string
		alone  bool
	}{
		{Options{}, false, []string{"/run/keepalived.pid", "/run/vrrp.pid"}, true},
		{Options{}, true, []string{"/run/keepalived.pid", "/run/vrrp.pid", "/run/checkers.pid"}, true},
		{Options{PIDFile: "/p", VRRPPIDFile: "/r", CheckPIDFile: "/c"}, false, []string{"/p", "/r", "/c"}, false},
		{Options{Instance: "foo"}, false, []string{"/run/keepalived/keepalived_foo.pid", "/run/keepalived/vrrp_foo.pid"}, false},
		{Options{Namespace: "inner"}, false, []string{"/run/keepalived/inner/keepalived.pid", "/run/keepalived/inner/vrrp.pid"}, false},
		{Options{Namespace: "inner", Instance: "foo"}, false, []string{"/run/keepalived/inner/keepalived_foo.pid", "/run/keepalived/inner/vrrp_foo.pid"}, false},
		{Options{PIDDir: true}, false, []string{"/run/keepalived/keepalived.pid", "/run/keepalived/vrrp.pid"}, true},
	} {
		if got := tt.o.PIDPaths(tt.checks); !slices.Equal(got, tt.want) || tt.o.Alone() != tt.alone {
			t.Errorf("%+v: %q, alone %t", tt.o, got, tt.o.Alone())
		}
	}
}
