package bench

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func settings(t *testing.T, values ...string) (paths []string) {
	t.Helper()
	for i, v := range values {
		p := filepath.Join(t.TempDir(), string(rune('a'+i)))
		if err := os.WriteFile(p, []byte(v+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, p)
	}
	return paths
}

func reads(t *testing.T, path, want string) {
	t.Helper()
	b, err := os.ReadFile(path)
	if got := strings.TrimSpace(string(b)); err != nil || got != want {
		t.Errorf("%s: want %s, got %s, %v", filepath.Base(path), want, got, err)
	}
}

// What is lower is raised, what is high enough is left; at the end all is as it
// was, and so it is when the one who raised it dies without a word.
func TestKeeperPutsBack(t *testing.T) {
	p := settings(t, "100", "900")
	k, err := raise(limit{p[0], 500}, limit{p[1], 500})
	if err != nil {
		t.Fatal(err)
	}
	reads(t, p[0], "500")
	reads(t, p[1], "900")
	if _, err := raise(limit{p[0], 700}); err == nil {
		t.Error("a second one got the limits")
	}
	reads(t, p[0], "500")
	if err := k.close(); err != nil {
		t.Fatal(err)
	}
	reads(t, p[0], "100")
	reads(t, p[1], "900")
	if err := k.close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}

	if k, err = raise(limit{p[0], 500}); err != nil {
		t.Fatal(err)
	}
	defer k.close()
	reads(t, p[0], "500")
	k.pipe.Close() // as the kernel does for a process that is killed
	if err := k.cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	reads(t, p[0], "100")
	k.cmd = nil
}

// Half done is not done: what was raised before something failed is put back.
func TestKeeperPutsBackAfterAFailure(t *testing.T) {
	p := settings(t, "100", "200")
	if _, err := raise(limit{p[0], 500}, limit{filepath.Join(t.TempDir(), "nothing"), 500}); err == nil {
		t.Fatal("no error")
	}
	reads(t, p[0], "100")
	k, err := raise(limit{p[0], 300})
	if err != nil {
		t.Fatalf("the lock was not given back: %v", err)
	}
	if err := k.close(); err != nil {
		t.Error(err)
	}
	reads(t, p[0], "100")
}
