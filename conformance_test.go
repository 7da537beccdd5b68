package understudy_test

import (
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated documents anew")

// level is how binding a requirement is.
type level string

const (
	must   level = "MUST"
	should level = "SHOULD"
	may    level = "MAY"
)

// requirement is a row of docs/conformance.md.
type requirement struct {
	id, section string
	level       level
	text        string
	tests       []string
	note        string
}

const conformanceDoc = "docs/conformance.md"

// TestDocsConformance: every requirement has its tests, which exist, or a reason,
// and the document says the same.
func TestDocsConformance(t *testing.T) {
	tests := testNames(t)
	for i, r := range requirements {
		if want := fmt.Sprintf("V%02d", i+1); r.id != want {
			t.Errorf("row %d is %s, want %s", i, r.id, want)
		}
		if len(r.tests) == 0 && r.note == "" {
			t.Errorf("%s has neither test nor reason", r.id)
		}
		for _, name := range r.tests {
			if err := tests.has(name); err != nil {
				t.Errorf("%s: %v", r.id, err)
			}
		}
	}
	if len(requirements) != 80 {
		t.Errorf("%d requirements, want 80", len(requirements))
	}
	want := conformance()
	if *update {
		if err := os.WriteFile(conformanceDoc, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(conformanceDoc)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != want {
		t.Errorf("%s is not what the table says: go test -run TestDocsConformance . -update", conformanceDoc)
	}
}

// conformance writes the document.
func conformance() string {
	var b strings.Builder
	b.WriteString(conformanceIntro)
	count := map[level][2]int{}
	for _, r := range requirements {
		c := count[r.level]
		c[0]++
		if r.open() {
			c[1]++
		}
		count[r.level] = c
	}
	b.WriteString("| | rows | not yet |\n|---|---|---|\n")
	for _, l := range []level{must, should, may} {
		fmt.Fprintf(&b, "| %s | %d | %d |\n", l, count[l][0], count[l][1])
	}
	b.WriteString("\n| | section | | what is required | tests, remarks |\n|---|---|---|---|---|\n")
	for _, r := range requirements {
		var proof []string
		for _, name := range r.tests {
			proof = append(proof, "`"+name+"`")
		}
		if r.note != "" {
			note := strings.ToUpper(r.note[:1]) + r.note[1:]
			proof = append(proof, strings.ReplaceAll(note, "|", `\|`))
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", r.id, r.section, r.level, r.text, strings.Join(proof, "<br>"))
	}
	b.WriteString(conformanceEnd)
	return b.String()
}

// open says that there is work to do.
func (r requirement) open() bool { return strings.HasPrefix(r.note, "not yet") }

const conformanceIntro = `# Conformance to RFC 9568

Every requirement of RFC 9568 (VRRP version 3) with its errata 8298 to 8301, in short and in our own words, and the tests
that hold it. Generated from conformance_rows_test.go; a test compares the two and looks for each test that is named.

Tests of package vrrp show the rule itself. Those of interop, daemon and e2e show it on the wire, with the real program in
network namespaces; interop also runs it beside keepalived and FRR, and sends it every packet of vrrp/testdata/vectors.txt.

`

const conformanceEnd = `
## Where this is not the RFC, and why

Beside the deviations above:

- **A late timer** (the process slept for more than an interval) is given one Skew_Time before it is believed: what came
  meanwhile may not have been read yet (vrrp.TestLateTimerWaitsOneSkewOnce).
- **A group** is Active as a whole. A router whose timer has run out waits for the others of its group; one that hears a
  better router takes them all along, and they say priority 0 where no successor was heard (vrrp.TestSetWaitsForEveryMember,
  interop.TestGroupOfOursWaitsForBothSides, interop.TestGroupOfOursLeavesAsOne).
- **Not in sync, not eligible**: a box without the peer's sessions does not preempt a live Active, for a bounded time
  (vrrp.TestHeldDoesNotPreemptButTakesOver).
- **A start-up delay**, if one is configured: until it ends adverts are dropped (reason delay), and an owner is not active either
  (election.TestStartupDelay, vrrp.TestScenarios/delay).
- **Delays of links**, if they are configured: a link that is down for less is not down, nor up before it has been for so long
  (election.TestLinkDelays, vrrp.TestLinkDelays, vrrp.TestScenarios/debounce).
- **A link that has just come up** is not trusted for a while (settle, 2 s by default): silence on it is waited out, and a live Active of
  lower priority is left alone (vrrp.TestSettle, vrrp.TestSettleDebouncesTrackedInterfaces, e2e.TestReturnWithALinkThatDoesNotDeliverYet).
- **Our own address** as the source of an advert: dropped and counted. Both sides would assert themselves for ever
  (vrrp.TestS6_4_3_OwnPacketCountsForNothing, interop.TestVectors/our own address).
- **A packet longer than it says** is refused like one that is shorter (interop.TestVectors/an octet too many).
`

// testFiles is what the tests of this module are called, by package.
type testFiles struct {
	functions map[string]bool   // PACKAGE.NAME
	text      map[string]string // the source of a package's tests, and its test data
}

// has says whether a test exists. Of a part, that its name is written down in the
// package's tests or in their data.
func (f testFiles) has(name string) error {
	name, part, _ := strings.Cut(name, "/")
	if !f.functions[name] {
		return fmt.Errorf("there is no test %s", name)
	}
	pkg, _, _ := strings.Cut(name, ".")
	if !strings.Contains(f.text[pkg], part) {
		return fmt.Errorf("%s has no part %q", name, part)
	}
	return nil
}

func testNames(t *testing.T) testFiles {
	t.Helper()
	f := testFiles{functions: map[string]bool{}, text: map[string]string{}}
	for dir := range layers {
		pkg := filepath.Base(dir)
		files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			f.text[pkg] += string(src)
			parsed, err := parser.ParseFile(token.NewFileSet(), file, src, parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range parsed.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && strings.HasPrefix(fn.Name.Name, "Test") {
					f.functions[pkg+"."+fn.Name.Name] = true
				}
			}
		}
	}
	vectors, err := os.ReadFile("vrrp/testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	f.text["vrrp"] += string(vectors)
	f.text["interop"] += string(vectors)
	broken, err := filepath.Glob("appliance/config/testdata/broken/*")
	if err != nil {
		t.Fatal(err)
	}
	f.text["config"] += strings.Join(broken, "\n")
	return f
}
