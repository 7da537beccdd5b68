package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/BurntSushi/toml"
	"pgregory.net/rapid"
)

// TestIndex: each key of the document is in the line that its value names, so
// the document is its own expectation.
func TestIndex(t *testing.T) {
	src, err := os.ReadFile("testdata/lines.toml")
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if _, err := toml.Decode(string(src), &tree); err != nil {
		t.Fatal(err)
	}
	ix := newIndex(string(src))
	n := 0
	walkTree("", tree, func(path string, v any) {
		p, ok := ix.at[path]
		if !ok {
			t.Errorf("%s: not in the index", path)
		}
		if line, ok := v.(int64); ok {
			n++
			if p.line != int(line) {
				t.Errorf("%s: want line %d, got %d", path, line, p.line)
			}
		}
	})
	if n < 30 {
		t.Errorf("only %d positions checked", n)
	}
	for path, line := range map[string]int{
		"": 1, "table": 27, "router": 32, "router[0]": 32, "router[1]": 36, "router[1].sub": 38, "no.such[2].key": 1, "router[1].missing": 36, "router[7].vrid": 32,
	} {
		if got := ix.find(path).line; got != line {
			t.Errorf("find(%q): want line %d, got %d", path, line, got)
		}
	}
}

// walkTree calls fn for everything in a tree as the TOML library decodes it.
func walkTree(path string, v any, fn func(string, any)) {
	if path != "" {
		fn(path, v)
	}
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			walkTree(join(path, k), e, fn)
		}
	case []map[string]any:
		for i, e := range v {
			walkTree(at(path, i), e, fn)
		}
	case []any:
		for i, e := range v {
			walkTree(at(path, i), e, fn)
		}
	}
}

// sameAsLibrary checks that the index of a document has exactly the paths that
// the library finds in it.
func sameAsLibrary(t interface{ Errorf(string, ...any) }, src string, tree map[string]any) {
	ix := newIndex(src)
	seen := map[string]bool{}
	walkTree("", tree, func(path string, _ any) {
		seen[path] = true
		if p, ok := ix.at[path]; !ok || p.line < 1 || p.line > strings.Count(src, "\n")+1 {
			t.Errorf("%q: in the document but not in the index (%v) of\n%s", path, p, src)
		}
	})
	for path := range ix.at {
		if !seen[path] {
			t.Errorf("%q: in the index but not in the document\n%s", path, src)
		}
	}
}

// TestIndexProperty writes random documents and notes in which line each value
// goes.
func TestIndexProperty(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := writer{t: t, line: 1, want: map[string]int{}}
		w.table("", 2, true)
		for i := range rapid.IntRange(0, 3).Draw(t, "tables") {
			name := fmt.Sprintf("table%d", i)
			path := name
			if rapid.Bool().Draw(t, "list") {
				for j := range rapid.IntRange(1, 3).Draw(t, "elements") {
					path = at(name, j)
					w.write("[[" + name + "]]\n")
					w.table(path, 2, true)
				}
			} else {
				w.write("[ " + name + " ]  # header\n")
				w.table(path, 2, true)
			}
			if rapid.Bool().Draw(t, "sub") {
				w.write("[" + name + ".'a.b']\n")
				w.table(join(path, "a.b"), 1, true)
			}
		}
		var tree map[string]any
		if _, err := toml.Decode(w.text.String(), &tree); err != nil {
			t.Fatalf("wrote no TOML: %v\n%s", err, w.text.String())
		}
		ix := newIndex(w.text.String())
		for path, line := range w.want {
			if got := ix.at[path].line; got != line {
				t.Fatalf("%s: want line %d, got %d\n%s", path, line, got, w.text.String())
			}
		}
		sameAsLibrary(t, w.text.String(), tree)
	})
}

// writer writes TOML in all its spellings.
type writer struct {
	t    *rapid.T
	text strings.Builder
	line int
	want map[string]int
}

func (w *writer) write(s string) {
	w.text.WriteString(s)
	w.line += strings.Count(s, "\n")
}

// pick writes one of the texts: things that mean nothing.
func (w *writer) pick(texts ...string) {
	w.write(rapid.SampledFrom(texts).Draw(w.t, "text"))
}

func (w *writer) table(path string, depth int, lines bool) {
	for i := range rapid.IntRange(0, 4).Draw(w.t, "keys") {
		if lines {
			w.pick("", "\n", "# a = [\n", "\t# ]]\r\n", "  ")
		}
		name := rapid.SampledFrom([]string{"k", "k-", "9_", "quoted ", "dot.", "é", "back\\", "hash#"}).Draw(w.t, "key") + fmt.Sprint(i)
		p := join(path, name)
		spelt := name
		if !bare(name) {
			spelt = rapid.SampledFrom([]string{"'" + name + "'", `"` + strings.ReplaceAll(name, `\`, `\\`) + `"`}).Draw(w.t, "spelling")
		}
		if rapid.IntRange(0, 5).Draw(w.t, "dotted") == 0 {
			spelt += " . sub"
			p = join(p, "sub")
		}
		w.want[p] = w.line
		w.write(spelt)
		w.pick("=", " = ", "\t=")
		w.value(p, depth)
		if lines {
			w.pick("\n", " # = [ ' \"\n", "\t\r\n")
		} else {
			w.pick(", ", " , ")
		}
	}
}

func (w *writer) value(path string, depth int) {
	kind := rapid.IntRange(0, 9).Draw(w.t, "kind")
	if depth == 0 && kind > 7 {
		kind = 0
	}
	switch kind {
	case 8:
		w.write("[")
		for i := range rapid.IntRange(0, 3).Draw(w.t, "elements") {
			w.pick("", "\n", " # ], }\n\n", "\r\n")
			w.want[at(path, i)] = w.line
			w.value(at(path, i), depth-1)
			w.pick("", "\n", "# ,\n")
			w.write(",")
		}
		w.pick("", "\n# ]\n")
		w.write("]")
	case 9:
		w.write("{ zero = 0")
		w.want[join(path, "zero")] = w.line
		if rapid.Bool().Draw(w.t, "more") {
			w.write(", in = ")
			w.want[join(path, "in")] = w.line
			w.value(join(path, "in"), depth-1)
		}
		w.write(" }")
	default:
		w.pick("1", "-0.5e3", "true", `"a # = [ \" \\"`, `'lit # \'`, "1979-05-27 07:32:00Z", "07:32:00", "inf",
			"\"\"\"two\nlines \\\" \"\" \"\"\"\"\"", "'''\n]\n'' '''''", "\"\"\"\\\n  x\"\"\"", "0xff", `""`, "''")
	}
}

func FuzzIndex(f *testing.F) {
	f.Add("a = 1\n[b]\nc.d = [1, {e = 2}]\n[[f]]\n[[f]]\n[f.g]\n[[f.h]]\n")
	files, _ := filepath.Glob("testdata/*/*.toml")
	for _, file := range append(files, "testdata/lines.toml") {
		if src, err := os.ReadFile(file); err == nil {
			f.Add(string(src))
		}
	}
	f.Fuzz(func(t *testing.T, src string) {
		newIndex(src) // never panics, whatever it gets
		var tree map[string]any
		src = strings.TrimPrefix(src, "\ufeff")
		if strings.HasPrefix(src, "\xff\xfe") || strings.HasPrefix(src, "\xfe\xff") {
			return
		}
		if _, err := toml.Decode(src, &tree); err == nil {
			sameAsLibrary(t, src, tree)
		}
	})
}
