package keepalived

import (
	"errors"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
)

// includeChecks are what is an error of an include, and what is none.
type includeChecks uint8

const (
	checkReadable includeChecks = 1 << iota // a file that is there and cannot be read; any of the others brings it along
	checkMatch                              // nothing that matches
	checkWildcard                           // the same, as keepalived 2.2.7 has it
	checkBrace                              // nothing that one of {a,b} matches
	checkAll      = checkReadable | checkMatch | checkWildcard | checkBrace
)

// includeWords are the keywords, and what each checks beside include_check.
var includeWords = map[string]includeChecks{
	"include": 0, "includer": checkReadable, "includem": checkMatch | checkReadable,
	"includew": checkWildcard | checkReadable, "includeb": checkBrace | checkReadable, "includea": checkAll,
}

var checkWords = map[string]includeChecks{
	"readable": checkReadable, "match": checkMatch, "wildcard_match": checkWildcard, "brace_match": checkBrace,
}

// include does what an include line says; false: it is none. Neither conditions
// nor variables work in one, because it is recognised before them.
func (r *reader) include(q queued) bool {
	words := strings.Fields(q.text)
	if len(words) == 0 {
		return false
	}
	if words[0] == "include_check" {
		r.includeCheck(q, words[1:])
		return true
	}
	checks, ok := includeWords[words[0]]
	if !ok {
		return false
	}
	checks |= r.checks
	pattern := unquoted(strings.TrimSpace(strings.TrimPrefix(q.text, words[0])))
	if pattern == "" {
		r.say(q.at, Fault, "%s has no file name", words[0])
		return true
	}
	depth := 1
	if n := len(r.sources); n > 0 {
		depth = r.sources[n-1].depth + 1
	}
	if depth > maxNested {
		r.say(q.at, Fault, "%s %s: files include each other more than %d deep", words[0], pattern, maxNested)
		return true
	}
	r.open1(q, words[0], pattern, checks, depth)
	return true
}

// open1 puts the files that a pattern names before everything else.
func (r *reader) open1(q queued, word, pattern string, checks includeChecks, depth int) {
	dir := r.dir()
	type found struct {
		name string
		src  []byte
	}
	var files []found
	alternatives := braces(pattern, 1000)
	lacking := false
	for _, p := range alternatives {
		if !filepath.IsAbs(p) {
			p = filepath.Join(dir, p)
		}
		names := []string{p}
		if strings.ContainsAny(p, "*?[") {
			names = nil
			if r.world.Glob != nil {
				names, _ = r.world.Glob(p)
			}
		}
		n := 0
		for _, name := range names {
			src, err := r.open(name)
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			n++
			switch {
			case err == nil:
				files = append(files, found{name, src})
			case checks != 0:
				r.say(q.at, Lacking, "%s: %v", word, err)
			default:
				r.say(q.at, Warning, "%s: %v: nothing is read of it", word, err)
			}
		}
		lacking = lacking || n == 0
	}
	several := len(alternatives) > 1
	switch {
	case !lacking:
	case several && checks&checkBrace != 0, !several && checks&(checkMatch|checkWildcard) != 0:
		r.say(q.at, Lacking, "Config files missing '%s'.", pattern)
	default:
		r.say(q.at, Warning, "Config files missing '%s'.", pattern)
	}
	// The last one pushed is read first.
	for _, f := range slices.Backward(files) {
		r.push(f.name, string(f.src), depth)
	}
}

// includeCheck reads "[+|-]readable match wildcard_match brace_match"; without a
// word, all.
func (r *reader) includeCheck(q queued, words []string) {
	if len(words) == 0 {
		r.checks = checkAll
		return
	}
	var set, add, remove includeChecks
	fresh := false
	for _, w := range words {
		name := strings.TrimLeft(w, "+-")
		bit, ok := checkWords[name]
		switch {
		case !ok:
			r.say(q.at, Fault, "unknown include_check type '%s'", w)
		case strings.HasPrefix(w, "+"):
			add |= bit
		case strings.HasPrefix(w, "-"):
			remove |= bit
		default:
			set, fresh = set|bit, true
		}
	}
	if fresh {
		r.checks = set
	}
	r.checks = (r.checks | add) &^ remove
}

func unquoted(s string) string {
	if len(s) >= 2 && s[0] == '"' && s[len(s)-1] == '"' {
		return s[1 : len(s)-1]
	}
	return s
}

// braces expands {a,b} as a shell does, to at most so many names. A brace without a
// partner stands for itself.
func braces(pattern string, most int) []string {
	open, depth := -1, 0
	var commas []int
	for i := 0; i < len(pattern); i++ {
		switch pattern[i] {
		case '\\':
			i++
		case '{':
			if depth == 0 {
				open, commas = i, nil
			}
			depth++
		case ',':
			if depth == 1 {
				commas = append(commas, i)
			}
		case '}':
			if depth == 0 {
				continue
			}
			if depth--; depth > 0 || len(commas) == 0 {
				continue
			}
			var out []string
			from := open + 1
			for _, to := range append(commas, i) {
				for _, p := range braces(pattern[:open]+pattern[from:to]+pattern[i+1:], most-len(out)) {
					if out = append(out, p); len(out) >= most {
						return out
					}
				}
				from = to + 1
			}
			return out
		}
	}
	return []string{pattern}
}
