package keepalived

import (
	"hash/fnv"
	"strconv"
	"strings"
)

// definition is what a variable stands for. One with several lines becomes as many
// lines where it is used.
type definition struct {
	lines []string
	block bool // written over several lines
}

// defined reads "$NAME=" at the start of a text.
func defined(text string) (name, value string, ok bool) {
	if text == "" || text[0] != '$' {
		return "", "", false
	}
	n := 1
	for n < len(text) && nameByte(text[n], n == 1) {
		n++
	}
	if n == 1 || n >= len(text) || text[n] != '=' {
		return "", "", false
	}
	return text[1:n], text[n+1:], true
}

func nameByte(c byte, first bool) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_' || !first && c >= '0' && c <= '9'
}

// definesLines tells whether a text, or what its condition leaves, is a definition.
func definesLines(text string) bool {
	for strings.HasPrefix(text, "@") {
		_, rest, ok := strings.Cut(strings.ReplaceAll(text, "\t", " "), " ")
		if !ok {
			return false
		}
		text = strings.TrimSpace(rest)
	}
	_, _, ok := defined(text)
	return ok
}

// define notes "$NAME=VALUE".
func (r *reader) define(text string) bool {
	name, value, ok := defined(text)
	if !ok {
		return false
	}
	var d definition
	d.block = strings.Contains(value, "\n")
	for l := range strings.SplitSeq(value, "\n") {
		if l = strings.TrimSpace(l); l != "" || !d.block {
			d.lines = append(d.lines, strings.TrimRight(strings.TrimSuffix(l, "\\"), " \t"))
		}
	}
	r.defs[name] = d
	return true
}

// replace replaces the first variable of a text. If that is a block, the lines that
// come of it are returned instead.
func (r *reader) replace(text string, at Place) (out string, list []queued, changed bool) {
	for i := 0; i < len(text); i++ {
		if text[i] == '\\' {
			i++
			continue
		}
		if text[i] != '$' {
			continue
		}
		name, args, end := variable(text[i:])
		if name == "" {
			continue
		}
		before, after := text[:i], text[i+end:]
		if v, ok := r.predefined(name, args); ok {
			return before + v + after, nil, true
		}
		d, ok := r.defs[name]
		if !ok {
			continue
		}
		if !d.block {
			return before + d.lines[0] + after, nil, true
		}
		lines := append([]string{}, d.lines...)
		if len(lines) == 0 {
			lines = []string{""}
		}
		lines[0] = before + lines[0]
		lines[len(lines)-1] += after
		for _, l := range lines {
			list = append(list, queued{text: l, at: at})
		}
		return "", list, true
	}
	return text, nil, false
}

// variable reads "$NAME" (up to a blank, a comma, a parenthesis or the end) or
// "${NAME ARGS}" at the start of a text.
func variable(text string) (name, args string, end int) {
	if strings.HasPrefix(text, "${") {
		last := strings.IndexByte(text, '}')
		if last < 0 {
			return "", "", 0
		}
		name, args, _ = strings.Cut(text[2:last], " ")
		for i := range len(name) {
			if !nameByte(name[i], i == 0) {
				return "", "", 0
			}
		}
		return name, strings.TrimSpace(args), last + 1
	}
	n := 1
	for n < len(text) && nameByte(text[n], n == 1) {
		n++
	}
	if n == 1 || n < len(text) && !strings.ContainsRune(" \t,)\n", rune(text[n])) {
		return "", "", 0
	}
	return text[1:n], "", n
}

// predefined are the variables that everybody has.
func (r *reader) predefined(name, args string) (string, bool) {
	switch name {
	case "_PWD":
		return r.dir(), true
	case "_INSTANCE":
		return r.world.id(), true
	case "_HASH":
		return "#", true
	case "_BANG":
		return "!", true
	case "_ENV":
		if r.world.Getenv == nil {
			return "", true
		}
		return strings.Map(func(c rune) rune {
			if c < ' ' {
				return ' '
			}
			return c
		}, r.world.Getenv(args)), true
	case "_RANDOM":
		return strconv.FormatUint(r.random(args), 10), true
	}
	return "", false
}

// random is a number by chance that is the same on this machine each time: the file
// is read by several processes, and at each reload.
func (r *reader) random(args string) uint64 {
	least, most := uint64(0), uint64(32767)
	words := strings.Fields(args)
	if len(words) > 0 {
		least, _ = strconv.ParseUint(words[0], 10, 31)
	}
	if len(words) > 1 {
		most, _ = strconv.ParseUint(words[1], 10, 31)
	}
	most = max(most, least)
	r.randoms++
	h := fnv.New64a()
	h.Write([]byte(r.world.Hostname + " " + strconv.Itoa(r.randoms)))
	return least + h.Sum64()%(most-least+1)
}
