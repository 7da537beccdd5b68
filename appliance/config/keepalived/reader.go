package keepalived

import (
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
)

// maxNested bounds files that include each other.
const maxNested = 64

// maxLine bounds what variables make of one line, and maxReplaced how many there can
// be in it: one that names itself would go on for ever.
const (
	maxLine     = 1 << 16
	maxReplaced = 1000
	maxInside   = 100 // variables of several lines, and sequences, in each other
)

// line is a line as it is, once comments are off, conditions judged, definitions
// noted and variables replaced.
type line struct {
	text string
	at   Place
}

// source is a file that is being read.
type source struct {
	name  string
	rest  string
	next  int // number of the line that rest begins with
	depth int
}

// queued is a line that is still to be worked on: a variable or a sequence has made it.
type queued struct {
	text string
	at   Place
	set  map[string]string // defined just before
	deep int               // how many variables and sequences it is in
}

// reader makes lines of files.
type reader struct {
	world   World
	say     func(at Place, l Level, format string, args ...any)
	sources []*source
	queue   []queued // the last one comes first
	defs    map[string]definition
	checks  includeChecks
	count   int
	deep    int // of what is worked on
	randoms int
	full    bool // too much: nothing more comes
}

// readLines reads a file with all it includes.
func readLines(name string, src []byte, w World, say func(Place, Level, string, ...any)) []line {
	r := &reader{world: w, say: say, defs: map[string]definition{}}
	r.push(name, string(src), 0)
	var out []line
	for {
		l, ok := r.read()
		if !ok {
			return out
		}
		out = append(out, l)
	}
}

func (r *reader) push(name, text string, depth int) {
	text = strings.TrimPrefix(text, "\ufeff")
	r.sources = append(r.sources, &source{name: name, rest: text, next: 1, depth: depth})
}

// dir is where the file that is being read is.
func (r *reader) dir() string {
	if len(r.sources) == 0 {
		return "."
	}
	return filepath.Dir(r.sources[len(r.sources)-1].name)
}

// read returns the next line that is not empty.
func (r *reader) read() (line, bool) {
	for !r.full {
		q, fresh, ok := r.take()
		if !ok {
			return line{}, false
		}
		if r.count++; r.count > r.world.lines() {
			r.full = true
			r.say(q.at, Fatal, "more than %d lines come of variables and sequences: nothing after this is read", r.world.lines())
			break
		}
		for name, value := range q.set {
			r.defs[name] = definition{lines: []string{value}}
		}
		if fresh && r.include(q) {
			continue
		}
		if q.deep > maxInside {
			r.say(q.at, Fault, "variables are more than %d deep in each other – ignoring", maxInside)
			continue
		}
		r.deep = q.deep
		if text, ok := r.work(q.text, q.at); ok && text != "" {
			return line{text, q.at}, true
		}
	}
	return line{}, false
}

// take returns the next piece of work; fresh: it stands in a file like that.
func (r *reader) take() (q queued, fresh, ok bool) {
	if n := len(r.queue); n > 0 {
		q, r.queue = r.queue[n-1], r.queue[:n-1]
		return q, false, true
	}
	for len(r.sources) > 0 {
		s := r.sources[len(r.sources)-1]
		if s.rest == "" {
			r.sources = r.sources[:len(r.sources)-1]
			continue
		}
		at := Place{s.name, s.next}
		text := s.logical()
		if text != "" {
			return queued{text: text, at: at}, true, true
		}
	}
	return queued{}, false, false
}

// physical takes one line off the file, without its comment.
func (s *source) physical() string {
	text, rest, _ := strings.Cut(s.rest, "\n")
	s.rest = rest
	s.next++
	return strings.TrimSpace(uncomment(strings.TrimSuffix(text, "\r")))
}

// logical takes a line and those that continue it. The lines of a definition stay
// apart, all others are joined.
func (s *source) logical() string {
	text := s.physical()
	joint := ""
	if definesLines(text) {
		joint = "\n"
	}
	for continued(text) {
		text = strings.TrimRight(text[:len(text)-1], " \t")
		if s.rest == "" {
			break
		}
		next := s.physical()
		if joint == "" && text != "" && next != "" {
			text += " "
		}
		text += joint + next
		if next == "" {
			break
		}
	}
	return text
}

func continued(text string) bool {
	n := 0
	for n < len(text) && text[len(text)-1-n] == '\\' {
		n++
	}
	return n%2 == 1
}

// uncomment cuts off what is behind # or !, unless that is quoted or escaped.
func uncomment(text string) string {
	quoted := false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case (c == '#' || c == '!') && !quoted:
			return text[:i]
		}
	}
	return text
}

// later puts lines that the one being worked on has made before all others, the first
// one first.
func (r *reader) later(list []queued) {
	for i := len(list) - 1; i >= 0; i-- {
		list[i].deep = r.deep + 1
		r.queue = append(r.queue, list[i])
	}
}

// work does to a line what conditions, definitions, sequences and variables say.
// false: nothing is left of it, or what is left is queued.
func (r *reader) work(text string, at Place) (string, bool) {
	for round := 0; ; round++ {
		text = strings.TrimSpace(text)
		if len(text) > maxLine || round > maxReplaced {
			r.say(at, Fault, "line too long – ignoring")
			return "", false
		}
		switch {
		case text == "":
			return "", false
		case text[0] == '@':
			var keep bool
			if text, keep = r.condition(text); !keep {
				return "", false
			}
			continue
		case text[0] == '~':
			if list, ok := r.sequence(text, at); ok {
				r.later(list)
				return "", false
			}
		case text[0] == '$' && r.define(text):
			return "", false
		}
		next, list, changed := r.replace(text, at)
		if list != nil {
			r.later(list)
			return "", false
		}
		if !changed {
			return text, true
		}
		text = next
	}
}

// condition judges "@ID rest" and "@^ID rest".
func (r *reader) condition(text string) (rest string, keep bool) {
	word, rest, _ := strings.Cut(strings.ReplaceAll(text[1:], "\t", " "), " ")
	want := true
	if id, not := strings.CutPrefix(word, "^"); not {
		word, want = id, false
	}
	return rest, (word == r.world.id()) == want
}

// open reads an included file.
func (r *reader) open(name string) ([]byte, error) {
	if r.world.Open == nil {
		return nil, &fs.PathError{Op: "open", Path: name, Err: errors.New("other files are not read here")}
	}
	return r.world.Open(name)
}
