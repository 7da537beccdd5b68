package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// asMain makes the test binary the program itself.
const asMain = "UNDERSTUDY_TEST_AS_MAIN"

func TestMain(m *testing.M) {
	if os.Getenv(asMain) == "1" {
		main()
		return
	}
	os.Exit(m.Run())
}

// understudy runs the program in another process and returns its exit code and
// what it wrote.
func understudy(t *testing.T, dir string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	var out, errs strings.Builder
	cmd := exec.Command(exe, args...)
	cmd.Env = append(os.Environ(), asMain+"=1")
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, &out, &errs
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func write(t *testing.T, dir, name, text string, mode os.FileMode) {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask is
		t.Fatal(err)
	}
}

// Every broken file of the configuration's tests is refused on the command line
// with exit code 2, and each of its problems is told with file, line, key and
// what to do about it.
func TestCheckOfBrokenFiles(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "..", "appliance", "config", "testdata", "broken", "*.toml"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) < 10 {
		t.Fatalf("%d broken files, want ten or more", len(files))
	}
	// The secrets that they name, as the configuration's tests have them. They
	// lie beside the files, which are therefore copied.
	dir := t.TempDir()
	write(t, dir, "passphrase", "correct horse battery staple\n", 0o600)
	_, secret, _ := understudy(t, dir, "keygen")
	write(t, dir, "open", secret, 0o644)
	write(t, dir, "secret", secret, 0o600)
	for _, file := range files {
		name := filepath.Base(file)
		t.Run(name, func(t *testing.T) {
			golden, err := os.ReadFile(strings.TrimSuffix(file, ".toml") + ".golden")
			if err != nil {
				t.Fatal(err)
			}
			want := strings.Split(strings.TrimSpace(string(golden)), "\n")
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			write(t, dir, name, string(text), 0o644)
			code, stdout, stderr := understudy(t, dir, "check", "--config", name)
			if code != exitUsage || stdout != "" {
				t.Errorf("exit code %d and %q on stdout, want %d and nothing", code, stdout, exitUsage)
			}
			told := make(map[string]bool)
			for line := range strings.Lines(stderr) {
				told[strings.TrimSuffix(line, "\n")] = true
			}
			for _, problem := range want {
				if !told[problem] {
					t.Errorf("not told: %s", problem)
				}
				located(t, name, problem)
			}
			if t.Failed() {
				t.Logf("stderr:\n%s", stderr)
			}
		})
	}
}

// located checks the form of a problem: FILE:LINE: key: what is wrong; the fix.
func located(t *testing.T, file, problem string) {
	t.Helper()
	rest, ok := strings.CutPrefix(problem, file+":")
	if !ok {
		t.Errorf("does not begin with the file: %s", problem)
		return
	}
	line, rest, ok := strings.Cut(rest, ": ")
	if !ok || strings.Trim(line, "0123456789") != "" || line == "" {
		t.Errorf("has no line number: %s", problem)
	}
	if wrong, fix, ok := strings.Cut(rest, "; "); !ok || wrong == "" || fix == "" {
		t.Errorf("does not tell what to do: %s", problem)
	}
}

func TestCheckOfAGoodFile(t *testing.T) {
	dir := t.TempDir()
	_, secret, _ := understudy(t, dir, "keygen")
	write(t, dir, "secret", secret, 0o600)
	const file = `
node = "gw1"
[[router]]
name = "lan"
interface = "lan0"
vrid = 51
addresses = ["10.0.0.1/24"]
[sessions]
listen = "10.255.0.1:7788"
peers = [{ name = "gw2", address = "10.255.0.2:7788" }]
secret_file = "secret"
mode = "incremental"
`
	write(t, dir, "gw.toml", file, 0o644)
	code, stdout, stderr := understudy(t, dir, "check", "--config", "gw.toml")
	if code != 0 || !strings.Contains(stdout, "gw.toml: valid") || stderr != "" {
		t.Errorf("exit code %d, %q, %q", code, stdout, stderr)
	}
}

// Exit codes are a contract: 1 failed while running, 2 usage or configuration.
func TestExitCodes(t *testing.T) {
	dir := t.TempDir()
	for _, row := range []struct {
		args []string
		code int
		want string // in what it writes
	}{
		{[]string{"version"}, 0, "understudy"},
		{[]string{"help"}, 0, "failover"},
		{nil, exitUsage, "Usage"},
		{[]string{"nonsense"}, exitUsage, "nonsense"},
		{[]string{"status", "extra"}, exitUsage, "extra"},
		{[]string{"status", "--nonsense"}, exitUsage, "nonsense"},
		{[]string{"failover", "a", "b"}, exitUsage, "arg"},
		{[]string{"status", "--control", filepath.Join(dir, "none.sock")}, exitFailed, "none.sock"},
		{[]string{"failover", "--control", filepath.Join(dir, "none.sock")}, exitFailed, "none.sock"},
		{[]string{"reload", "--control", filepath.Join(dir, "none.sock")}, exitFailed, "none.sock"},
		{[]string{"check", "--config", filepath.Join(dir, "none.toml")}, exitUsage, "none.toml"},
	} {
		t.Run(strings.Join(row.args, " "), func(t *testing.T) {
			code, stdout, stderr := understudy(t, dir, row.args...)
			if code != row.code || !strings.Contains(stdout+stderr, row.want) {
				t.Errorf("exit code %d, want %d and %q\n%s%s", code, row.code, row.want, stdout, stderr)
			}
		})
	}
}
