package understudy_test

import (
	"encoding/json"
	"errors"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// layer says what a package may import of this module. A package that is not
// listed fails the test: it has to be given its place first.
var layers = map[string][]string{
	// Pure: values that decide.
	"vrrp":               nil,
	"vrrp/witness":       {"vrrp"},
	"garp":               nil,
	"garp/ra":            nil,
	"lacp":               nil,
	"nat":                nil,
	"nat/entry":          {"nat", "health"},
	"nat/session":        nil,
	"nat/splice":         nil,
	"nat/splice/bytelog": {"nat/splice"},
	"health":             nil,
	"health/expect":      nil,
	"health/heartbeat":   nil,
	"health/sdnotify":    nil,
	"appliance/identity": {"vrrp"},
	"appliance":          {"vrrp", "health", "appliance/identity"},
	"appliance/trend":    nil,
	"appliance/history":  {"vrrp", "health", "appliance"},
	"appliance/sim":      {"vrrp", "vrrp/witness", "health", "appliance", "appliance/identity"},

	// What a machine was given, on disk; knows no machine.
	"vrrp/record": nil,

	// Another program's language; knows ours by its grammar only.
	"appliance/config/keepalived": nil,

	// Edges: one pure side, one facility; they have never heard of Core.
	"vrrp/vrrpnet":              {"vrrp"},
	"garp/garpnet":              {"garp"},
	"lacp/lacpnet":              {"lacp"},
	"garp/ranet":                {"garp", "garp/ra"},
	"nat/nft":                   {"nat", "nat/entry", "nat/splice"},
	"nat/conntrack":             {"nat/session"},
	"nat/ipvs":                  {"nat", "nat/entry", "nat/nft"},
	"nat/entry/entrynet":        {"nat", "nat/entry", "nat/conntrack", "nat/session"},
	"health/program":            nil,
	"health/probe":              {"health", "health/expect", "health/heartbeat", "health/sdnotify", "health/program"},
	"health/pulse":              {"health/heartbeat", "health/program"},
	"appliance/dog":             nil,
	"appliance/dropin":          nil,
	"appliance/kernel":          {"appliance/identity"},
	"appliance/mail":            nil,
	"appliance/notify":          {"health/program"},
	"appliance/replica":         {"nat/session", "nat/conntrack", "appliance/replica/journal"},
	"appliance/replica/journal": {"nat/session"},
	"appliance/replica/carry":   {"nat/session", "nat/conntrack", "appliance/replica/journal"},
	"appliance/config":          {"appliance/config/keepalived", "vrrp", "garp", "garp/ra", "vrrp/witness", "nat", "nat/entry", "nat/session", "health", "health/expect", "appliance/identity"},
	"appliance/control":         {"appliance", "appliance/history"},
	"appliance/metrics":         {"appliance"},
	"appliance/web":             nil,
	"appliance/web/page":        nil,
	"appliance/web/live":        {"appliance", "appliance/history", "appliance/trend"},
	"appliance/decode":          {"vrrp", "garp", "lacp"},
	"appliance/replay":          {"vrrp/record", "vrrp", "appliance"},
	"appliance/runner":          {"appliance", "appliance/identity", "health"},
	"vrrp/election":             {"vrrp/record", "vrrp", "vrrp/witness", "vrrp/vrrpnet"},
	"appliance/daemon":          {"*"}, // the wiring knows all

	// Connections that go on at another server.
	"nat/entry/entrynet/splicenet": {"nat/splice", "nat/splice/bytelog", "nat/conntrack", "nat/session"},
	"nat/entry/entrynet/lognet":    {"nat/splice", "nat/splice/bytelog"},

	// What keeps a machine from being a gateway.
	"appliance/doctor": {"appliance", "appliance/config", "appliance/kernel", "vrrp"},

	// Where log records go.
	"appliance/logs": nil,

	// What happened, on disk.
	"appliance/history/histfile": {"appliance/history"},

	// The lab builds networks; it runs the program, and knows it from outside.
	"vrrp/vrrptest":           {"vrrp"},
	"lacp/lacptest":           nil,
	"appliance/lab":           nil,
	"appliance/lab/capture":   {"appliance/lab"},
	"appliance/lab/probe":     {"appliance/lab"},
	"appliance/lab/guest":     nil,
	"appliance/lab/postbox":   nil,
	"appliance/lab/machine":   {"appliance/lab"},
	"appliance/lab/pair":      {"appliance", "appliance/history", "appliance/config", "appliance/control", "appliance/lab", "appliance/lab/capture", "appliance/lab/probe", "nat/conntrack", "nat/session"},
	"appliance/demo":          {"appliance", "appliance/web/page", "appliance/lab", "appliance/lab/capture", "appliance/lab/pair", "appliance/lab/probe"},
	"appliance/bench":         {"appliance/history", "appliance/lab", "appliance/lab/capture", "appliance/lab/pair", "appliance/lab/probe", "health", "nat", "nat/conntrack", "nat/entry", "nat/nft", "nat/session", "nat/splice"},
	"appliance/e2e":           nil,
	"appliance/e2e/bonds":     nil,
	"appliance/e2e/browser":   nil,
	"appliance/e2e/installed": nil,
	"appliance/interop":       nil,

	// The command starts processes: the election it is, or the daemon.
	"cmd/understudy": {"appliance", "vrrp/record", "appliance/replay", "vrrp/election", "appliance/daemon", "appliance/config", "appliance/config/keepalived", "appliance/decode", "appliance/control", "appliance/replica/carry", "appliance/demo", "appliance/bench", "appliance/kernel", "appliance/dog", "appliance/dropin", "health/heartbeat", "health/program", "health/pulse", "lacp", "lacp/lacpnet", "appliance/history", "appliance/doctor", "appliance/logs"},
}

// pure packages decide and do nothing else.
var pure = []string{"vrrp", "vrrp/witness", "garp", "garp/ra", "lacp", "nat", "nat/entry", "nat/session", "nat/splice", "nat/splice/bytelog", "health", "health/expect", "health/heartbeat", "health/sdnotify", "appliance", "appliance/identity", "appliance/history", "appliance/sim", "appliance/trend"}

// notPure is what a pure package may not import of the standard library.
var notPure = []string{"os", "net", "syscall", "sync", "context", "log", "math/rand", "math/rand/v2", "unsafe", "runtime"}

const module = "understudy"

type listed struct {
	ImportPath string
	Imports    []string
	Standard   bool
}

// TestImportsPointDown holds the layers.
func TestImportsPointDown(t *testing.T) {
	for _, p := range list(t, "./...") {
		name := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		if name == "" {
			continue // this test
		}
		allowed, ok := layers[name]
		if !ok {
			t.Errorf("%s has no place in the layers: add it to imports_test.go, then to docs/architecture.md", name)
			continue
		}
		for _, imp := range p.Imports {
			inner, ours := strings.CutPrefix(imp, module+"/")
			if ours && !slices.Contains(allowed, inner) && !slices.Contains(allowed, "*") {
				t.Errorf("%s imports %s, which is not below it", name, inner)
			}
		}
	}
}

// TestImportsOfPurePackages: pure packages use the standard library only, and
// not the parts that act, wait or look at the world. Their dependencies inside
// the module are pure too.
func TestImportsOfPurePackages(t *testing.T) {
	for _, name := range pure {
		for _, p := range list(t, "./"+name) {
			for _, imp := range p.Imports {
				inner, ours := strings.CutPrefix(imp, module+"/")
				switch {
				case ours && !slices.Contains(pure, inner):
					t.Errorf("%s is pure and imports %s, which is not", name, inner)
				case !ours && strings.Contains(strings.Split(imp, "/")[0], "."):
					t.Errorf("%s is pure and imports %s; pure packages use the standard library only", name, imp)
				case forbidden(imp):
					t.Errorf("%s is pure and imports %s", name, imp)
				}
			}
		}
		scan(t, name)
	}
}

func forbidden(imp string) bool {
	if imp == "net/netip" {
		return false
	}
	for _, f := range notPure {
		if imp == f || strings.HasPrefix(imp, f+"/") {
			return true
		}
	}
	return false
}

// scan finds goroutines, channels and clocks in a pure package's source.
func scan(t *testing.T, dir string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: no source found: %v", dir, err)
	}
	set := token.NewFileSet()
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		f, err := parser.ParseFile(set, file, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(f, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s: a goroutine in a pure package", set.Position(n.Pos()))
			case *ast.ChanType, *ast.SelectStmt, *ast.SendStmt:
				t.Errorf("%s: a channel in a pure package", set.Position(n.Pos()))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" {
					switch n.Sel.Name {
					case "Now", "After", "Sleep", "Since", "Until", "Tick", "NewTimer", "NewTicker", "AfterFunc":
						t.Errorf("%s: time.%s in a pure package; time comes as an argument", set.Position(n.Pos()), n.Sel.Name)
					}
				}
			}
			return true
		})
	}
}

func list(t *testing.T, pattern string) (out []listed) {
	t.Helper()
	b, err := exec.Command("go", "list", "-json=ImportPath,Imports,Standard", pattern).Output()
	if err != nil {
		t.Fatalf("go list %s: %v", pattern, err)
	}
	d := json.NewDecoder(strings.NewReader(string(b)))
	for {
		var p listed
		if err := d.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	if len(out) == 0 {
		t.Fatalf("go list %s named nothing", pattern)
	}
	return out
}

// TestDocsNameEveryPackage keeps the map in step with the house.
func TestDocsNameEveryPackage(t *testing.T) {
	doc, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	for name := range layers {
		if strings.HasPrefix(name, ".") {
			continue
		}
		if !strings.Contains(string(doc), "`"+name+"`") {
			t.Errorf("docs/architecture.md does not name the package %s", name)
		}
	}
}

// TestDocsNameEveryDependency: a direct dependency without its line is one that
// nobody has argued for.
func TestDocsNameEveryDependency(t *testing.T) {
	doc, err := os.ReadFile("docs/dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	b, err := exec.Command("go", "list", "-m", "-f", "{{if not (or .Indirect .Main)}}{{.Path}}{{end}}", "all").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range strings.Fields(string(b)) {
		if !strings.Contains(string(doc), "| "+m+" |") {
			t.Errorf("docs/dependencies.md has no line for %s", m)
		}
	}
}
