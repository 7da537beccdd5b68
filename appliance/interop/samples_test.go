package interop

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	conf "understudy/appliance/config/keepalived"
)

// samplesDir is where Debian's package has the examples of keepalived's authors.
const samplesDir = "/usr/share/doc/keepalived/samples"

// corpusDir are our own files, of the shapes that generators write.
const corpusDir = "../config/testdata/keepalived"

// otherwise are the files of which we say something else than keepalived 2.2.7, and why.
var otherwise = map[string]string{}

// TestConfigTest: `keepalived -t` and we judge the same configurations alike: right,
// wrong but usable, insecure, unusable.
func TestConfigTest(t *testing.T) {
	s := newScene(t)
	files, err := filepath.Glob(filepath.Join(s.samples(), "keepalived.conf.*"))
	if err != nil || len(files) < 20 {
		t.Fatalf("%d samples in %s (%v)", len(files), samplesDir, err)
	}
	ours, err := filepath.Glob(filepath.Join(corpusDir, "*.conf"))
	if err != nil || len(ours) < 10 {
		t.Fatalf("%d files in %s (%v)", len(ours), corpusDir, err)
	}
	node := s.Node("judge")
	interfaces := []string{"lo", "eth0", "eth1", "eth2", "eth3"}
	for _, name := range interfaces[1:] {
		_, err := node.Join(s.Segment(name), name, "10.254."+name[3:]+".1/24")
		s.must(err)
	}
	binary := s.tool("keepalived", "/usr/sbin/keepalived")
	for _, file := range append(files, ours...) {
		t.Run(strings.TrimPrefix(filepath.Base(file), "keepalived.conf."), func(t *testing.T) {
			file, err := filepath.Abs(file)
			if err != nil {
				t.Fatal(err)
			}
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			p, err := node.StartWith(exec.Command(binary, "-t", "-i", "big", "-f", file))
			if err != nil {
				t.Fatal(err)
			}
			<-p.Done()
			theirs := 0
			var exit *exec.ExitError
			if errors.As(p.Err(), &exit) {
				theirs = exit.ExitCode()
			} else if p.Err() != nil {
				t.Fatal(p.Err())
			}
			w := conf.Here()
			w.ID = "big"
			w.Interface = func(name string) bool { return slices.Contains(interfaces, name) }
			said := conf.Test(file, src, w)
			code := conf.ExitCode(said)
			why, known := otherwise[filepath.Base(file)]
			switch {
			case code != theirs && !known:
				var list []string
				for _, m := range said {
					if m.Level > conf.Warning {
						list = append(list, m.Level.String()+": "+m.String())
					}
				}
				t.Errorf("keepalived ends with %d:\n%s\nwe with %d:\n%s", theirs, p.Output(), code, strings.Join(list, "\n"))
			case code == theirs && known:
				t.Errorf("both end with %d, but the list says that we differ: %s", code, why)
			}
		})
	}
}

// samples is where the examples of keepalived's authors are.
func (s *scene) samples() string {
	s.t.Helper()
	return s.packaged(samplesDir)
}

// packaged is where a directory of Debian's package is: installed, or unpacked.
func (s *scene) packaged(dir string) string {
	s.t.Helper()
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return dir
	}
	// A machine that installs packages without documentation.
	unpackOnce.Do(func() {
		if unpacked, unpackErr = os.MkdirTemp("", "understudy-samples-"); unpackErr != nil {
			return
		}
		for _, argv := range [][]string{{"apt-get", "download", "keepalived"}, {"sh", "-c", "dpkg-deb -x keepalived_*.deb ."}} {
			cmd := exec.Command(argv[0], argv[1:]...)
			cmd.Dir = unpacked
			if out, err := cmd.CombinedOutput(); err != nil {
				unpackErr = fmt.Errorf("%v: %w\n%s", argv, err, out)
				return
			}
		}
	})
	s.must(unpackErr)
	return filepath.Join(unpacked, dir)
}

// The package is unpacked once, and goes with the program.
var (
	unpackOnce sync.Once
	unpacked   string
	unpackErr  error
)
