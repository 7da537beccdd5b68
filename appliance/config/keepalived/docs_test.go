package keepalived

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of the documentation anew")

// TestDocumentation: the table in docs/keepalived.md is that of the program.
func TestDocumentation(t *testing.T) {
	const file, from, to = "../../../docs/keepalived.md", "<!-- keywords -->\n", "<!-- end -->\n"
	src, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(src), from)
	have, tail, ok2 := strings.Cut(rest, to)
	if !ok || !ok2 {
		t.Fatal("there is no place for the table")
	}
	want := table()
	if *update {
		if err := os.WriteFile(file, []byte(head+from+want+to+tail), 0o644); err != nil {
			t.Fatal(err)
		}
		have = want
	}
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("write it anew with -update: -want +have:\n%s", diff)
	}
}

// table is the keywords in Markdown, by block.
func table() string {
	var b strings.Builder
	blocks, includes := Blocks()
	for _, block := range blocks {
		title := "`" + block + "`"
		switch {
		case block == "":
			title = "The top of the file"
		case block == "CHECK":
			title = "What all checks have"
		}
		if includes[block] != "" {
			title += ", and what all checks have"
		}
		var rows strings.Builder
		for _, k := range Keywords() {
			if k.Block != block {
				continue
			}
			var words []string
			for _, w := range k.Words {
				if w == "*" {
					words = append(words, "(any line)")
				} else {
					words = append(words, "`"+w+"`")
				}
			}
			fmt.Fprintf(&rows, "| %s | %s | %s | %s |\n", strings.Join(words, ", "), k.Need, k.Status, k.Note)
		}
		if rows.Len() == 0 {
			continue
		}
		fmt.Fprintf(&b, "\n### %s\n\n| Keyword | | Status | What it becomes, or why nothing |\n|---|---|---|---|\n%s", title, rows.String())
	}
	b.WriteString("\n")
	return b.String()
}
