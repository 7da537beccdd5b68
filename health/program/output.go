package program

import "strings"

// tail keeps the last of what a program writes, and never blocks it.
type tail struct {
	b    []byte
	most int
}

func (t *tail) Write(b []byte) (int, error) {
	t.b = append(t.b, b[max(0, len(b)-t.most):]...)
	t.b = t.b[max(0, len(t.b)-t.most):]
	return len(b), nil
}

// text is what was kept, fit to be printed, without empty lines around it.
func (t *tail) text() string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' && r != '\n' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(string(t.b), "?")))
}

// LastLine is the last line of a result's output.
func (r Result) LastLine() string {
	return strings.TrimSpace(r.Output[strings.LastIndexByte(r.Output, '\n')+1:])
}
