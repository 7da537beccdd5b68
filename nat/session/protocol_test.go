package session

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// tablesOf reads the tables of the document: by the first word of their head, each
// row's first cell and second as a number.
func tablesOf(t *testing.T) map[string]map[string]int {
	t.Helper()
	b, err := os.ReadFile("../../docs/session-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]map[string]int{}
	var section, head string
	for _, line := range strings.Split(string(b), "\n") {
		if s, ok := strings.CutPrefix(line, "## "); ok {
			section = s
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		switch {
		case !strings.HasPrefix(line, "|"):
			head = ""
		case head == "":
			head = section + ": " + cells[0]
			out[head] = map[string]int{}
		case strings.HasPrefix(cells[0], "---"):
		default:
			n, err := strconv.ParseInt(strings.ReplaceAll(strings.TrimSuffix(cells[1], " bytes"), ",", ""), 0, 32)
			if err != nil {
				n = -1
			}
			out[head][cells[0]+column(head, cells)] = int(n)
		}
	}
	return out
}

// column tells rows apart that have the same name.
func column(head string, cells []string) string {
	if strings.HasSuffix(head, ": flag") {
		return " of " + cells[2]
	}
	return ""
}

// The document's numbers are the code's, and it leaves none out.
func TestProtocolDocument(t *testing.T) {
	tables := tablesOf(t)
	compare := func(head string, want map[string]int) {
		t.Helper()
		if got := tables[head]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%q in the document\n%v\nin the code\n%v", head, got, want)
		}
	}
	types := map[string]int{}
	for i := range 256 {
		if name := Type(i).String(); !strings.HasPrefix(name, "type ") {
			types[name] = i
		}
	}
	compare("2. Frames: frame", types)
	compare("3. HELLO: attribute", map[string]int{"node": helloNode, "boot": helloBoot, "features": helloFeatures, "config": helloConfig, "table": helloTable, "moved": helloMoved, "group": helloGroup})
	compare("3. HELLO: feature", map[string]int{"buckets": bit(uint64(FeatureBuckets)), "survey": bit(uint64(FeatureSurvey)),
		"move": bit(uint64(FeatureMove)), "packed": bit(uint64(FeaturePacked))})
	compare("4. Records: attribute", map[string]int{"tcp": attrTCP, "mark": attrMark, "sctp": attrSCTP, "seqadj": attrSeqAdj,
		"labels": attrLabels, "helper": attrHelper, "master": attrMaster, "expect": attrExpect, "stand": attrStand})
	compare("9. What a receiver does not take: reason", map[string]int{"none": int(RefusedNot), "scope": int(RefusedScope), "table": int(RefusedTable),
		"attribute": int(RefusedAttribute), "clash": int(RefusedClash), "kernel-full": int(RefusedKernelFull), "kernel": int(RefusedKernel)})
	compare("10. Surveys: flag of inventory", map[string]int{"last": inventoryLast, "cut": inventoryCut, "buckets": inventoryBuckets})
	compare("10. Surveys: state of a flow", map[string]int{"here": flowHere, "installed": flowInstalled, "young": flowYoung, "untold": flowUntold})
	compare("12. Flags: flag", map[string]int{"active of term, and a group in hello": markActive, "tallied of end": markTallied, "over of buckets": markOver,
		"kept of resync": markKept, "digests of resync": markDigests, "buckets of resync": markBuckets})
	compare("13. Limits: what", map[string]int{"payload": MaxFrame, "name of a node or a group": 255, "groups": MaxGroups,
		"flows that one flow expects": MaxExpects, "fills unacknowledged": window, "flows in one query": queryFlows,
		"flows in the inventory of a group": surveyFlows, "refusals remembered": maxRefusals,
		"a view": MaxView})

	byBit := func(bits ...int) map[string]int {
		m := map[string]int{}
		for _, b := range bits {
			m[fmt.Sprintf("0x%02x", b)] = -1
		}
		return m
	}
	compare("4. Records: bit of packed flags", byBit(packTail, packSrc, packDport, packDst, recProto, recDelete, packWhole))
	compare("4. Records: bit of reply flags", byBit(packReplySrc, packReplySrcAddr, packReplySrcPort, packReplyDst, packReplyDstAddr, packReplyDstPort))
	flags := tables["4. Records: bit of flags"]
	if len(flags) != 7 || recSix != 1 || recReplySrc != 2 || recReplyDst != 4 || recZone != 8 || recProto != 0x30 || recDelete != 0x40 || recReserved != 0x80 ||
		recProtoTCP != 0x10 || recProtoUDP != 0x20 || recProtoICMP != 0x30 {
		t.Errorf("flags of a record: %v", flags)
	}
	// The constants that the lists above were made of are all there are.
	for prefix, n := range map[string]int{"hello": 7, "attr": 9, "mark": 7 /* markRoom is none */, "inventory": 3, "flow": 4, "Feature": 4, "Refused": 7, "Type": len(types)} {
		if got := constants(t, prefix); len(got) != n {
			t.Errorf("%d constants %s*, %d are in the document: %v", len(got), prefix, n, got)
		}
	}
}

// The table of frames says which of them are counted.
func TestProtocolDocumentCountsFrames(t *testing.T) {
	b, err := os.ReadFile("../../docs/session-protocol.md")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 256 {
		name := Type(i).String()
		if strings.HasPrefix(name, "type ") {
			continue
		}
		_, row, ok := strings.Cut(string(b), "| "+name+" | "+fmt.Sprintf("0x%02x", i)+" |")
		cells := strings.Split(row, "|")
		if !ok || len(cells) < 2 || (strings.TrimSpace(cells[1]) == "yes") != Type(i).counted() {
			t.Errorf("%s: counted is %v in the code", name, Type(i).counted())
		}
	}
}

func bit(v uint64) (n int) {
	for ; v > 1; v >>= 1 {
		n++
	}
	return n
}

// constants are those of the package whose names are the prefix and then a capital.
func constants(t *testing.T, prefix string) (names []string) {
	t.Helper()
	entries, err := os.ReadDir(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range entries {
		if !strings.HasSuffix(f.Name(), ".go") || strings.HasSuffix(f.Name(), "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), f.Name(), nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range parsed.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.CONST {
				continue
			}
			for _, s := range g.Specs {
				for _, n := range s.(*ast.ValueSpec).Names {
					if rest, ok := strings.CutPrefix(n.Name, prefix); ok && rest != "" && rest[0] >= 'A' && rest[0] <= 'Z' {
						names = append(names, n.Name)
					}
				}
			}
		}
	}
	slices.Sort(names)
	return names
}

// The sums of records are part of the protocol: what they were is what they are.
func TestContentsAreFrozen(t *testing.T) {
	for i, want := range []struct {
		content uint64
		bucket  int
	}{
		{0x3c6ecfaf42f408c4, 2078}, {0xa63e082013c48e2f, 3925}, {0x31714321146b918d, 2530}, {0xfee50934337f9c3d, 1009},
		{0xb3e403fdcfab37d1, 2552}, {0xe35e5a72128dda5c, 1521}, {0x718258a4e0a43663, 1042},
	} {
		r := talks()[i]
		content, bucket := contentOf(&r)
		if content != want.content || bucket != want.bucket {
			t.Errorf("flow %d: content %#x in bucket %d, was %#x in %d", i, content, bucket, want.content, want.bucket)
		}
	}
}

func contentOf(r *Record) (uint64, int) {
	t := NewTable(seed, t0, 0)
	t.Upsert(r, 0, 0)
	return t.groups[0].sum, bucketOf(&r.Key)
}
