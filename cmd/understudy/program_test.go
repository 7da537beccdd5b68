package main

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"understudy/vrrp/election"
)

// TestProgramChoice: what the next daemon is started from.
func TestProgramChoice(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "understudy")
	replace := func(mode os.FileMode) {
		t.Helper()
		write(t, dir, "next", "#!/bin/sh\n", mode)
		if err := os.Rename(filepath.Join(dir, "next"), path); err != nil {
			t.Fatal(err)
		}
	}
	var log bytes.Buffer
	p := newProgram(path, slog.New(slog.NewTextHandler(&log, nil)))
	want := func(what, file, says string) {
		t.Helper()
		log.Reset()
		if got := p.choose(); got != file {
			t.Errorf("%s: %s, want %s", what, got, file)
		}
		if !strings.Contains(log.String(), says) || says == "" && log.Len() > 0 {
			t.Errorf("%s: logged %q, want %q", what, log.String(), says)
		}
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(exe, path); err != nil {
		t.Fatal(err)
	}
	want("ours, by a symbolic link", self, "")
	p.unfit()
	want("ours, of no use", self, "")
	replace(0o755)
	want("replaced", path, "was replaced")
	want("replaced, a second time", path, "was replaced")
	p.unfit()
	want("of no use", self, "of no use")
	p.unfit() // ours, which is no word about the file
	want("of no use, still", self, "of no use")
	replace(0o755)
	want("replaced again", path, "was replaced")
	replace(0o644)
	want("not executable", self, "cannot be run")
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	want("gone", self, "cannot be run")
	if err := os.Mkdir(path, 0o755); err != nil {
		t.Fatal(err)
	}
	want("a directory", self, "cannot be run")
}

// A program that the election process would not understand does nothing at all, as a
// daemon and when it is asked.
func TestOtherProtocolIsRefused(t *testing.T) {
	for _, command := range []string{"daemon", "probe"} {
		for _, flags := range [][]string{nil, {"--protocol", "other"}} {
			code, out, errs := understudy(t, t.TempDir(), append([]string{command, "--config", "none.toml"}, flags...)...)
			if code != exitFailed || out != "" || !strings.Contains(errs, "talks differently") {
				t.Errorf("%s %v: exit code %d: %s%s", command, flags, code, out, errs)
			}
		}
	}
	// Understood, but not the configuration.
	code, _, errs := understudy(t, t.TempDir(), "probe", "--config", "none.toml", "--protocol", election.Protocol())
	if code == 0 || !strings.Contains(errs, "none.toml") {
		t.Errorf("no configuration: exit code %d: %s", code, errs)
	}
	example, err := filepath.Abs("../../etc/understudy.toml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	text, err := os.ReadFile(example)
	if err != nil {
		t.Fatal(err)
	}
	key, err := os.ReadFile(secretFor(t, dir))
	if err != nil || len(key) == 0 {
		t.Fatal(err)
	}
	// A server's, which must be another one.
	_, server, _ := understudy(t, dir, "keygen")
	write(t, dir, "web1.secret", server, 0o600)
	write(t, dir, "understudy.toml", strings.NewReplacer("/etc/understudy/secret", filepath.Join(dir, "secret"),
		"/etc/understudy/web1.secret", filepath.Join(dir, "web1.secret"), "/etc/understudy/token", filepath.Join(dir, "web1.secret")).Replace(string(text)), 0o644)
	code, out, errs := understudy(t, dir, "probe", "--config", filepath.Join(dir, "understudy.toml"), "--protocol", election.Protocol())
	if code != 0 || strings.TrimSpace(out) != version {
		t.Errorf("one that would do: exit code %d: %s%s", code, out, errs)
	}
}

// secretFor writes a cluster secret.
func secretFor(t *testing.T, dir string) string {
	t.Helper()
	code, out, errs := understudy(t, dir, "keygen")
	if code != 0 {
		t.Fatal(errs)
	}
	write(t, dir, "secret", out, 0o600)
	return filepath.Join(dir, "secret")
}
