package installed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"understudy/appliance/lab"
	"understudy/appliance/lab/machine"
)

// tree is this repository.
const tree = "../../.."

// What a new user is given to do: the whole way, and the short one.
const (
	guide = "docs/quick-start.md"
	short = "README.md"
)

// step is a block of the guide that is to be run. The comment above it, which readers
// do not see, says where, and what its output has to have in the end:
//
//	<!-- run: gw1, until: gateway active; peers, in sync -->
type step struct {
	at    string // page and line
	where string
	until []string
	lines []string
}

var mark = regexp.MustCompile(`^<!-- run: (\w+)(?:, until: (.*))? -->$`)

// steps are those of a page, in its order, and the page.
func steps(t *testing.T, page string) (out []step, text string) {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(tree, page))
	if err != nil {
		t.Fatal(err)
	}
	text = string(b)
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		m := mark.FindStringSubmatch(lines[i])
		switch {
		case strings.HasPrefix(lines[i], "<!-- run") && m == nil:
			t.Fatalf("%s:%d: a mark that says nothing", page, i+1)
		case m == nil && page == guide && lines[i] == "```":
			t.Fatalf("%s:%d: a block that nobody runs", page, i+1)
		case m == nil:
			continue
		}
		s := step{at: fmt.Sprintf("%s:%d", page, i+1), where: m[1]}
		if m[2] != "" {
			s.until = strings.Split(m[2], "; ")
		}
		if i++; i == len(lines) || lines[i] != "```" {
			t.Fatalf("%s: no block below the mark", s.at)
		}
		for i++; i < len(lines) && lines[i] != "```"; i++ {
			s.lines = append(s.lines, lines[i])
		}
		out = append(out, s)
	}
	return out, text
}

var port = regexp.MustCompile("(?m)^\\| `(\\w+)` \\|[^|]*\\| ([0-9./]+) \\| ([0-9./]+) \\|$")

// TestQuickStart does what the guide says, and the README, in its order, on two machines with systemd
// that are joined as its table says. What is not its own is played: the way to the other
// machine (scp), and the time of people who look again.
func TestQuickStart(t *testing.T) {
	lab.Require(t)
	todo, text := steps(t, guide)
	if len(todo) < 15 {
		t.Fatalf("%s: only %d steps", guide, len(todo))
	}
	again, _ := steps(t, short)
	if len(again) != 1 || again[0].where != "tree" {
		t.Fatalf("%s: not one block that is run in the tree, but %v", short, again)
	}

	packages := begin(t, "v1.0.0")
	machines, groups := map[string]*machine.Machine{}, controlGroups(t)
	for _, name := range []string{"gw1", "gw2"} {
		apart(t, groups, name)
		machines[name] = machine.Boot(t)
	}
	ports := port.FindAllStringSubmatch(text, -1)
	if len(ports) != 3 {
		t.Fatalf("%s: a table of three interfaces, and not %q", guide, ports)
	}
	for _, p := range ports {
		join(t, machines["gw1"], machines["gw2"], p[1])
		machines["gw1"].Run("ip", "address", "add", p[2], "dev", p[1])
		machines["gw2"].Run("ip", "address", "add", p[3], "dev", p[1])
	}

	both := []string{"gw1", "gw2"}
	for _, s := range todo {
		where := []string{s.where}
		switch s.where {
		case "build":
			// The packages are built where nothing of this tree changes; that the
			// command of the guide is there, a dry run tells.
			for _, line := range s.lines {
				c := exec.Command("bash", "-c", line)
				c.Dir, c.Env = tree, append(os.Environ(), dryRun)
				if out, err := c.CombinedOutput(); err != nil {
					t.Fatalf("%s: %s: %v\n%s", s.at, line, err, out)
				}
			}
			deb := one(t, packages(), "understudy_*.deb")
			for _, m := range machines {
				m.Copy(deb, home)
				m.Copy(deb, home+"/tree/dist/packages")
			}
			continue
		case "both":
			where = both
		}
		for _, name := range where {
			m := machines[name]
			if m == nil {
				t.Fatalf("%s: there is no machine %s", s.at, name)
			}
			run(t, m, machines, name, s)
		}
	}

	// And the short way, on machines where nothing is any more.
	for _, name := range both {
		m, s := machines[name], again[0]
		m.Run("rm", "-r", "/etc/understudy")
		m.Copy(filepath.Join(tree, "Makefile"), home+"/tree")
		m.Copy(filepath.Join(tree, "etc/examples", name+".toml"), home+"/tree/etc/examples")
		for _, line := range s.lines {
			switch line, _, _ = strings.Cut(line, "#"); {
			case strings.Contains(line, "keygen") && name == "gw2": // once
				line = "scp -p /etc/understudy/secret gw2:/etc/understudy/secret"
				run(t, machines["gw1"], machines, "gw1", step{at: s.at, lines: []string{line}})
				continue
			case name == "gw2":
				line = strings.Replace(line, "gw1.toml", "gw2.toml", 1)
			}
			run(t, m, machines, name, step{at: s.at, lines: []string{"cd tree && export " + dryRun + " && " + line}})
		}
	}
	run(t, machines["gw2"], machines, "gw2", step{at: again[0].at, until: []string{"gateway backup", "peers, in sync"}, lines: []string{"understudy status"}})
}

// dryRun has make say what it would do.
const dryRun = "MAKEFLAGS=n"

// home is where people are when they type.
const home = "/root"

// run runs a step on a machine.
func run(t *testing.T, m *machine.Machine, all map[string]*machine.Machine, name string, s step) {
	t.Helper()
	if s.until == nil {
		for _, line := range s.lines {
			if copied(t, m, all, line) {
				continue
			}
			if out, err := m.Try("bash", "-c", "cd "+home+" && "+line); err != nil {
				t.Fatalf("%s, on %s: %s: %v\n%s\n%s", s.at, name, line, err, out, said(m))
			}
		}
		return
	}
	var out string
	eventually(t, func() bool {
		out, _ = m.Try("bash", "-ec", "cd "+home+"\n"+strings.Join(s.lines, "\n"))
		flat := strings.Join(strings.Fields(out), " ")
		for _, what := range s.until {
			if !strings.Contains(flat, what) {
				return false
			}
		}
		return true
	}, func() string {
		return fmt.Sprintf("%s, on %s: %s does not say %q:\n%s\n%s", s.at, name, strings.Join(s.lines, "\n"), s.until, out, said(m))
	})
}

// said is what the node has logged last.
func said(m *machine.Machine) string {
	out, _ := m.Try("journalctl", "-u", "understudy", "-n", "40", "--no-pager")
	return out
}

var scp = regexp.MustCompile(`^scp -p (/\S+) (\w+):(/\S+)$`)

// copied plays scp, for which the machines have no server.
func copied(t *testing.T, m *machine.Machine, all map[string]*machine.Machine, line string) bool {
	t.Helper()
	c := scp.FindStringSubmatch(line)
	if c == nil {
		return false
	}
	to := all[c[2]]
	text, err := os.ReadFile(m.Path(c[1]))
	if to == nil || err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	info, err := os.Stat(m.Path(c[1]))
	if err != nil {
		t.Fatal(err)
	}
	to.Write(c[3], string(text), info.Mode().Perm())
	return true
}

// join lays a cable between two machines: an interface of the same name at both ends.
func join(t *testing.T, a, b *machine.Machine, name string) {
	t.Helper()
	c := exec.Command("nsenter", "--net="+a.Path("../ns/net"), "ip", "link", "add", name, "type", "veth", "peer", "name", name, "netns", b.Path("../ns/net"))
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	a.Run("ip", "link", "set", name, "up")
	b.Run("ip", "link", "set", name, "up")
}

// apart puts this process, and so the machine that it boots next, into a control group
// of its own beside that of the others, and takes it out at the end: machines in the
// same one would end each other's services.
func apart(t *testing.T, groups map[string]string, name string) {
	t.Helper()
	for root, was := range groups {
		is := filepath.Join(root, was, fmt.Sprintf("understudy-%s-%d", name, os.Getpid()))
		if err := os.Mkdir(is, 0o755); err != nil {
			t.Fatal(err)
		}
		enter := func(dir string) error {
			return os.WriteFile(filepath.Join(dir, "cgroup.procs"), fmt.Append(nil, os.Getpid()), 0)
		}
		if err := enter(is); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := enter(filepath.Join(root, was)); err != nil {
				t.Errorf("%v", err)
			}
			// What the machine made in there is empty by now; the deepest first.
			if out, err := exec.Command("find", is, "-depth", "-type", "d", "-delete").CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
}

// controlGroups are those of this process that systemd looks at: by their hierarchy's
// place in the file system, the group.
func controlGroups(t *testing.T) map[string]string {
	t.Helper()
	text, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]string{}
	for line := range strings.Lines(string(text)) {
		number, rest, _ := strings.Cut(strings.TrimSpace(line), ":")
		controllers, group, _ := strings.Cut(rest, ":")
		switch _, err := os.Stat("/sys/fs/cgroup/unified"); {
		case controllers == "name=systemd":
			out["/sys/fs/cgroup/systemd"] = group
		case number == "0" && err == nil:
			out["/sys/fs/cgroup/unified"] = group
		case number == "0":
			out["/sys/fs/cgroup"] = group
		}
	}
	return out
}
