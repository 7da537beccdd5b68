package keepalived

import (
	_ "embed"
	"slices"
	"strings"
)

// Status says what becomes of a keyword.
type Status string

const (
	Carried  Status = "carried"  // the same meaning
	Partly   Status = "partly"   // as far as its note says
	Needless Status = "needless" // nothing has to be done
	Later    Status = "later"    // kept, not carried over yet
	Never    Status = "never"    // not carried over
)

// Keyword is a row of the table.
type Keyword struct {
	Block  string // that it stands in; "": the top
	Words  []string
	Need   string // M must, S should, R rare, N means nothing here
	Status Status
	Note   string

	opens  string // the block that it opens
	values bool   // whose lines are values
}

//go:embed keywords.txt
var keywordsText string

// grammar is the table, by block and word.
type grammar struct {
	blocks   []string
	rows     []Keyword
	byBlock  map[string]map[string]*Keyword
	includes map[string]string // blocks that have another one's keywords too
}

var theGrammar = readGrammar(keywordsText)

// Keywords returns the table.
func Keywords() []Keyword { return slices.Clone(theGrammar.rows) }

// Blocks returns the blocks in the order of the table; the first, "", is the top.
// what: the block whose keywords it has too, if any.
func Blocks() (list []string, what map[string]string) {
	return slices.Clone(theGrammar.blocks), theGrammar.includes
}

func readGrammar(text string) *grammar {
	g := &grammar{byBlock: map[string]map[string]*Keyword{}, includes: map[string]string{}}
	block := ""
	for l := range strings.SplitSeq(text, "\n") {
		f := strings.Fields(l)
		switch {
		case len(f) == 0 || f[0][0] == '#':
		case f[0][0] == '[':
			block = strings.Trim(f[0], "[]")
			g.blocks = append(g.blocks, block)
			if len(f) > 1 {
				g.includes[block] = f[1]
			}
		default:
			k := Keyword{Block: block, Words: strings.Split(f[0], "|"), Need: f[1], Status: Status(f[2])}
			rest := f[3:]
			if len(rest) > 0 && rest[0][0] == '>' {
				k.opens, k.values = rest[0][1:], rest[0] == ">"
				rest = rest[1:]
			}
			k.Note = strings.Join(rest, " ")
			g.rows = append(g.rows, k)
		}
	}
	for i := range g.rows {
		k := &g.rows[i]
		m := g.byBlock[k.Block]
		if m == nil {
			m = map[string]*Keyword{}
			g.byBlock[k.Block] = m
		}
		for _, w := range k.Words {
			m[w] = k
		}
	}
	return g
}

// find returns the row of a word in a block, nil if there is none.
func (g *grammar) find(block, word string) *Keyword {
	if k := g.byBlock[block][word]; k != nil {
		return k
	}
	if other := g.includes[block]; other != "" {
		return g.byBlock[other][word]
	}
	return g.byBlock[block]["*"]
}

// judge says of each keyword in a tree what the table says of it: unknown ones, and
// those that are not carried over.
func (g *grammar) judge(n *Node, block string, say func(Place, Level, string, ...any)) {
	for _, c := range n.Children {
		if c.Word == "" {
			continue // a block without a keyword: that has been said
		}
		k := g.find(block, c.Word)
		if k == nil {
			say(c.At, Fault, "Unknown keyword '%s'", c.Word)
			continue
		}
		switch k.Status {
		case Later:
			say(c.At, Warning, "%s: not carried over yet: %s", c.Word, k.Note)
		case Never:
			say(c.At, Warning, "%s: not carried over: %s", c.Word, k.Note)
		case Needless:
			say(c.At, Note, "%s: nothing to carry over: %s", c.Word, k.Note)
		}
		if c.Block && k.opens != "" {
			if k.Status == Later || k.Status == Never {
				g.unknown(c, k.opens, say)
			} else {
				g.judge(c, k.opens, say)
			}
		}
	}
}

// unknown says what is not known inside a block that is not carried over anyway.
func (g *grammar) unknown(n *Node, block string, say func(Place, Level, string, ...any)) {
	for _, c := range n.Children {
		if c.Word == "" {
			continue
		}
		k := g.find(block, c.Word)
		if k == nil {
			say(c.At, Fault, "Unknown keyword '%s'", c.Word)
		} else if c.Block && k.opens != "" {
			g.unknown(c, k.opens, say)
		}
	}
}
