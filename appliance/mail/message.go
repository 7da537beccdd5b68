package mail

import (
	"bytes"
	"mime"
	"mime/quotedprintable"
	"strings"
	"time"
)

// Message is an alert.
type Message struct {
	Subject, Body string
	At            time.Time // of what it is about
}

const (
	maxSubject = 400 // bytes
	maxBody    = 16 << 10
	// maxLine is what RFC 5321 section 4.5.3.1.6 allows a line of text, less its end.
	maxLine = 998
)

// compose makes the text of a mail, with line feeds alone as ends of lines: whoever sends
// it makes them those of the network.
func compose(cfg *Config, m Message) []byte {
	var b bytes.Buffer
	header := func(name, value string) { b.WriteString(name + ": " + value + "\n") }
	header("Date", m.At.Format(time.RFC1123Z))
	header("From", oneLine(cfg.From))
	header("Subject", subject(m.Subject))
	header("X-Mailer", "Understudy")
	header("Auto-Submitted", "auto-generated") // RFC 3834: nobody is on holiday for it
	to := make([]string, len(cfg.To))
	for i, a := range cfg.To {
		to[i] = oneLine(a)
	}
	header("To", strings.Join(to, ",\n ")) // a line each
	text := body(m.Body)
	if ascii(text) {
		b.WriteString("\n" + text)
		return b.Bytes()
	}
	header("MIME-Version", "1.0")
	header("Content-Type", "text/plain; charset=utf-8")
	header("Content-Transfer-Encoding", "quoted-printable")
	b.WriteByte('\n')
	w := quotedprintable.NewWriter(&b)
	_, _ = w.Write([]byte(text)) // into memory
	_ = w.Close()
	return bytes.ReplaceAll(b.Bytes(), []byte("\r\n"), []byte("\n"))
}

// subject is one line of at most maxSubject bytes, encoded if it is not ASCII.
func subject(s string) string {
	s = oneLine(s)
	if len(s) > maxSubject {
		s = strings.ToValidUTF8(s[:maxSubject], "")
	}
	return strings.ReplaceAll(mime.QEncoding.Encode("utf-8", s), "?= =?", "?=\n =?") // a line each
}

// oneLine takes everything out that could end a line.
func oneLine(s string) string {
	return strings.Map(func(c rune) rune {
		if control(c) {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// body is text in lines that a mail can have, with an end to the last one.
func body(s string) string {
	s = strings.ToValidUTF8(s, "\ufffd")
	if len(s) > maxBody {
		s = strings.ToValidUTF8(s[:maxBody], "") + "\n..."
	}
	var b strings.Builder
	for l := range strings.SplitSeq(strings.TrimSuffix(s, "\n"), "\n") {
		l = oneLine(l)
		for len(l) > maxLine {
			head := strings.ToValidUTF8(l[:maxLine], "")
			b.WriteString(head + "\n")
			l = l[len(head):]
		}
		b.WriteString(l + "\n")
	}
	return b.String()
}

// control tells whether a character is none that is printed; line and paragraph
// separators end lines too, to some.
func control(c rune) bool {
	return c < ' ' || c >= 0x7f && c < 0xa0 || c == '\u2028' || c == '\u2029'
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
