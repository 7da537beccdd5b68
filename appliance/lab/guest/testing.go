package guest

import (
	"os"
	"os/exec"
	"strings"
)

// TB is what is needed of a testing.TB.
type TB interface {
	Helper()
	Fatalf(format string, args ...any)
	Skipf(format string, args ...any)
}

// inside is the variable that /init sets for every test.
const inside = "UNDERSTUDY_GUEST"

// Require skips a test that was started elsewhere: what it does is for a machine
// that is thrown away.
func Require(t TB) {
	t.Helper()
	if os.Getenv(inside) != "1" {
		t.Skipf("runs in the guest only: make test-guest")
	}
}

// Load loads modules, and is [Require] too.
func Load(t TB, sets ...Modules) {
	t.Helper()
	Require(t)
	for _, set := range sets {
		for _, m := range set {
			if out, err := exec.Command("/sbin/modprobe", strings.Fields(m)...).CombinedOutput(); err != nil {
				t.Fatalf("modprobe %s: %v: %s", m, err, out)
			}
		}
	}
}
