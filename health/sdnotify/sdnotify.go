// Package sdnotify reads what services say by the protocol of sd_notify(3): a
// datagram of lines NAME=value, one process after the other free to send them. It
// is the other end of what the libraries of that protocol send to systemd.
//
// It is pure. The socket is package probe's.
package sdnotify

import (
	"bytes"
	"strings"
)

// MaxSize is the longest datagram that counts, in octets, as with systemd.
const MaxSize = 4096

// maxStatus is how much of a STATUS is kept.
const maxStatus = 128

// Message is what of a datagram matters here. Lines that are not known are passed
// over, as the protocol says.
type Message struct {
	Ready    bool   // READY=1: it has started
	Stopping bool   // STOPPING=1: it ends, on purpose
	Alive    bool   // WATCHDOG=1: it resets its timer
	Trigger  bool   // WATCHDOG=trigger: it asks to be taken for dead
	Status   string // STATUS=: for people, fit to be printed
}

// Parse reads a datagram; false if it is none of the protocol: too long, or with
// a NUL that is not its end.
func Parse(b []byte) (m Message, ok bool) {
	if len(b) > MaxSize {
		return m, false
	}
	b = bytes.TrimSuffix(b, []byte{0})
	if bytes.IndexByte(b, 0) >= 0 {
		return m, false
	}
	for line := range bytes.SplitSeq(b, []byte("\n")) {
		name, value, found := strings.Cut(string(line), "=")
		if !found {
			continue
		}
		switch name + "=" + value {
		case "READY=1":
			m.Ready = true
		case "STOPPING=1":
			m.Stopping = true
		case "WATCHDOG=1":
			m.Alive = true
		case "WATCHDOG=trigger":
			m.Trigger = true
		}
		if name == "STATUS" {
			m.Status = printable(value)
		}
	}
	return m, true
}

func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
	if len(s) > maxStatus {
		s = strings.ToValidUTF8(s[:maxStatus], "")
	}
	return strings.TrimSpace(s)
}
