package config

import (
	"fmt"
	"strings"
	"testing"

	"understudy/appliance/config/keepalived"
)

// TestAuthTypeOfKeepalived: auth_type AH, what is said of it, and how -t ends, as measured with 2.2.7.
func TestAuthTypeOfKeepalived(t *testing.T) {
	const ah = "authentication {\n auth_type AH\n auth_pass secret\n}\n"
	for _, tt := range []struct {
		lines, address string
		want           []string // the TOML has; none: nothing of it
		says           string
		code           int
	}{
		{"version 2\n" + ah, "10.0.0.1/24", []string{`auth_type = "ah"`, `auth_pass = "secret"`, "version = 2"}, "", 0},
		{ah, "10.0.0.1/24", []string{`auth_type = "ah"`, "version = 2"}, "", 0},
		{"version 2\nunicast_peer {\n 10.0.0.3\n}\n" + ah, "10.0.0.1/24", []string{`auth_type = "ah"`, "unicast"}, "", 0},
		{"version 2\nauthentication {\n auth_type AH\n auth_pass longerthan8\n}\n", "10.0.0.1/24", []string{`auth_pass = "longerth"`}, "Truncating auth_pass to 8 characters", 5},
		{"version 2\nstate MASTER\n" + ah, "10.0.0.1/24", []string{`auth_type = "ah"`}, "Initial state master is incompatible with AH authentication - clearing", 5},
		// Cleared, it is in the way of nothing else.
		{"version 2\nstate MASTER\nnopreempt\n" + ah, "10.0.0.1/24", []string{"preempt = false"}, "Initial state master is incompatible with AH authentication - clearing", 5},
		{"version 2\nstate MASTER\npreempt_delay 10\n" + ah, "10.0.0.1/24", []string{`preempt_delay = "10s"`}, "Initial state master is incompatible with AH authentication - clearing", 5},
		{"version 3\nstate MASTER\n" + ah, "10.0.0.1/24", nil, "VRRP version 3 does not support authentication. Ignoring.", 5},
		{ah, "fe80::1/64", nil, "VRRP version 3 does not support authentication. Ignoring.", 5},
		{"version 2\nstrict_mode on\n" + ah, "10.0.0.1/24", nil, "Strict mode does not support authentication. Ignoring.", 5},
		{"version 2\nstate MASTER\nauthentication {\n auth_type AH\n}\n", "10.0.0.1/24", nil, "Authentication specified but no password given. Ignoring", 5},
	} {
		src := fmt.Sprintf("vrrp_instance a {\n interface eth0\n virtual_router_id 1\n priority 120\n%s virtual_ipaddress {\n  %s\n }\n}\n", tt.lines, tt.address)
		w := bigWorld()
		out, err := Import("k.conf", []byte(src), ImportOptions{Options: Options{World: w}})
		if err != nil {
			t.Errorf("%q: %v", tt.lines, err)
			continue
		}
		faults := 0
		var said []string
		for _, m := range out.Messages {
			said = append(said, m.String())
			if m.Level == keepalived.Fault {
				faults++
			}
		}
		if text := strings.Join(said, "\n"); !strings.Contains(text, tt.says) || tt.says == "" && text != "" || tt.says != "" && faults != 1 {
			t.Errorf("%q: it says %q", tt.lines, text)
		}
		for _, want := range tt.want {
			if !strings.Contains(out.TOML, want) {
				t.Errorf("%q: no %s in\n%s", tt.lines, want, out.TOML)
			}
		}
		if tt.want == nil && strings.Contains(out.TOML, "auth_") {
			t.Errorf("%q:\n%s", tt.lines, out.TOML)
		}
		if code := keepalived.ExitCode(keepalived.Test("k.conf", []byte(src), w)); code != tt.code {
			t.Errorf("%q: -t ends with %d, want %d", tt.lines, code, tt.code)
		}
	}
}
