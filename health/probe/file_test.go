package probe_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/health/probe"
)

func TestFile(t *testing.T) {
	dir := t.TempDir()
	there, missing := filepath.Join(dir, "there"), filepath.Join(dir, "missing")
	must(t, os.WriteFile(there, nil, 0o600))
	for _, tt := range []struct {
		name string
		p    probe.File
		want string
	}{
		{"there", probe.File{Path: there}, ""},
		{"a directory is there too", probe.File{Path: dir}, ""},
		{"missing", probe.File{Path: missing}, "file " + missing + " is missing"},
		{"there, but should not", probe.File{Path: there, Absent: true}, "file " + there + " exists"},
		{"missing as it should", probe.File{Path: missing, Absent: true}, ""},
		{"not to be known", probe.File{Path: filepath.Join(there, "x")}, "not a directory"},
		{"not to be known, so not absent", probe.File{Path: filepath.Join(there, "x"), Absent: true}, "not a directory"},
	} {
		outcome(t, tt.name, tt.want, tt.p.Probe(t.Context()))
	}
}

func TestFileValue(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name, content string
		value         int
		want          string
	}{
		{"a number", "7", 7, ""},
		{"with white space", " \t-254\n", -254, ""},
		{"with a plus", "+3\n", 3, ""},
		{"empty", "", 0, ""},
		{"white space only", "\n\n", 0, ""},
		{"a word", "yes\n", 0, `"yes" is not a number`},
		{"a fraction", "1.5", 0, "is not a number"},
		{"two numbers", "1 2", 0, "is not a number"},
		{"too large a number", "99999999999999999999", 0, "is not a number"},
		{"a number, and much more", "7" + strings.Repeat(" ", 70) + "8", 0, "is not a number"},
	} {
		path := filepath.Join(dir, "value")
		must(t, os.WriteFile(path, []byte(tt.content), 0o600))
		p := &probe.FileValue{Path: path}
		v, err := p.Measure(t.Context())
		outcome(t, tt.name, tt.want, err)
		if v != tt.value {
			t.Errorf("%s: %d, want %d", tt.name, v, tt.value)
		}
		if again := p.Probe(t.Context()); (again == nil) != (err == nil) {
			t.Errorf("%s: Probe says %v, Measure %v", tt.name, again, err)
		}
	}
	if v, err := (&probe.FileValue{Path: filepath.Join(dir, "missing")}).Measure(t.Context()); v != 0 || err != nil {
		t.Errorf("missing: %d, %v; want 0", v, err)
	}
	_, err := (&probe.FileValue{Path: dir}).Measure(t.Context())
	outcome(t, "a directory", "not a regular file", err)
	pipe := filepath.Join(dir, "pipe")
	must(t, unix.Mkfifo(pipe, 0o600))
	_, err = (&probe.FileValue{Path: pipe}).Measure(t.Context()) // and does not wait for a writer
	outcome(t, "a pipe", "not a regular file", err)
}
