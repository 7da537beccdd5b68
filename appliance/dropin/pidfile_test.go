package dropin

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const pidVar = "UNDERSTUDY_TEST_PIDFILE"

// TestMain is a second process too: locks are a process's.
func TestMain(m *testing.M) {
	if path := os.Getenv(pidVar); path != "" {
		if _, err := LockPID(path); err != nil {
			fmt.Println(err)
			if errors.Is(err, ErrRunning) {
				os.Exit(3)
			}
			os.Exit(4)
		}
		os.Exit(0) // without a Remove
	}
	os.Exit(m.Run())
}

func another(t *testing.T, path string) int {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), pidVar+"="+path)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err, string(out))
	}
	return cmd.ProcessState.ExitCode()
}

// content reads a file by another process: this one would let go of its lock, as
// POSIX has it, when it closes the file.
func content(t *testing.T, path string) string {
	t.Helper()
	b, err := exec.Command("cat", path).Output()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestPIDFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "run", "keepalived.pid") // its directory is made
	if code := another(t, path); code != 0 {
		t.Fatalf("the first ended with %d", code)
	}
	// What a dead process has left stops nobody.
	p, err := LockPID(path)
	if err != nil {
		t.Fatal(err)
	}
	if b := content(t, path); b != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("in it is %q", b)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o644 {
		t.Errorf("%v %v", st.Mode(), err)
	}
	if code := another(t, path); code != 3 {
		t.Errorf("another one ended with %d", code)
	}
	if b := content(t, path); b != fmt.Sprintf("%d\n", os.Getpid()) {
		t.Errorf("another one wrote %q", b)
	}
	p.Remove()
	if _, err := os.Stat(path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is still there: %v", err)
	}
}

// Several are all there, or none is.
func TestPIDFiles(t *testing.T) {
	dir := t.TempDir()
	good, bad := filepath.Join(dir, "a.pid"), filepath.Join(dir, "link.pid")
	if err := os.Symlink("/dev/null", bad); err != nil {
		t.Fatal(err)
	}
	if _, err := LockPIDs(good, bad); err == nil {
		t.Error("a link was followed")
	}
	if _, err := os.Stat(good); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the first is still there: %v", err)
	}
}
