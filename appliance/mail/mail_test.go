package mail

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"mime/quotedprintable"
	"net"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab/postbox"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func to(server string) *Config {
	return &Config{Server: server, Helo: "gw1.example.org", From: "gw1@example.org", To: []string{"ops@example.org", "night@example.org"}, Timeout: 30 * time.Second}
}

func newBox(t *testing.T) (*postbox.Box, *Config) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b := postbox.New(l)
	t.Cleanup(b.Close)
	return b, to(l.Addr().String())
}

func newSender(t *testing.T, cfg *Config, log *slog.Logger) *Sender {
	t.Helper()
	s := New(log)
	t.Cleanup(s.Close)
	s.Set(cfg)
	return s
}

func wait(t *testing.T, what string, met func() bool) {
	t.Helper()
	for end := time.Now().Add(60 * time.Second); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

func alert(n int) Message {
	return Message{Subject: fmt.Sprintf("alert %d", n), Body: "=> it is so <=", At: time.Now()}
}

// TestSent: what is told arrives, in order, over one connection if it can be.
func TestSent(t *testing.T) {
	box, cfg := newBox(t)
	s := newSender(t, cfg, nil)
	for n := range 40 {
		s.Tell(alert(n))
	}
	wait(t, "40 mails", func() bool { return len(box.Mails()) == 40 })
	for n, m := range box.Mails() {
		if m.Header("Subject") != fmt.Sprintf("alert %d", n) || m.From != "gw1@example.org" || strings.Join(m.To, " ") != "ops@example.org night@example.org" ||
			m.Helo != "EHLO gw1.example.org" || m.Body() != "=> it is so <=\n" || m.Header("To") != "ops@example.org, night@example.org" {
			t.Errorf("mail %d: %+v", n, m)
		}
	}
	if n := box.Calls(); n > 10 {
		t.Errorf("%d connections for 40 mails", n)
	}
	wait(t, "all to be counted", func() bool { return s.Status() == Status{Sent: 40} })
}

// TestOldServer: one that does not know EHLO.
func TestOldServer(t *testing.T) {
	box, cfg := newBox(t)
	box.Answer("EHLO", "502 what?")
	newSender(t, cfg, nil).Tell(alert(1))
	wait(t, "a mail", func() bool { return len(box.Mails()) == 1 })
	if m := box.Mails()[0]; m.Helo != "HELO gw1.example.org" {
		t.Errorf("%+v", m)
	}
}

// TestText: nothing that an alert says is a header, a command, or the end of the mail.
func TestText(t *testing.T) {
	box, cfg := newBox(t)
	s := newSender(t, cfg, nil)
	s.Tell(Message{At: noon, Subject: "x\r\nBcc: all@example.org\n\n.\r\nQUIT" + strings.Repeat("y", 1000),
		Body: ".\n..\n.\r\nMAIL FROM:<evil@example.org>\r\n\rRSET\n\x00\x1b[31m\u2028é\n" + strings.Repeat("z", 3000)})
	s.Tell(alert(2))
	wait(t, "both mails", func() bool { return len(box.Mails()) == 2 })
	m := box.Mails()[0]
	head, _, _ := strings.Cut(m.Text, "\n\n")
	want := []string{"Date: Fri, 02 Jan 2026 12:00:00 +0000", "From: gw1@example.org", "Subject: x  Bcc: all@example.org  .  QUIT", "X-Mailer: Understudy",
		"Auto-Submitted: auto-generated", "To: ops@example.org, night@example.org"}
	lines := strings.Split(strings.ReplaceAll(head, "\n ", " "), "\n")
	for i, w := range want {
		if i >= len(lines) || !strings.HasPrefix(lines[i], w) {
			t.Fatalf("line %d of the headers is to be %q:\n%s", i, w, head)
		}
	}
	if len(lines) != len(want)+3 || m.Header("Content-Transfer-Encoding") != "quoted-printable" {
		t.Errorf("headers:\n%s", head)
	}
	for l := range strings.Lines(m.Text) {
		if len(l) > maxLine+1 {
			t.Errorf("a line of %d bytes", len(l))
		}
	}
	text, err := io.ReadAll(quotedprintable.NewReader(strings.NewReader(m.Body())))
	if err != nil || !strings.HasPrefix(string(text), ".\n..\n. \nMAIL FROM:<evil@example.org> \n RSET\n  [31m é\nzzz") {
		t.Errorf("body: %q (%v)", text, err)
	}
	if len(m.Header("Subject")) > maxSubject+20 {
		t.Errorf("a subject of %d bytes", len(m.Header("Subject")))
	}
}

// TestRefused: what the server refuses for good is given up, the rest is sent, and the log
// says so once.
func TestRefused(t *testing.T) {
	box, cfg := newBox(t)
	box.Answer("RCPT TO:<night", "550 nobody here")
	var said bytes.Buffer
	s := newSender(t, cfg, slog.New(slog.NewTextHandler(&said, nil)))
	s.Tell(alert(1))
	wait(t, "a mail to who is there", func() bool { return s.Status().Sent == 1 })
	box.Answer("RCPT", "550 nobody here")
	for n := range 20 {
		s.Tell(alert(n))
	}
	wait(t, "all to be given up", func() bool { return s.Status().Failed == 20 })
	box.Answer("RCPT", "")
	s.Tell(alert(3))
	wait(t, "another", func() bool { return s.Status().Sent == 2 })
	s.Close()
	if n := strings.Count(said.String(), "\n"); n != 1 || !strings.Contains(said.String(), "nobody here") {
		t.Errorf("the log has %d lines:\n%s", n, said.String())
	}
	if got := s.Status(); got.Failed != 20 || got.Dropped+uint64(got.Waiting) != 0 {
		t.Errorf("%+v", got)
	}
}

// TestTriedAgain: what cannot be sent now waits, and is sent when it can be.
func TestTriedAgain(t *testing.T) {
	box, cfg := newBox(t)
	box.Answer("MAIL", "451 not now")
	s := newSender(t, cfg, nil)
	s.Tell(alert(1))
	wait(t, "the first try", func() bool { return strings.Contains(s.Status().Error, "not now") })
	if got := s.Status(); got.Failed != 0 || got.Waiting != 1 {
		t.Errorf("%+v", got)
	}
	box.Answer("MAIL", "")
	wait(t, "the mail", func() bool { return len(box.Mails()) == 1 })
	wait(t, "it to be counted", func() bool { got := s.Status(); return got.Sent == 1 && got.Error == "" && got.Waiting == 0 })
	// An old one is not tried again.
	box.Answer("MAIL", "451 not now")
	old := alert(2)
	old.At = old.At.Add(-patience)
	s.Tell(old)
	wait(t, "an old one to be given up", func() bool { return s.Status().Failed == 1 })
}

// TestNeverAnswers: whoever tells does not wait for a server that says nothing, the queue
// is bounded, the oldest make way, and the end is bounded too.
func TestNeverAnswers(t *testing.T) {
	box, cfg := newBox(t)
	box.Silence(true)
	s := newSender(t, cfg, nil)
	for n := range maxWaiting + 100 {
		s.Tell(alert(n)) // each would take 30 s
	}
	if got := s.Status(); got != (Status{Waiting: maxWaiting, Dropped: 100}) {
		t.Errorf("%+v", got)
	}
	wait(t, "a connection", func() bool { return box.Calls() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	s.Finish(ctx)
	if got := s.Status(); got.Failed != maxWaiting || got.Waiting != 0 || got.Sent != 0 {
		t.Errorf("at the end: %+v", got)
	}
	s.Tell(alert(1))
	if got := s.Status(); got.Waiting != 0 {
		t.Errorf("after the end: %+v", got)
	}
}

// TestTimeout: a server that says nothing is left after its time.
func TestTimeout(t *testing.T) {
	box, cfg := newBox(t)
	cfg.Timeout = 20 * time.Millisecond
	box.Silence(true)
	s := newSender(t, cfg, nil)
	s.Tell(alert(1))
	wait(t, "it to be given up", func() bool { return strings.Contains(s.Status().Error, "timeout") })
	cfg2 := *cfg
	cfg2.Timeout = 30 * time.Second
	box.Silence(false)
	s.Set(&cfg2)
	wait(t, "the mail", func() bool { return len(box.Mails()) == 1 })
}

// TestTalkative: what a server may say is bounded.
func TestTalkative(t *testing.T) {
	box, cfg := newBox(t)
	box.Answer("", "220-"+strings.Repeat("blah ", maxAnswers))
	s := newSender(t, cfg, nil)
	s.Tell(alert(1))
	wait(t, "it to be left", func() bool { return strings.Contains(s.Status().Error, errTalkative.Error()) })
}

// TestLast: what waits at the end is sent, at once.
func TestLast(t *testing.T) {
	box, cfg := newBox(t)
	box.Answer("MAIL", "451 not now")
	s := newSender(t, cfg, nil)
	s.Tell(alert(1))
	wait(t, "a failure", func() bool { return s.Status().Error != "" })
	box.Answer("MAIL", "")
	s.Tell(alert(2))
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	s.Finish(ctx)
	if got := s.Status(); got.Sent != 2 || len(box.Mails()) != 2 {
		t.Errorf("%+v, %d mails", got, len(box.Mails()))
	}
}

// TestNowhere: without a place to go there is no queue.
func TestNowhere(t *testing.T) {
	_, cfg := newBox(t)
	s := newSender(t, nil, nil)
	s.Tell(alert(1))
	if got := s.Status(); got != (Status{}) {
		t.Errorf("%+v", got)
	}
	cfg.Server = "127.0.0.1:1" // nobody is there
	s.Set(cfg)
	s.Tell(alert(1))
	s.Set(nil)
	if got := s.Status(); got.Dropped != 1 || got.Waiting != 0 {
		t.Errorf("%+v", got)
	}
}

// FuzzText: whatever an alert says, the mail has our headers and no other, and its lines
// can be sent.
func FuzzText(f *testing.F) {
	f.Add("a", "b")
	f.Add("a\r\nBcc: x", ".\r\n.\r\n\r")
	f.Add(strings.Repeat("a\xff ", 400), "x")
	f.Add("\u2028é\xff", strings.Repeat("é", 2000))
	f.Fuzz(func(t *testing.T, subject, body string) {
		text := string(compose(to("192.0.2.1:25"), Message{Subject: subject, Body: body, At: noon}))
		head, rest, ok := strings.Cut(text, "\n\n")
		if !ok || !strings.HasSuffix(text, "\n") || strings.ContainsAny(text, "\r\x00") {
			t.Fatalf("%q", text)
		}
		known := map[string]bool{"Date": true, "From": true, "Subject": true, "X-Mailer": true, "Auto-Submitted": true, "To": true,
			"MIME-Version": true, "Content-Type": true, "Content-Transfer-Encoding": true}
		for l := range strings.Lines(head) {
			name, _, ok := strings.Cut(l, ":")
			if l[0] != ' ' && (!ok || !known[name]) {
				t.Fatalf("header %q", l)
			}
			delete(known, name)
		}
		for l := range strings.Lines(head + "\n" + rest) {
			if len(l) > maxLine+1 || strings.ContainsFunc(strings.TrimSuffix(l, "\n"), func(c rune) bool { return c > 0x7e || c < ' ' }) && l != "\n" {
				t.Fatalf("line %q", l)
			}
		}
	})
}
