package keepalived

import (
	"fmt"
	"io/fs"
	"path"
	"slices"
	"sort"
	"strings"
	"testing"
)

// files are a world of files.
type files map[string]string

func (f files) world() World {
	return World{
		Hostname: "main.example.org",
		Open: func(name string) ([]byte, error) {
			if text, ok := f[name]; ok {
				return []byte(text), nil
			}
			return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		},
		Glob: func(pattern string) (out []string, err error) {
			for name := range f {
				if ok, _ := path.Match(pattern, name); ok {
					out = append(out, name)
				}
			}
			sort.Strings(out)
			return out, nil
		},
		Getenv: func(name string) string { return strings.ToLower(name) },
	}
}

// TestReader: what the lines of a file are, and what is said of them.
func TestReader(t *testing.T) {
	rows := []struct {
		name, src string
		want      string // lines, as NUMBER:TEXT
		said      string // parts of messages, in order
	}{
		{"comments", "a # b\n!c\n  d ! e\n\"f # g\" h\ni \\# j\n", "1:a|3:d|4:\"f # g\" h|5:i \\# j", ""},
		{"a quote that is not closed", "a \"b # c\nd", "1:a \"b # c|2:d", ""},
		{"a line that goes on", "a \\\n  b \\\nc\nd\\\\\ne", "1:a b c|4:d\\\\|5:e", ""},
		{"a line that goes on to the end", "a \\", "1:a", ""},
		{"a comment does not go on", "a # b \\\nc", "1:a|2:c", ""},
		{"conditions", "@main a\n@other b\n@^main c\n@^other d\n@main @^other e\n@main\n", "1:a|4:d|5:e", ""},
		{"a variable", "$X=1\na $X b\na ${X}b\na $Xb\na $X, ($X)\na$X", "2:a 1 b|3:a 1b|4:a $Xb|5:a 1, (1)|6:a1", ""},
		{"variables in variables, late", "$A=10.${B}\n$B=0\n${A}.1\n$B=10\n${A}.1", "3:10.0.1|5:10.10.1", ""},
		{"an empty one", "$A=\na ${A}b\n$A\nc", "2:a b|4:c", ""},
		{"one that nobody has defined", "a ${X} $Y", "1:a ${X} $Y", ""},
		{"no definition", "$A =1\n$1=2", "1:$A =1|2:$1=2", ""},
		{"one that is itself", "$A=${A}x\n$A", "", "line too long"},
		{"a block that is in itself", "$W= \\\n$W\n$W\nx", "4:x", "more than 100 deep"},
		{"several lines", "$V= \\\n a ${N} { \\\n  b \\\n }\n$N=1\n$V\nx $V y", "6:a 1 {|6:b|6:}|7:x a 1 {|7:b|7:} y", ""},
		{"which define others", "$V= \\\n$N=1 \\\n$W \\\n$N=2 \\\n$W\n$W= \\\nw ${N}\n$V", "8:w 1|8:w 2", ""},
		{"a condition before a definition", "@main $P=1\n@other $P=2\np $P", "3:p 1", ""},
		{"a condition in a variable", "$M=@main\n$O=@other\n$M a\n$O b", "3:a", ""},
		{"conditions in a block", "$V= \\\n@main a \\\n@other b\n$V", "4:a", ""},
		{"a sequence", "~SEQ(X, 0, 3) a${X}", "1:a0|1:a1|1:a2|1:a3", ""},
		{"with a step", "~SEQ(X, 0, 4, 9) a $X b", "1:a 0 b|1:a 4 b|1:a 8 b", ""},
		{"down", "~SEQ(X, 3, 1) ${X}", "1:3|1:2|1:1", ""},
		{"to an end only", "~SEQ(X, 2) ${X}", "1:1|1:2", ""},
		{"to one below", "~SEQ(X, -2) ${X}", "1:-1|1:-2", ""},
		{"that is empty", "~SEQ(X, 3, 1, 1) ${X}\na", "2:a", ""},
		{"in base 16", "~SEQx(X, 0x9e, 1, 0xa1) ${X}", "1:9e|1:9f|1:a0|1:a1", ""},
		{"in a sequence", "~SEQ(X, 1, 2) ~SEQ(Y, 1, 2) ${X}.${Y}", "1:1.1|1:1.2|1:2.1|1:2.2", ""},
		{"closed by a tilde", "~SEQ(X,1,2)~ ${X}", "1:1|1:2", ""},
		{"with a variable in it", "$N=2\n~SEQ(X,1,${N}) ${X}", "2:1|2:2", ""},
		{"a list", "~LST(X, a, b) ${X}", "1:a|1:b", ""},
		{"of several", "~LST({X, Y}, {a, 1}, {b, 2}) ${X}${Y}", "1:a1|1:b2", ""},
		{"lists and sequences", "~LST(X, a, b) ~SEQ(Y, 1, 2) ${X}${Y}", "1:a1|1:a2|1:b1|1:b2", ""},
		{"a list that does not fit", "~LST({X, Y}, {a}) ${X}", "", "is not understood"},
		{"a sequence of words", "~SEQ(X, a, b) ${X}", "", "is not understood"},
		{"of a block", "$V= \\\na ${X} \\\nb\n~SEQ(X,1,2) $V", "4:a 1|4:b|4:a 2|4:b", ""},
		{"without end", "~SEQ(X, 1, 2 ${X}", "1:~SEQ(X, 1, 2 ${X}", "closing parenthesis"},
		{"what everybody has", "${_PWD} ${_INSTANCE} ${_HASH}${_BANG} ${_ENV HOME}", "1:/etc main #! home", ""},
		{"includes", "a\ninclude one\nb", "1:a|one:1:1|one:2:sub/x:1:x|2:b|3:b", ""},
		{"by a pattern", "include sub/*", "x|y", ""},
		{"by braces", "include sub/{y,x}", "y|x", ""},
		{"of nothing", "include none\na", "2:a", "none"},
		{"that has to be there", "includem none\nincludew no*\nincludeb {one,no*}", "1|x|2", "missing 'none', missing 'no*', missing '{one"},
		{"checked from here on", "include_check match\ninclude none\ninclude_check -match\ninclude none2\ninclude_check what", "", "none, none2, unknown include_check type 'what'"},
		{"one that includes itself", "include self\na", "", "more than 64 deep"},
		{"no variable in an include", "$F=one\ninclude $F\na", "3:a", "$F"},
	}
	world := files{
		"/etc/one": "1\ninclude sub/x\n2\n", "/etc/sub/x": "x\n", "/etc/sub/y": "y", "/etc/self": "include self\n",
	}.world()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			var ms messages
			lines := readLines("/etc/k.conf", []byte(row.src), world, ms.say)
			var got []string
			for _, l := range lines {
				if strings.Contains(row.want, ":") && l.at.File == "/etc/k.conf" && !strings.Contains(row.src, "include") {
					got = append(got, fmt.Sprintf("%d:%s", l.at.Line, l.text))
				} else {
					got = append(got, l.text)
				}
			}
			want := row.want
			if row.name == "includes" {
				want = "a|1|x|2|b"
			}
			if row.name == "of nothing" || row.name == "no variable in an include" {
				want = "a"
			}
			if row.name == "one that includes itself" {
				want = "a"
			}
			if g := strings.Join(got, "|"); g != want {
				t.Errorf("want %s\n got %s", want, g)
			}
			var said []string
			for _, m := range ms.list {
				said = append(said, m.Text)
				if m.Line < 1 {
					t.Errorf("without a line: %#v", m)
				}
			}
			parts := strings.Split(row.said, ", ")
			if row.said == "" {
				parts = nil
			}
			if len(said) != len(parts) {
				t.Fatalf("want %q, got %q", parts, said)
			}
			for i, p := range parts {
				if !strings.Contains(said[i], p) {
					t.Errorf("want %q, got %q", p, said[i])
				}
			}
		})
	}
}

// TestTooManyLines: what a file can become is bounded.
func TestTooManyLines(t *testing.T) {
	w := files{}.world()
	w.Lines = 1000
	var ms messages
	lines := readLines("f", []byte("~SEQ(A,1,100) ~SEQ(B,1,100) ~SEQ(C,1,100) x"), w, ms.say)
	if len(lines) > 1000 || len(ms.list) != 1 || ms.list[0].Level != Fatal {
		t.Errorf("%d lines, %v", len(lines), ms.list)
	}
}

// TestWords: how lines part into words, and the text of a script once more.
func TestWords(t *testing.T) {
	rows := []struct{ line, words, again string }{
		{`a b  c`, "a|b|c", "a"},
		{`a "b c" d`, "a|b c|d", "a"},
		{`abcd" efg h jkl "mnop`, "abcd efg h jkl mnop", "abcd|efg|h|jkl|mnop"},
		{`""`, "", ""},
		{`"/bin/x 'a b' c"`, `/bin/x 'a b' c`, "/bin/x|a b|c"},
		{`"/bin/x \"a b\" c"`, `/bin/x "a b" c`, "/bin/x|a b|c"},
		{`"/bin/x a\ b \x41\102\n"`, `/bin/x a\ b \x41\102\n`, "/bin/x|a b|AB\n"},
		{`a\#b \!c`, "a#b|!c", "a#b"},
	}
	for _, row := range rows {
		list, open := words(row.line)
		var got []string
		for _, w := range list {
			got = append(got, w.text)
		}
		if g := strings.Join(got, "|"); g != row.words || open {
			t.Errorf("%s: want %s, got %s (%v)", row.line, row.words, g, open)
		}
		again, ok := splitCommand(got[0])
		if g := strings.Join(again, "|"); g != row.again || !ok {
			t.Errorf("%s: as a command want %q, got %q", row.line, row.again, g)
		}
	}
	if _, open := words(`a "b`); !open {
		t.Error("a quote is not closed")
	}
}

// TestBraces: how a pattern becomes several.
func TestBraces(t *testing.T) {
	for pattern, want := range map[string]string{
		"a": "a", "{a,b}c": "ac|bc", "{foo/{,cat,dog},bar}": "foo/|foo/cat|foo/dog|bar", "{a}": "{a}", "a{b": "a{b", "a}b,c": "a}b,c", "{a,b}{1,2}": "a1|a2|b1|b2",
	} {
		if got := strings.Join(braces(pattern, 100), "|"); got != want {
			t.Errorf("%s: want %s, got %s", pattern, want, got)
		}
	}
	if n := len(braces(strings.Repeat("{a,b}", 40), 100)); n != 100 {
		t.Errorf("%d", n)
	}
}

// TestTree: how braces make blocks.
func TestTree(t *testing.T) {
	rows := []struct{ src, want, said string }{
		{"a b {\n c\n d e\n}", "a b{c;d e}", ""},
		{"a b\n{\n c\n}", "a b{c}", ""},
		{"a { b }", "a{b}", ""},
		{"a {b}", "a{b}", ""},
		{"a}b", "a;b", "Unexpected '}'"},
		{"a{\nb\n}", "a{b}", ""},
		{"a { b\n c } d", "a{b;c};d", ""},
		{"a {\n b", "a{b}", ""},
		{"a\n}\nb", "a;b", "Unexpected '}'"},
		{"a { }\n{\n b\n}\nc", "a{};c", "Unexpected '{'"},
		{"a \"{\" b", "a { b", ""},
	}
	for _, row := range rows {
		var ms messages
		root := treeOf(readLines("f", []byte(row.src), World{}, ms.say), ms.say)
		if got := text(root); got != row.want {
			t.Errorf("%q: want %s, got %s", row.src, row.want, got)
		}
		if (row.said != "") != (len(ms.list) > 0) || row.said != "" && !strings.Contains(ms.list[0].Text, row.said) {
			t.Errorf("%q: want %q, got %v", row.src, row.said, ms.list)
		}
	}
	var ms messages
	treeOf(readLines("f", []byte(strings.Repeat("a {\n", 100)+strings.Repeat("}\n", 100)+"b"), World{}, ms.say), ms.say)
	if len(ms.list) != 1 {
		t.Errorf("deep blocks: %v", ms.list)
	}
}

func text(n *Node) string {
	var parts []string
	for _, c := range n.Children {
		s := strings.Join(c.all(), " ")
		if c.Block {
			s += "{" + text(c) + "}"
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ";")
}

// TestRandom: a number by chance is the same each time the file is read.
func TestRandom(t *testing.T) {
	read := func(host string) string {
		w := World{Hostname: host}
		return fmt.Sprint(readLines("f", []byte("${_RANDOM 5 9} ${_RANDOM} ${_RANDOM 3}"), w, func(Place, Level, string, ...any) {}))
	}
	one, again, other := read("a"), read("a"), read("b")
	if one != again || one == other {
		t.Error(one, again, other)
	}
	var n int
	fmt.Sscanf(readLines("f", []byte("${_RANDOM 5 9}"), World{}, nil)[0].text, "%d", &n)
	if n < 5 || n > 9 {
		t.Error(n)
	}
}

// TestLooks: what is keepalived's language.
func TestLooks(t *testing.T) {
	rows := map[string]bool{
		"global_defs {": true, "! x\nvrrp_instance a {": true, "$A=1\n@x y\ninclude z": true, "vrrp_instance a{": true,
		"node = \"x\"": false, "[[router]]": false, "": false, "# x\n": false, "instance = 1": false,
	}
	for src, want := range rows {
		if Looks("f", []byte(src)) != want {
			t.Errorf("%q", src)
		}
	}
	if !Looks("x.conf", nil) || Looks("x.toml", []byte("global_defs {")) {
		t.Error("the name comes first")
	}
}

// TestKeywordTable: every row is whole, and what a block opens is there.
func TestKeywordTable(t *testing.T) {
	blocks, _ := Blocks()
	distinct := map[string]bool{}
	for _, k := range Keywords() {
		if !slices.Contains([]Status{Carried, Partly, Needless, Later, Never}, k.Status) || !slices.Contains([]string{"M", "S", "R", "N"}, k.Need) || k.Note == "" {
			t.Errorf("%+v", k)
		}
		if k.opens != "" && !slices.Contains(blocks, k.opens) {
			t.Errorf("%v opens %s, which is no block", k.Words, k.opens)
		}
		for _, w := range k.Words {
			distinct[w] = true
		}
	}
	if len(distinct) < 355 {
		t.Errorf("%d words", len(distinct))
	}
}

func FuzzRead(f *testing.F) {
	f.Add([]byte("~SEQ(X, 1, 3) a ${X} {\n}\n$V= \\\n b \\\n c\n$V"))
	f.Add([]byte("@main a \"b\\\"c\" # d\ninclude {a,b*}/c\n"))
	w := files{"/etc/a/c": "x\ninclude c\n"}.world()
	w.Lines = 5000
	f.Fuzz(func(t *testing.T, src []byte) {
		if len(src) > 1<<14 {
			return
		}
		var ms messages
		lines := readLines("/etc/k.conf", src, w, ms.say)
		treeOf(lines, ms.say)
		if len(lines) > 5000 {
			t.Fatal(len(lines))
		}
		last := strings.Count(string(src), "\n") + 1
		for _, m := range ms.list {
			if m.Line < 1 || m.File == "/etc/k.conf" && m.Line > last {
				t.Fatalf("%#v", m)
			}
		}
	})
}
