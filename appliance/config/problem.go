package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with a configuration file.
type Problem struct {
	File string
	Line int    // from 1; a key that is missing has the line of the table it is missing from
	Key  string // path of the key, as in router[0].vrid; arrays count from 0; empty: the file itself
	What string // what is wrong with it
	Fix  string // what to do about it

	offset int    // byte in the source, to sort problems of one line
	path   string // what Key is in a TOML file
}

// String returns the problem as one line: FILE:LINE: key: what, and the fix.
func (p Problem) String() string {
	key := ""
	if p.Key != "" {
		key = p.Key + ": "
	}
	return fmt.Sprintf("%s:%d: %s%s; %s", p.File, p.Line, key, p.What, p.Fix)
}

// Problems is everything that is wrong with a configuration file, in the order
// of the file. It is the error of [Load] and [Parse] when the file could be
// read but must not be used.
type Problems []Problem

// Error returns the problems, each on a line of its own.
func (ps Problems) Error() string {
	var b strings.Builder
	for i, p := range ps {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(p.String())
	}
	return b.String()
}

func (ps Problems) sort() {
	slices.SortStableFunc(ps, func(a, b Problem) int { return cmp.Compare(a.offset, b.offset) })
}

// report collects problems while a file is checked.
type report struct {
	file     string
	index    *index
	problems Problems
	seen     map[string]bool // by key: one problem a key, the first one found
}

func newReport(file string, ix *index) *report {
	return &report{file: file, index: ix, seen: map[string]bool{}}
}

// add notes a problem with the key at path. Only the first problem of a key is
// kept: what is found later follows from it (a VRID that is a string is also a
// VRID that is missing).
func (r *report) add(path, what, fix string) {
	if r.seen[path] {
		return
	}
	r.seen[path] = true
	at := r.index.find(path)
	p := Problem{
		File: r.file, Line: at.line, offset: at.offset,
		Key: path, What: oneLine(what), Fix: oneLine(fix), path: path,
	}
	if at.file != "" {
		p.File = at.file
	}
	if at.word != "" {
		p.Key = oneLine(at.word)
	}
	r.problems = append(r.problems, p)
}

// line returns the line of path, to point at it from another problem.
func (r *report) line(path string) int { return r.index.find(path).line }

// bad tells whether a problem with the key at path has been noted already.
func (r *report) bad(path string) bool { return r.seen[path] }

// oneLine keeps the promise of one line a problem: what the file says is quoted
// where we quote it, but the TOML library's messages may hold anything.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f || c == '\u2028' || c == '\u2029' {
			return ' '
		}
		return c
	}, s)
}
