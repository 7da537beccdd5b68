package config

import (
	"strconv"
	"strings"

	"github.com/BurntSushi/toml"
)

// position is a place in the source.
type position struct {
	line   int // from 1
	offset int // bytes from 0

	// Of a configuration in another language:
	file string // that the line is in
	word string // the keyword that it comes of
}

// index knows where in a TOML document each key, table and array element is
// written. Paths are written as in problems: router[0].addresses[1]. Keys that
// are not bare are quoted, so a path is never ambiguous.
type index struct{ at map[string]position }

// find returns where path is written, or, if it is not, the nearest table or
// array around it; in the end the start of the file.
func (ix *index) find(path string) position {
	for path != "" {
		if p, ok := ix.at[path]; ok {
			return p
		}
		path = parent(path)
	}
	return position{line: 1}
}

// parent cuts the last element off a path.
func parent(path string) string {
	quoted := false
	cut := 0
	for i := 0; i < len(path); i++ {
		switch c := path[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case !quoted && (c == '.' || c == '['):
			cut = i
		}
	}
	return path[:cut]
}

// join appends a key to a path.
func join(path, key string) string {
	if !bare(key) {
		key = strconv.Quote(key)
	}
	if path == "" {
		return key
	}
	return path + "." + key
}

// at appends an array position, counted from 0, to a path.
func at(path string, i int) string { return path + "[" + strconv.Itoa(i) + "]" }

func bare(key string) bool {
	for i := 0; i < len(key); i++ {
		if !bareByte(key[i]) {
			return false
		}
	}
	return key != ""
}

func bareByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '-'
}

// newIndex reads a document that the TOML library has accepted. It relies on
// that: it follows the grammar just far enough to tell keys from values. On
// anything else it stops early, and find falls back to what it has.
func newIndex(src string) *index {
	s := scanner{src: src, line: 1, index: &index{at: map[string]position{}}, tables: map[string]int{}}
	s.document()
	return s.index
}

type scanner struct {
	src    string
	pos    int
	line   int
	index  *index
	tables map[string]int // path of an array of tables -> [[headers]] seen
}

func (s *scanner) here() position { return position{line: s.line, offset: s.pos} }

// note records where path is written. weak: only if nothing is known yet (a
// table that a longer header or a dotted key implies).
func (s *scanner) note(path string, p position, weak bool) {
	if _, ok := s.index.at[path]; ok && weak {
		return
	}
	s.index.at[path] = p
}

func (s *scanner) peek() byte {
	if s.pos < len(s.src) {
		return s.src[s.pos]
	}
	return 0
}

func (s *scanner) done() bool { return s.pos >= len(s.src) }

func (s *scanner) skip(n int) {
	end := min(s.pos+n, len(s.src))
	s.line += strings.Count(s.src[s.pos:end], "\n")
	s.pos = end
}

// space skips blanks, and with them lines and comments if lines is set.
func (s *scanner) space(lines bool) {
	for !s.done() {
		switch c := s.peek(); {
		case c == ' ' || c == '\t':
			s.skip(1)
		case lines && (c == '\n' || c == '\r'):
			s.skip(1)
		case lines && c == '#':
			n := strings.IndexByte(s.src[s.pos:], '\n')
			if n < 0 {
				n = len(s.src) - s.pos
			}
			s.skip(n)
		default:
			return
		}
	}
}

// document reads headers and key = value lines.
func (s *scanner) document() {
	table := ""
	for {
		s.space(true)
		if s.done() {
			return
		}
		ok := true
		if s.peek() == '[' {
			table, ok = s.header()
		} else {
			ok = s.pair(table)
		}
		if !ok {
			return
		}
	}
}

// header reads [a.b] or [[a.b]] and returns the path of the table it opens. A
// name that is an array of tables stands for that array's last table so far.
func (s *scanner) header() (string, bool) {
	start := s.here()
	s.skip(1)
	array := s.peek() == '['
	if array {
		s.skip(1)
	}
	keys, ok := s.keys()
	if !ok {
		return "", false
	}
	path := ""
	for i, k := range keys {
		path = join(path, k)
		last := i == len(keys)-1
		s.note(path, start, !last || array)
		if last && array {
			path = at(path, s.tables[path])
			s.tables[parent(path)]++
			s.note(path, start, false)
		} else if n := s.tables[path]; n > 0 {
			path = at(path, n-1)
		}
	}
	for s.peek() == ']' {
		s.skip(1)
	}
	return path, true
}

// pair reads key = value.
func (s *scanner) pair(table string) bool {
	start := s.here()
	keys, ok := s.keys()
	if !ok || s.peek() != '=' {
		return false
	}
	path := table
	for i, k := range keys {
		path = join(path, k)
		s.note(path, start, i < len(keys)-1)
	}
	s.skip(1)
	return s.value(path)
}

// keys reads a dotted key, and the blanks around it.
func (s *scanner) keys() (keys []string, ok bool) {
	for {
		s.space(false)
		start := s.pos
		switch c := s.peek(); {
		case c == '"' || c == '\'':
			s.text()
			var v struct{ K string }
			if _, err := toml.Decode("K = "+s.src[start:s.pos], &v); err != nil {
				return nil, false
			}
			keys = append(keys, v.K)
		default:
			for !s.done() && bareByte(s.peek()) {
				s.pos++
			}
			if s.pos == start {
				return nil, false
			}
			keys = append(keys, s.src[start:s.pos])
		}
		s.space(false)
		if s.peek() != '.' {
			return keys, true
		}
		s.skip(1)
	}
}

// value reads the value of path.
func (s *scanner) value(path string) bool {
	s.space(false)
	switch s.peek() {
	case '"', '\'':
		s.text()
		return true
	case '[':
		return s.array(path)
	case '{':
		return s.inline(path)
	}
	n := strings.IndexAny(s.src[s.pos:], ",]}#\n")
	if n < 0 {
		n = len(s.src) - s.pos
	}
	s.skip(n)
	return true
}

func (s *scanner) array(path string) bool {
	s.skip(1)
	for i := 0; ; i++ {
		s.space(true)
		if s.peek() == ']' {
			s.skip(1)
			return true
		}
		if s.done() {
			return false
		}
		element := at(path, i)
		s.note(element, s.here(), false)
		if !s.value(element) {
			return false
		}
		s.space(true)
		if s.peek() == ',' {
			s.skip(1)
		} else if s.peek() != ']' {
			return false
		}
	}
}

func (s *scanner) inline(path string) bool {
	s.skip(1)
	for {
		s.space(true)
		if s.peek() == '}' {
			s.skip(1)
			return true
		}
		if !s.pair(path) {
			return false
		}
		s.space(true)
		if s.peek() == ',' {
			s.skip(1)
		} else if s.peek() != '}' {
			return false
		}
	}
}

// text skips a string of any of the four kinds.
func (s *scanner) text() {
	quote := s.src[s.pos : s.pos+1]
	escapes := quote == `"`
	if triple := strings.Repeat(quote, 3); strings.HasPrefix(s.src[s.pos:], triple) {
		s.skip(3)
		for !s.done() && !strings.HasPrefix(s.src[s.pos:], triple) {
			s.escaped(escapes)
		}
		s.skip(3)
		// Up to two quotes more belong to the text: """a"""""
		for i := 0; i < 2 && !s.done() && s.src[s.pos:s.pos+1] == quote; i++ {
			s.skip(1)
		}
		return
	}
	s.skip(1)
	for !s.done() && s.src[s.pos:s.pos+1] != quote && s.peek() != '\n' {
		s.escaped(escapes)
	}
	s.skip(1)
}

// escaped skips one byte, or two if the first is a backslash that escapes.
func (s *scanner) escaped(escapes bool) {
	if escapes && s.peek() == '\\' {
		s.skip(2)
		return
	}
	s.skip(1)
}
