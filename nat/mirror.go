package nat

import (
	"slices"
	"strings"
)

// Mirror has each node see what packets the other is to forward: a copy of each goes
// out by an interface of its own, and what comes in by that is tracked and translated
// as if it had come in as usual, and never leaves. So connection tracking of a
// node that stands by goes through the same states as that of the one that forwards.
//
// It works as far as both translate alike, without asking: see [Source.Keeps].
type Mirror struct {
	Link string   // copies leave by it, and come in by it; for nothing else
	Data []string // interfaces that packets come in by and leave by
}

func (m *Mirror) canonical() *Mirror {
	if m == nil {
		return nil
	}
	out := Mirror{Link: m.Link, Data: slices.Clone(m.Data)}
	slices.Sort(out.Data)
	out.Data = slices.Compact(out.Data)
	return &out
}

func (m *Mirror) equal(o *Mirror) bool {
	if m == nil || o == nil {
		return m == o
	}
	return m.Link == o.Link && slices.Equal(m.Data, o.Data)
}

func (m *Mirror) line() string {
	if m == nil {
		return ""
	}
	return "mirror " + m.Link + " of " + strings.Join(m.Data, " ") + "\n"
}

// check says what is wrong with m.
func (m *Mirror) check() (problems []Problem) {
	if m == nil {
		return nil
	}
	add := func(reason string) {
		problems = append(problems, Problem{Kind: KindGroup, Key: "mirror", Mapping: "mirror " + m.Link, Reason: reason})
	}
	for _, name := range append([]string{m.Link}, m.Data...) {
		if why := badInterface(name); why != "" {
			add(why)
		}
	}
	switch {
	case len(m.Data) == 0:
		add("copies nothing")
	case slices.Contains(m.Data, m.Link):
		add("would copy its own copies; use an interface for nothing else")
	}
	return problems
}
