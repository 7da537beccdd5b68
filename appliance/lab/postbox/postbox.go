// Package postbox is a mail server that keeps what it gets, and can be as difficult as
// real ones are.
package postbox

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
)

// Mail is what came in one transaction.
type Mail struct {
	Helo string // as it was said: "EHLO gw1"
	From string
	To   []string
	Text string // headers and body, with line feeds, dots unstuffed
}

// Header returns the first header of a name, unfolded.
func (m Mail) Header(name string) string {
	head, _, _ := strings.Cut(m.Text, "\n\n")
	head = strings.ReplaceAll(head, "\n ", " ")
	for l := range strings.Lines(head) {
		if k, v, ok := strings.Cut(l, ":"); ok && strings.EqualFold(k, name) {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// Body is what comes behind the headers.
func (m Mail) Body() string {
	_, body, _ := strings.Cut(m.Text, "\n\n")
	return body
}

// Box takes mail from a listener.
type Box struct {
	l     net.Listener
	ended sync.WaitGroup

	mu      sync.Mutex
	mails   []Mail
	calls   int
	silent  bool
	answers map[string]string // by the beginning of a line
	open    map[net.Conn]bool
}

// New takes mail from what the listener accepts.
func New(l net.Listener) *Box {
	b := &Box{l: l, answers: map[string]string{}, open: map[net.Conn]bool{}}
	b.ended.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			b.mu.Lock()
			b.calls++
			b.open[conn] = true
			b.mu.Unlock()
			b.ended.Go(func() {
				b.talk(conn)
				conn.Close()
				b.mu.Lock()
				delete(b.open, conn)
				b.mu.Unlock()
			})
		}
	})
	return b
}

// Answer has lines that begin so be answered so from now on; "" takes that back.
func (b *Box) Answer(line, answer string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.answers[line] = answer
}

// Silence: connections are accepted, and nothing is ever said; those that are there hear
// nothing more.
func (b *Box) Silence(on bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.silent = on
}

// Mails are what came, in order.
func (b *Box) Mails() []Mail {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.mails)
}

// Calls is how many connections there were.
func (b *Box) Calls() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.calls
}

// Close ends it.
func (b *Box) Close() {
	b.l.Close()
	b.mu.Lock()
	for conn := range b.open {
		conn.Close()
	}
	b.mu.Unlock()
	b.ended.Wait()
}

// say answers a line; false: the connection is over.
func (b *Box) say(conn net.Conn, line, usual string) bool {
	b.mu.Lock()
	for begin, answer := range b.answers {
		if answer != "" && strings.HasPrefix(line, begin) {
			usual = answer
		}
	}
	silent := b.silent
	b.mu.Unlock()
	if silent {
		return true
	}
	_, err := fmt.Fprintf(conn, "%s\r\n", usual)
	return err == nil
}

func (b *Box) talk(conn net.Conn) {
	r := bufio.NewReader(conn)
	var m Mail
	ok := b.say(conn, "", "220 postbox")
	for ok {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		word, rest, _ := strings.Cut(line, " ")
		switch strings.ToUpper(word) {
		case "EHLO", "HELO":
			m.Helo = line
			ok = b.say(conn, line, "250 postbox")
		case "MAIL":
			m.From, m.To = between(rest), nil
			ok = b.say(conn, line, "250 go on")
		case "RCPT":
			m.To = append(m.To, between(rest))
			ok = b.say(conn, line, "250 go on")
		case "DATA":
			if ok = b.say(conn, line, "354 go on"); ok {
				m.Text, ok = text(r)
				b.mu.Lock()
				if ok && !b.silent {
					b.mails = append(b.mails, m)
				}
				b.mu.Unlock()
				ok = ok && b.say(conn, ".", "250 taken")
			}
		case "QUIT":
			b.say(conn, line, "221 goodbye")
			return
		default:
			ok = b.say(conn, line, "250 go on")
		}
	}
}

func between(s string) string {
	_, s, _ = strings.Cut(s, "<")
	s, _, _ = strings.Cut(s, ">")
	return s
}

// text reads up to a dot alone.
func text(r *bufio.Reader) (string, bool) {
	var b strings.Builder
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return "", false
		}
		if line == ".\r\n" {
			return b.String(), true
		}
		b.WriteString(strings.TrimPrefix(strings.TrimSuffix(line, "\r\n"), ".") + "\n")
	}
}
