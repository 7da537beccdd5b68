package keepalived

import (
	"strconv"
	"strings"
)

// word is a word of a line.
type word struct {
	text   string
	quoted bool // some of it was: a quoted brace is no brace
}

// words splits a line at blanks. "a b" is one word, and so is ab" c "d; a backslash
// keeps a quote, a brace, # or ! from meaning anything, and stays otherwise: what it means beyond that
// is for whoever reads the word. open: a quote is not closed.
func words(text string) (list []word, open bool) {
	var b strings.Builder
	started, inside, quoted := false, false, false
	end := func() {
		if started {
			list = append(list, word{b.String(), quoted})
		}
		b.Reset()
		started, quoted = false, false
	}
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\' && i+1 < len(text):
			i++
			started = true
			if !strings.ContainsRune("#!", rune(text[i])) && (!inside || text[i] != '"') {
				b.WriteByte(c)
			}
			b.WriteByte(text[i])
		case c == '"':
			inside, started, quoted = !inside, true, true
		case !inside && (c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '\v' || c == '\f'):
			end()
		default:
			started = true
			b.WriteByte(c)
		}
	}
	end()
	return list, inside
}

// splitCommand parts the text of a script into its words: blanks part them, ' and "
// hold them together, and a backslash is what it is to a shell and to C.
func splitCommand(text string) (list []string, ok bool) {
	var b strings.Builder
	var quote byte
	started := false
	for i := 0; i < len(text); i++ {
		c := text[i]
		switch {
		case c == '\\' && i+1 < len(text):
			started = true
			var r string
			r, i = escape(text, i+1)
			b.WriteString(r)
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			b.WriteByte(c)
		case c == '\'' || c == '"':
			quote, started = c, true
		case c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\v' || c == '\f':
			if started {
				list = append(list, b.String())
			}
			b.Reset()
			started = false
		default:
			started = true
			b.WriteByte(c)
		}
	}
	if started {
		list = append(list, b.String())
	}
	return list, quote == 0
}

// escape reads what follows a backslash at i, and returns it and where it ends.
func escape(text string, i int) (string, int) {
	switch c := text[i]; c {
	case 'a':
		return "\a", i
	case 'b':
		return "\b", i
	case 'E':
		return "\x1b", i
	case 'f':
		return "\f", i
	case 'n':
		return "\n", i
	case 'r':
		return "\r", i
	case 't':
		return "\t", i
	case 'v':
		return "\v", i
	case 'c':
		if i+1 < len(text) {
			return string(rune(text[i+1] & 0x1f)), i + 1
		}
	case 'x':
		end := i + 1
		for end < len(text) && end < i+3 && strings.IndexByte("0123456789abcdefABCDEF", text[end]) >= 0 {
			end++
		}
		if n, err := strconv.ParseUint(text[i+1:end], 16, 8); err == nil {
			return string([]byte{byte(n)}), end - 1
		}
	case '0', '1', '2', '3', '4', '5', '6', '7':
		end := i
		for end < len(text) && end < i+3 && text[end] >= '0' && text[end] <= '7' {
			end++
		}
		n, _ := strconv.ParseUint(text[i:end], 8, 16)
		return string([]byte{byte(n)}), end - 1
	}
	return text[i : i+1], i
}
