package appliance_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"
)

// Every alarm has its paragraph in the documentation, where the doctor sends people to.
func TestDocsOfAlarms(t *testing.T) {
	f, err := parser.ParseFile(token.NewFileSet(), "alarm.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("../docs/troubleshooting.md")
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	ast.Inspect(f, func(node ast.Node) bool {
		v, ok := node.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(v.Names[0].Name, "Alarm") || len(v.Values) == 0 {
			return true
		}
		name, err := strconv.Unquote(v.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		n++
		_, rest, ok := strings.Cut(string(text), "\n### "+name+"\n")
		if !ok || len(strings.SplitN(rest, "\n", 2)[0]) < 20 {
			t.Errorf("docs/troubleshooting.md says nothing of %s", name)
		}
		return true
	})
	if n < 20 {
		t.Errorf("only %d alarms were found", n)
	}
}
