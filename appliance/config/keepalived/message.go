package keepalived

import (
	"fmt"
	"path/filepath"
)

// Place is a line of a file.
type Place struct {
	File string // as it was opened
	Line int    // from 1; of a joined line the first
}

// Level says what follows from a message.
type Level uint8

const (
	// Note: the meaning is kept, by other means or without any.
	Note Level = iota
	// Warning: keepalived takes it and something of it is not carried over.
	Warning
	// Fault is what keepalived complains of and runs with all the same: -t ends with 5.
	Fault
	// Insecure is a program that others than its user could have changed: -t ends with 6.
	Insecure
	// Lacking is an included file that has to be there: -t ends with 6 too.
	Lacking
	// Fatal keeps keepalived from running: -t ends with 4, if there is nothing else.
	Fatal
)

func (l Level) String() string {
	return [...]string{"note", "warning", "error", "security", "lacking", "fatal"}[l]
}

// Message is something to say about a line.
type Message struct {
	Place
	Level Level
	Text  string
}

// String returns the message in keepalived's form for several files.
func (m Message) String() string {
	if m.Line == 0 {
		return fmt.Sprintf("(%s) %s", m.File, m.Text)
	}
	return fmt.Sprintf("(%s: Line %d) %s", m.File, m.Line, m.Text)
}

// Short returns the message as keepalived has it while there is one file only.
func (m Message) Short() string {
	if m.Line == 0 {
		return m.Text
	}
	return fmt.Sprintf("(Line %d) %s", m.Line, m.Text)
}

// Near names a place for a comment: the file without its directory.
func (p Place) Near() string {
	return fmt.Sprintf("%s:%d", filepath.Base(p.File), p.Line)
}

// ExitCode is that of keepalived -t for these messages: 0 nothing wrong, 4 cannot
// run, 5 would run in spite of errors, 6 a security problem or a file that has to be
// there. The highest counts.
func ExitCode(list []Message) int {
	code := 0
	for _, m := range list {
		switch m.Level {
		case Fatal:
			code = max(code, 4)
		case Fault:
			code = max(code, 5)
		case Insecure, Lacking:
			code = max(code, 6)
		}
	}
	return code
}

// messages collects what there is to say, each thing once.
type messages struct {
	list []Message
	seen map[Message]bool
}

func (ms *messages) say(at Place, l Level, format string, args ...any) {
	m := Message{Place: at, Level: l, Text: oneLine(fmt.Sprintf(format, args...))}
	if ms.seen == nil {
		ms.seen = map[Message]bool{}
	}
	if !ms.seen[m] {
		ms.seen[m] = true
		ms.list = append(ms.list, m)
	}
}
