package probe_test

import (
	"os"
	"os/exec"
	"testing"
)

// command runs this test program again, with more in its environment.
func command(t *testing.T, env ...string) *exec.Cmd {
	t.Helper()
	self, err := os.Executable()
	must(t, err)
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), env...)
	return cmd
}
