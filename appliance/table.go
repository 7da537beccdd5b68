package appliance

import (
	"bytes"
	"io"
	"strings"
	"unicode/utf8"
)

// tone says how a word is meant; people see it as a colour.
type tone uint8

const (
	plain tone = iota
	good
	doubtful
	bad
	heading
)

// escapes are the tones in the terminal's language. They are told by their colour and by the
// word itself, never by colour alone.
var escapes = [...]string{plain: "", good: "\x1b[32m", doubtful: "\x1b[33m", bad: "\x1b[1;31m", heading: "\x1b[1m"}

const escapeEnd = "\x1b[0m"

// table lays out lines of cells, which end with a tab but for the last: a column is as
// wide as the widest of its cells in lines that follow each other, and two spaces more. Unlike text/tabwriter
// it knows that colours take no room.
type table struct {
	to      io.Writer
	colours bool
	b       bytes.Buffer
}

func newTable(to io.Writer, colours bool) *table { return &table{to: to, colours: colours} }

func (t *table) Write(b []byte) (int, error) { return t.b.Write(b) }

// paint gives a text its tone, where there are colours.
func paint(t io.Writer, as tone, s string) string {
	if tab, ok := t.(*table); !ok || !tab.colours || as == plain || s == "" {
		return s
	}
	return escapes[as] + s + escapeEnd
}

// stateTones are the words for states, of whatever it is.
var stateTones = map[string]tone{
	"active": good, "up": good, "ok": good, "connected": good, "in sync": good, "carries": good, "calm": good,
	"initialize": doubtful, "unknown": doubtful, "degraded": doubtful, "drained": doubtful,
	"fault": bad, "down": bad, "failed": bad, "not connected": bad, "NOT in sync": bad, "no carrier": bad,
}

// paintState gives the word for a state its tone, whatever follows it.
func paintState(t io.Writer, s string) string {
	word := s
	if i := strings.IndexAny(s, ",(:"); i > 0 {
		word = strings.TrimSpace(s[:i])
	}
	return paint(t, stateTones[word], s)
}

const gap = 2

// Flush lays out what was written.
func (t *table) Flush() error {
	lines := strings.Split(strings.TrimSuffix(t.b.String(), "\n"), "\n")
	if t.b.Len() == 0 {
		return nil
	}
	t.b.Reset()
	cells := make([][]string, len(lines))
	width := make([][]int, len(lines)) // of the columns, by line
	for i, l := range lines {
		cells[i] = strings.Split(l, "\t")
		width[i] = make([]int, len(cells[i])-1)
	}
	for i := range lines {
		for c := range width[i] {
			if i > 0 && c < len(width[i-1]) {
				width[i][c] = width[i-1][c] // of the same column
				continue
			}
			for j := i; j < len(lines) && c < len(width[j]); j++ {
				width[i][c] = max(width[i][c], Width(cells[j][c])+gap)
			}
		}
	}
	var out strings.Builder
	for i := range lines {
		line := ""
		for c, cell := range cells[i] {
			line += cell
			if c < len(width[i]) {
				line += strings.Repeat(" ", width[i][c]-Width(cell))
			}
		}
		out.WriteString(strings.TrimRight(line, " "))
		out.WriteByte('\n')
	}
	_, err := io.WriteString(t.to, out.String())
	return err
}

// Width is how many columns of a terminal a text takes: its characters, without the
// sequences that colour it.
func Width(s string) (n int) {
	for len(s) > 0 {
		if k := escape(s); k > 0 {
			s = s[k:]
			continue
		}
		_, k := utf8.DecodeRuneInString(s)
		s = s[k:]
		n++
	}
	return n
}

// Clip cuts a text to so many columns, and ends its colour.
func Clip(s string, columns int) string {
	var b strings.Builder
	coloured := false
	for n := 0; len(s) > 0; {
		k := escape(s)
		if k > 0 {
			coloured = s[:k] != escapeEnd
		} else {
			if n == columns {
				break
			}
			_, k = utf8.DecodeRuneInString(s)
			n++
		}
		b.WriteString(s[:k])
		s = s[k:]
	}
	if coloured {
		b.WriteString(escapeEnd)
	}
	return b.String()
}

// escape is the length of the colouring sequence that s begins with; 0: with none.
func escape(s string) int {
	if !strings.HasPrefix(s, "\x1b[") {
		return 0
	}
	return strings.IndexByte(s, 'm') + 1
}
