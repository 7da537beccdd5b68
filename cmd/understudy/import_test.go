package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const corpusDir = "../../appliance/config/testdata/keepalived"

// TestImportCommand: TOML on standard output, which check accepts; what was left out on
// standard error; the exit codes of the contract.
func TestImportCommand(t *testing.T) {
	dir := t.TempDir()
	from := func(name string) string {
		t.Helper()
		src, err := os.ReadFile(filepath.Join(corpusDir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(src)
	}
	write(t, dir, "k.conf", from("firewall.conf"), 0o644)
	write(t, dir, "c.conf", from("firewall.conntrackd"), 0o644)
	_, secret, _ := understudy(t, dir, "keygen")
	write(t, dir, "secret", secret, 0o600)

	code, out, errs := understudy(t, dir, "import", "k.conf", "c.conf", "--secret-file", "secret")
	if code != 0 || !strings.Contains(out, "[sessions]") || strings.Contains(out, "primary-backup") || !strings.Contains(errs, "(k.conf: Line ") || !strings.Contains(errs, "(c.conf: Line ") {
		t.Fatalf("exit code %d\n%s\n%s", code, out, errs)
	}
	write(t, dir, "gw.toml", out, 0o644)
	if code, out, errs := understudy(t, dir, "check", "--config", "gw.toml"); code != 0 {
		t.Errorf("its TOML is refused: %d\n%s\n%s", code, out, errs)
	}

	code, out, errs = understudy(t, dir, "import", "k.conf")
	if code != 0 || strings.Contains(out, "[sessions]") || !strings.Contains(out, "primary-backup") {
		t.Errorf("without conntrackd: %d\n%s\n%s", code, out, errs)
	}
	code, out, errs = understudy(t, dir, "check", "--config", "k.conf")
	if code != 0 || !strings.Contains(errs, "connections are left to conntrackd") {
		t.Errorf("as it is: %d\n%s\n%s", code, out, errs)
	}

	write(t, dir, "empty.conf", "global_defs {\n}\n", 0o644)
	for _, args := range [][]string{{"import"}, {"import", "none.conf"}, {"import", "empty.conf"}, {"import", "k.conf", "none"}, {"import", "k.conf", "--peer", "x"}, {"check", "--config", "empty.conf"}} {
		if code, out, errs := understudy(t, dir, args...); code != 2 || out != "" || errs == "" {
			t.Errorf("%v: exit code %d\n%s\n%s", args, code, out, errs)
		}
	}
}
