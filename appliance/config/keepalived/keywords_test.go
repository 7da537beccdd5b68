package keepalived

import (
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strings"
	"testing"
)

// TestEveryKeywordIsUsed: what the table says is carried over is in a file of the corpus,
// whose golden files show what it becomes. So the table cannot promise what nobody has seen.
func TestEveryKeywordIsUsed(t *testing.T) {
	files, err := filepath.Glob("../testdata/keepalived/*.conf")
	if err != nil || len(files) < 10 {
		t.Fatalf("%d files (%v)", len(files), err)
	}
	used := map[*Keyword]bool{}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		w := Elsewhere()
		w.ID = "big"
		f, _ := Parse(file, src, w)
		var walk func(n *Node, block string)
		walk = func(n *Node, block string) {
			for _, c := range n.Children {
				k := theGrammar.find(block, c.Word)
				if k == nil {
					continue
				}
				used[k] = true
				if c.Block && k.opens != "" {
					walk(c, k.opens)
				}
			}
		}
		walk(f.Root, "")
	}
	var missing []string
	for i := range theGrammar.rows {
		k := &theGrammar.rows[i]
		if (k.Status == Carried || k.Status == Partly) && !used[k] {
			missing = append(missing, k.Block+" "+k.Words[0])
		}
	}
	sort.Strings(missing)
	if len(missing) > 0 {
		t.Errorf("carried over, and in no file of the corpus:\n%s", strings.Join(missing, "\n"))
	}
}

// TestEveryKeywordIsRead: what is carried over is a word of the program's, and what is kept
// for later leads to a warning, what needs nothing to a note, with its line.
func TestEveryKeywordIsRead(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	var source strings.Builder
	for _, file := range files {
		if !strings.HasSuffix(file, "_test.go") {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(src)
		}
	}
	// Of these the code has a part: all pipes are read alike, and whatever block a page is in.
	parts := map[string]string{"notify_fifo_script": "_script", "vrrp_notify_fifo_script": "_script", "lvs_notify_fifo_script": "_script", "url": "URLs"}
	for _, k := range theGrammar.rows {
		for _, w := range k.Words {
			if part, ok := parts[w]; ok && strings.Contains(source.String(), part) {
				continue
			}
			bare := strings.TrimPrefix(w, "vrrp_") // of global_defs, some are read as in an instance
			if (k.Status == Carried || k.Status == Partly) && w != "*" && !strings.Contains(source.String(), `"`+w+`"`) && !strings.Contains(source.String(), `"`+bare+`"`) {
				t.Errorf("%s: %s is carried over, and no code reads it", k.Block, w)
			}
		}
	}
	for _, block := range theGrammar.blocks {
		if block == "" || block == "CHECK" {
			continue
		}
		for _, k := range theGrammar.rows {
			if k.Block != block || k.Words[0] == "*" {
				continue
			}
			var ms messages
			theGrammar.judge(&Node{Children: []*Node{{Word: k.Words[0], At: Place{"x.conf", 7}}}}, block, ms.say)
			want, said := map[Status]Level{Later: Warning, Never: Warning, Needless: Note}[k.Status], k.Status == Later || k.Status == Never || k.Status == Needless
			if said != (len(ms.list) == 1) || said && (ms.list[0].Level != want || ms.list[0].Line != 7 || !strings.Contains(ms.list[0].Text, k.Words[0])) {
				t.Errorf("%s %s is %s: said %v", block, k.Words[0], k.Status, ms.list)
			}
		}
	}
	if !slices.ContainsFunc(theGrammar.rows, func(k Keyword) bool { return k.Status == Later }) {
		t.Log("nothing is left for later")
	}
}
