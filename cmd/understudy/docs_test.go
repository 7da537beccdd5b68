package main

import (
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"understudy/appliance"
)

var update = flag.Bool("update", false, "write docs/commands.md anew")

// TestReference: docs/commands.md is what the commands say of themselves.
func TestReference(t *testing.T) {
	t.Setenv("UNDERSTUDY_CONTROL", "")
	const file = "../../docs/commands.md"
	have, err := os.ReadFile(file)
	if err != nil && !*update {
		t.Fatal(err)
	}
	const end = "<!-- below: go test ./cmd/understudy -run TestReference -update -->\n"
	head, _, ok := strings.Cut(string(have), end)
	if !ok {
		t.Fatalf("%s has lost the line %q", file, end)
	}
	want := head + end + "\n" + commandsReference(newRoot())
	if *update {
		if err := os.WriteFile(file, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if string(have) != want {
		t.Error("docs/commands.md is out of step: go test ./cmd/understudy -run TestReference -update")
	}
	for _, c := range newRoot().Commands() {
		if c.IsAvailableCommand() && !strings.Contains(want, "## "+c.CommandPath()+"\n") {
			t.Errorf("nothing about %s", c.CommandPath())
		}
	}
}

// Every command has its page, which names every flag, and man can read it.
func TestManPages(t *testing.T) {
	t.Setenv("SOURCE_DATE_EPOCH", "1700000000")
	dir := filepath.Join(t.TempDir(), "man1")
	root := newRoot()
	if err := manPages(dir, root, pageDate()); err != nil {
		t.Fatal(err)
	}
	n := 0
	var each func(c *cobra.Command)
	each = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			if sub.IsAvailableCommand() && sub.Name() != "help" {
				each(sub)
			}
		}
		n++
		page, err := os.ReadFile(filepath.Join(dir, strings.ReplaceAll(c.CommandPath(), " ", "-")+".1"))
		if err != nil {
			t.Fatal(err)
		}
		text := strings.ReplaceAll(string(page), `\-`, "-")
		for _, want := range []string{".SH NAME", ".SH EXIT STATUS", "Nov 2023"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q", c.CommandPath(), want)
			}
		}
		for _, flag := range strings.Split(c.LocalFlags().FlagUsages(), "\n") {
			if _, name, ok := strings.Cut(flag, "--"); ok {
				name, _, _ = strings.Cut(name, " ")
				name, _, _ = strings.Cut(name, "[")
				if !strings.Contains(text, "--"+name) {
					t.Errorf("%s: no --%s", c.CommandPath(), name)
				}
			}
		}
		if strings.Contains(text, "spf13") {
			t.Errorf("%s: says by what it was made", c.CommandPath())
		}
	}
	each(root)
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != n || n < 25 {
		t.Errorf("%d pages of %d commands, %v", len(files), n, err)
	}
}

// A shell accepts the completions, and is offered what there is.
func TestCompletions(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, script, errs := understudy(t, t.TempDir(), "completion", shell)
		if code != 0 || !strings.Contains(script, "understudy") {
			t.Fatalf("%s: exit code %d: %s", shell, code, errs)
		}
		if _, err := exec.LookPath(shell); err != nil {
			continue // not every machine has them all; bash is everywhere
		}
		check := exec.Command(shell, "-n")
		check.Stdin = strings.NewReader(script)
		if out, err := check.CombinedOutput(); err != nil {
			t.Errorf("%s does not read it: %v\n%s", shell, err, out)
		}
	}
	if code, _, _ := understudy(t, t.TempDir(), "completion", "tcsh"); code != exitUsage {
		t.Errorf("tcsh: exit code %d, want %d", code, exitUsage)
	}
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	n := newTwin()
	n.status.NAT.Entries = []appliance.EntryStatus{{Name: "web", Address: "203.0.113.1:80", Servers: []appliance.ServerStatus{{Address: "10.0.0.21:80", State: "up"}}}}
	n.listen(t, path)
	for _, row := range []struct {
		args []string
		want string
	}{
		{[]string{"fail"}, "failover"},
		{[]string{"failover", "--control", path, ""}, "gateway\tbackup"},
		{[]string{"server", "drain", "--control", path, ""}, "web\t203.0.113.1:80"},
		{[]string{"server", "drain", "--control", path, "web", ""}, "10.0.0.21:80\tup"},
		{[]string{"status", "--wa"}, "--watch"},
		{[]string{"completion", ""}, "fish"},
	} {
		_, out, errs := understudy(t, t.TempDir(), append([]string{"__complete"}, row.args...)...)
		if !strings.Contains(out, row.want) {
			t.Errorf("%q: no %q in %q %s", row.args, row.want, out, errs)
		}
	}
	if _, out, _ := understudy(t, t.TempDir(), "__complete", "failover", "--control", path+".none", ""); strings.Contains(out, "gateway") {
		t.Errorf("nobody is there, and it offers %q", out)
	}
}
