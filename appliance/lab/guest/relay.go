package guest

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os/exec"
	"strings"
)

// Event is one line of `go test -json`.
type Event struct {
	Action  string
	Package string
	Test    string `json:",omitempty"`
	Output  string `json:",omitempty"`
}

// Relay turns what the guest says into the events of `go test -json`, one suite
// after the other, as if it had been run here. A suite that did not come to its
// end, or of which no test ran, has failed.
type Relay struct {
	Out      io.Writer
	Packages []string // that are to run
	// Convert starts the converter of a package's output: what is written to it
	// comes out as events. nil: `go tool test2json`.
	Convert func(pkg string, events io.Writer) (io.WriteCloser, error)

	heard map[string]bool // packages that came to their end
	up    string          // the kernel, once the guest is up
	done  bool
}

// mark begins a line of /init's own.
const mark = "\x1eguest "

// Read reads to the end of r, which is the guest's end.
func (l *Relay) Read(r io.Reader) error {
	l.heard = map[string]bool{}
	in := bufio.NewReader(r)
	var now *suite
	for {
		line, err := in.ReadBytes('\n')
		// What a test wrote last may have had no end of line.
		text, word, ours := bytes.Cut(line, []byte(mark))
		if now != nil && len(text) > 0 {
			if err := now.write(text); err != nil {
				return err
			}
		}
		if ours {
			if now, err = l.order(now, strings.Fields(string(word))); err != nil {
				return err
			}
			continue
		}
		if err == io.EOF {
			return l.end(now)
		}
		if err != nil {
			return fmt.Errorf("guest: results: %w", err)
		}
	}
}

// order does what a line of /init says.
func (l *Relay) order(now *suite, words []string) (*suite, error) {
	if len(words) == 0 {
		return now, nil
	}
	switch args := words[1:]; {
	case words[0] == "up" && len(args) == 1:
		l.up = args[0]
	case words[0] == "done":
		l.done = true
	case words[0] == "begin" && len(args) == 1:
		return l.begin(args[0])
	case words[0] == "end" && len(args) == 2 && now != nil:
		l.heard[now.pkg] = true
		why := ""
		if args[1] != "0" {
			why = "the suite ended with exit code " + args[1]
		}
		return nil, l.close(now, why)
	}
	return now, nil
}

// end is the end of the guest. Each package that it did not come to has failed.
func (l *Relay) end(now *suite) error {
	if now != nil {
		l.heard[now.pkg] = true
		if err := l.close(now, "the guest ended in the middle of the suite"); err != nil {
			return err
		}
	}
	for _, pkg := range l.Packages {
		if l.heard[pkg] {
			continue
		}
		why := "the guest ended before the suite"
		if l.up == "" {
			why = "the guest did not come up"
		}
		if err := l.fail(pkg, why); err != nil {
			return err
		}
	}
	return nil
}

// Done tells whether the guest came to its regular end.
func (l *Relay) Done() bool { return l.done }

// Release is the kernel's, once it has said so.
func (l *Relay) Release() string { return l.up }

// suite is the package whose tests are running.
type suite struct {
	pkg    string
	in     io.WriteCloser
	events *watcher
}

func (s *suite) write(b []byte) error {
	if _, err := s.in.Write(b); err != nil {
		return fmt.Errorf("guest: converter of %s: %w", s.pkg, err)
	}
	return nil
}

func (l *Relay) begin(pkg string) (*suite, error) {
	s := &suite{pkg: pkg, events: &watcher{out: l.Out}}
	convert := l.Convert
	if convert == nil {
		convert = test2json
	}
	var err error
	if s.in, err = convert(pkg, s.events); err != nil {
		return nil, fmt.Errorf("guest: converter of %s: %w", pkg, err)
	}
	return s, nil
}

// close ends a suite. why is what is known against it; "" is nothing.
func (l *Relay) close(s *suite, why string) error {
	if err := s.in.Close(); err != nil {
		return fmt.Errorf("guest: converter of %s: %w", s.pkg, err)
	}
	if why == "" && s.events.ran == 0 {
		why = "no test ran: the name of a guest test begins with TestGuest"
	}
	if why == "" || s.events.failed {
		return nil
	}
	return l.fail(s.pkg, why)
}

func (l *Relay) fail(pkg, why string) error {
	for _, e := range []Event{{Action: "output", Package: pkg, Output: why + "\n"}, {Action: "fail", Package: pkg}} {
		b, err := json.Marshal(e)
		if err != nil {
			return err
		}
		if _, err := l.Out.Write(append(b, '\n')); err != nil {
			return err
		}
	}
	return nil
}

// watcher passes events on and notes what they say of the suite.
type watcher struct {
	out    io.Writer
	rest   []byte
	ran    int
	failed bool
}

func (w *watcher) Write(b []byte) (int, error) {
	w.rest = append(w.rest, b...)
	for {
		line, rest, ok := bytes.Cut(w.rest, []byte("\n"))
		if !ok {
			break
		}
		var e Event
		if json.Unmarshal(line, &e) == nil {
			if e.Action == "run" {
				w.ran++
			}
			w.failed = w.failed || e.Action == "fail" && e.Test == ""
		}
		w.rest = rest
	}
	return w.out.Write(b)
}

// test2json is Go's own converter, as a program.
func test2json(pkg string, events io.Writer) (io.WriteCloser, error) {
	c := exec.Command("go", "tool", "test2json", "-t", "-p", pkg)
	c.Stdout = events
	in, err := c.StdinPipe()
	if err != nil {
		return nil, err
	}
	return &program{WriteCloser: in, cmd: c}, c.Start()
}

type program struct {
	io.WriteCloser
	cmd *exec.Cmd
}

func (p *program) Close() error {
	if err := p.WriteCloser.Close(); err != nil {
		return err
	}
	return p.cmd.Wait()
}
