package replica_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// Case 52, of this package and those below it: what time.Now returns is only compared
// with what it returned before, which is by the monotonic clock. Whatever strips that,
// or makes a number or a text of the time of day, has no business here.
func TestCase52NoTimeOfDay(t *testing.T) {
	wall := map[string]bool{"Unix": true, "UnixNano": true, "UnixMilli": true, "UnixMicro": true, "Round": true, "Truncate": true,
		"Format": true, "AppendFormat": true, "UTC": true, "Local": true, "In": true, "MarshalBinary": true}
	files := 0
	for _, dir := range []string{".", "../../nat/session", "../../nat/conntrack"} {
		list, err := filepath.Glob(filepath.Join(dir, "*.go"))
		must(t, err)
		for _, f := range list {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			files++
			set := token.NewFileSet()
			parsed, err := parser.ParseFile(set, f, nil, parser.SkipObjectResolution)
			must(t, err)
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				sel, ok := call.Fun.(*ast.SelectorExpr)
				if !ok || !wall[sel.Sel.Name] {
					return true
				}
				if x, ok := sel.X.(*ast.Ident); ok && x.Name == "time" { // time.Unix: a moment that is written down
					return true
				}
				if name := sel.Sel.Name; name == "Round" || name == "Truncate" {
					// Of a duration, but for Round(0), which strips the monotonic clock.
					if lit, ok := call.Args[0].(*ast.BasicLit); !ok || lit.Value != "0" {
						return true
					}
				}
				t.Errorf("%s: %s", set.Position(call.Pos()), sel.Sel.Name)
				return true
			})
		}
	}
	if files < 40 {
		t.Errorf("%d files were looked at", files)
	}
}
