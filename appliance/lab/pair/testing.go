package pair

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"understudy/appliance/lab"
)

// NewT builds a pair that ends with the test. What the gateways wrote is shown
// if the test fails, and fails the test if it is a panic or a data race.
func NewT(t lab.TB, opt Options) *Pair {
	t.Helper()
	lab.Require(t)
	p, err := New(opt)
	if err != nil {
		t.Fatalf("%v", err)
	}
	t.Cleanup(func() {
		for _, g := range p.Gateways {
			for _, out := range g.Outputs() {
				for _, bad := range []string{"WARNING: DATA RACE", "panic: ", "fatal error: "} {
					if strings.Contains(out, bad) {
						t.Errorf("%s wrote %q", g.Name, bad)
					}
				}
			}
		}
		if t.Failed() {
			for _, g := range p.Gateways {
				for n, out := range g.Outputs() {
					t.Logf("log of %s, start %d:\n%s", g.Name, n+1, out)
				}
			}
		}
		if err := p.Close(); err != nil {
			t.Errorf("%v", err)
		}
	})
	return p
}

// WaitT is [Pair.Wait] for at most 40 s; a wait in vain fails the test.
func (p *Pair) WaitT(t lab.TB, what string, met func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	if err := p.Wait(ctx, what, met); err != nil {
		t.Fatalf("%v", err)
	}
}

// Build makes the program for [Options].Binary, from the tree that the test is
// in, with the race detector if the environment has UNDERSTUDY_E2E_RACE=1.
func Build(dir string) (binary string, err error) {
	binary = filepath.Join(dir, "understudy")
	args := []string{"build", "-o", binary}
	if os.Getenv("UNDERSTUDY_E2E_RACE") == "1" {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "understudy/cmd/understudy")...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("pair: build the program: %w\n%s", err, out)
	}
	return binary, nil
}
