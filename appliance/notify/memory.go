package notify

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"understudy/health/program"
)

// memory is the file of a lane: what each command was told last, and what runs. It
// is for the next daemon, if this one dies. An error is no more than a state that
// is told twice.
type memory struct {
	file string // "": it forgets

	mu      sync.Mutex
	content memoryFile
}

type memoryFile struct {
	Told    []memo   `json:"told"`
	Running *running `json:"running,omitempty"`
}

// memo is what one command knows.
type memo struct {
	Argv []string `json:"command"`
	User string   `json:"user,omitempty"`
	// Style tells one program that is there with arguments and without from itself.
	Style Style `json:"style,omitempty"`
	state
}

// running is a program that was not seen to end.
type running struct {
	Group int    `json:"process_group"`
	Mark  string `json:"mark"`
}

// remember reads the file of a subject.
func remember(dir string, s Subject) *memory {
	m := &memory{}
	if dir == "" {
		return m
	}
	m.file = filepath.Join(dir, s.String()+".json")
	if b, err := os.ReadFile(m.file); err == nil && json.Unmarshal(b, &m.content) != nil {
		m.content = memoryFile{}
	}
	return m
}

// of is what a command was told.
func (m *memory) of(c Command) state {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, k := range m.content.Told {
		if slices.Equal(k.Argv, c.Argv) && k.User == c.User && k.Style == c.Style {
			return k.state
		}
	}
	return state{}
}

// endOrphans ends what a predecessor's program has left running.
func (m *memory) endOrphans() int {
	m.mu.Lock()
	r := m.content.Running
	m.mu.Unlock()
	if r == nil {
		return 0
	}
	n := program.EndOrphans(r.Group, r.Mark)
	m.note(func(c *memoryFile) { c.Running = nil })
	return n
}

// began notes a program that runs.
func (m *memory) began(pid int, mark string) {
	m.note(func(c *memoryFile) { c.Running = &running{Group: pid, Mark: mark} })
}

// ended notes that it runs no more, and what commands know now.
func (m *memory) ended(told []memo, whole bool) {
	m.note(func(c *memoryFile) {
		if whole {
			c.Told = told
		}
		c.Running = nil
	})
}

func (m *memory) remove() {
	if m.file != "" {
		_ = os.Remove(m.file)
	}
}

// note changes what is remembered, and writes the file in one go.
func (m *memory) note(change func(*memoryFile)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	change(&m.content)
	if m.file == "" {
		return
	}
	b, err := json.Marshal(m.content)
	if err != nil {
		return
	}
	if err := os.MkdirAll(filepath.Dir(m.file), 0o700); err != nil {
		return
	}
	next := m.file + ".new"
	if os.WriteFile(next, b, 0o600) == nil {
		_ = os.Rename(next, m.file)
	}
}
