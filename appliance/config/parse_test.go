package config

import (
	"errors"
	"flag"
	"io/fs"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"understudy/nat"
	"understudy/vrrp"
)

var update = flag.Bool("update", false, "write the golden files anew")

// goodSecret is what the cluster secret is in tests.
const goodSecret = "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=\n"

// fakeSecrets stands for the files that test configurations name: git keeps no
// file modes, so they cannot be in testdata.
func fakeSecrets(path string) ([]byte, os.FileMode, error) {
	switch filepath.Base(path) {
	case "missing":
		return nil, 0, &fs.PathError{Op: "open", Path: path, Err: fs.ErrNotExist}
	case "open":
		return []byte(goodSecret), 0o644, nil
	case "passphrase":
		return []byte("correct horse battery staple\n"), 0o600, nil
	}
	if filepath.Ext(path) == ".secret" { // a server's
		return []byte("ZmVkY2JhOTg3NjU0MzIxMGZlZGNiYTk4NzY1NDMyMTA=\n"), 0o600, nil
	}
	return []byte(goodSecret), 0o600, nil
}

// TestBroken compares what is said about each broken file with the golden file
// beside it, word by word: file, line, key, what is wrong and the fix.
func TestBroken(t *testing.T) {
	files, err := filepath.Glob("testdata/broken/*.toml")
	if err != nil || len(files) < 15 {
		t.Fatalf("%d broken files, want at least 15 (%v)", len(files), err)
	}
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(strings.TrimSuffix(name, ".toml"), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			c, err := Parse(name, src, Options{ReadSecret: fakeSecrets})
			if err == nil {
				t.Fatalf("accepted: %+v", c)
			}
			golden := strings.TrimSuffix(file, ".toml") + ".golden"
			got := err.Error() + "\n"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err2 := os.ReadFile(golden)
			if err2 != nil {
				t.Fatal(err2)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
			assertWellFormed(t, name, string(src), err)
		})
	}
}

// assertWellFormed checks what every problem must have, whatever it is about.
func assertWellFormed(t *testing.T, name, src string, err error) {
	t.Helper()
	var ps Problems
	if !errors.As(err, &ps) || len(ps) == 0 {
		t.Fatalf("error is no list of problems: %v", err)
	}
	lines := strings.Split(src, "\n")
	last := 0
	for _, p := range ps {
		if p.File != name || p.Line < 1 || p.Line > len(lines) || p.What == "" || p.Fix == "" {
			t.Errorf("incomplete: %#v", p)
			continue
		}
		if strings.Contains(p.String(), "\n") {
			t.Errorf("more than a line: %q", p)
		}
		if p.Line < last {
			t.Errorf("not in the order of the file: %v", p)
		}
		last = p.Line
		// What is written must be in the line that the problem names.
		key := p.Key[strings.LastIndexByte(p.Key, '.')+1:]
		if !strings.HasSuffix(key, "]") && !strings.Contains(key, `"`) && !strings.HasPrefix(p.What, "missing") && !strings.HasPrefix(p.What, "not TOML") &&
			!strings.Contains(lines[p.Line-1], key) {
			t.Errorf("%v: line %d is %q", p, p.Line, lines[p.Line-1])
		}
	}
}

// TestNothingIsSaidTwice: one mistake gives one problem, so each key has at most
// one.
func TestNothingIsSaidTwice(t *testing.T) {
	src := "[[router]]\nvrid = \"51\"\nname = \"a\"\ninterface = \"eth0\"\naddresses = [\"10.0.0.1/24\"]\n"
	_, err := Parse("f", []byte(src), Options{})
	var ps Problems
	errors.As(err, &ps)
	var keys []string
	for _, p := range ps {
		keys = append(keys, p.Key)
	}
	if want := []string{"node", "router[0].vrid"}; !reflect.DeepEqual(want, keys) {
		t.Errorf("want %v, got %v", want, keys)
	}
}

// assertUsable checks that what is accepted here is accepted by those who work
// with it.
func assertUsable(t *testing.T, c *Config) {
	t.Helper()
	if _, err := vrrp.NewSet(c.Election()); err != nil {
		t.Errorf("the election refuses it: %v", err)
	}
	if _, err := nat.New(c.NAT()); err != nil {
		t.Errorf("nat refuses it: %v", err)
	}
	for _, r := range c.Routers {
		if c.GroupOf(r.Name) == nil {
			t.Errorf("router %q is in no group", r.Name)
		}
	}
	if c.Hash() == 0 {
		t.Error("hash is 0")
	}
}

func FuzzParse(f *testing.F) {
	for _, glob := range []string{"testdata/broken/*.toml", "testdata/good/*.toml", "../../etc/*.toml"} {
		files, _ := filepath.Glob(glob)
		for _, file := range files {
			if src, err := os.ReadFile(file); err == nil {
				f.Add(src)
			}
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := Parse("f.toml", src, Options{ReadSecret: fakeSecrets})
		if err == nil {
			assertUsable(t, c)
			return
		}
		var ps Problems
		if !errors.As(err, &ps) || len(ps) == 0 {
			t.Fatalf("%T: %v", err, err)
		}
		for _, p := range ps {
			if p.Line < 1 || p.Line > strings.Count(string(src), "\n")+1 || p.What == "" || p.Fix == "" || strings.Contains(p.String(), "\n") {
				t.Fatalf("%#v", p)
			}
		}
	})
}
