package interop

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// program is the program under test.
var program string

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if os.Geteuid() != 0 {
		return m.Run() // each test skips, or fails where it must not
	}
	path, remove, err := build()
	if err != nil {
		fmt.Fprintln(os.Stderr, "interop:", err)
		return 1
	}
	defer remove()
	defer func() { os.RemoveAll(unpacked) }()
	program = path
	return m.Run()
}

// build returns the path of the program under test. If nobody else has built
// it, it is built into a directory that remove ends.
func build() (path string, remove func(), err error) {
	if path := os.Getenv("UNDERSTUDY_BINARY"); path != "" {
		if _, err := os.Stat(path); err != nil {
			return "", nil, fmt.Errorf("UNDERSTUDY_BINARY: %w", err)
		}
		path, err = filepath.Abs(path)
		return path, func() {}, err
	}
	dir, err := os.MkdirTemp("", "understudy-interop-")
	if err != nil {
		return "", nil, err
	}
	path = filepath.Join(dir, "understudy")
	if out, err := exec.Command("go", "build", "-o", path, "understudy/cmd/understudy").CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", nil, fmt.Errorf("build the program: %w\n%s", err, out)
	}
	return path, func() { os.RemoveAll(dir) }, nil
}
