package dropin

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"log/syslog"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Idents of log lines.
const (
	IdentParent = "Keepalived"
	IdentVRRP   = "Keepalived_vrrp"
)

// facilities of -S, beside 0 to 7 and local0 to local7.
var facilities = map[string]syslog.Priority{
	"kern": syslog.LOG_KERN, "user": syslog.LOG_USER, "mail": syslog.LOG_MAIL, "daemon": syslog.LOG_DAEMON, "auth": syslog.LOG_AUTH,
	"syslog": syslog.LOG_SYSLOG, "lpr": syslog.LOG_LPR, "news": syslog.LOG_NEWS, "uucp": syslog.LOG_UUCP, "cron": syslog.LOG_CRON,
	"authpriv": syslog.LOG_AUTHPRIV, "ftp": syslog.LOG_FTP,
}

func facility(name string) (syslog.Priority, error) {
	if name == "" {
		return syslog.LOG_DAEMON, nil
	}
	if p, ok := facilities[strings.ToLower(name)]; ok {
		return p, nil
	}
	n, err := strconv.Atoi(strings.TrimPrefix(name, "local"))
	if err != nil || n < 0 || n > 7 {
		return 0, fmt.Errorf("invalid log facility '%s'", name)
	}
	return syslog.LOG_LOCAL0 + syslog.Priority(n)<<3, nil
}

// NewHandler returns where the lines of a process go: to the console, to a file, to
// syslog, as the command line says. One that stays in the foreground, where there is
// no syslog, writes to the console, so that nothing is lost in a container.
func NewHandler(o Options, ident string, level slog.Leveler) (slog.Handler, error) {
	h := &handler{out: &output{}, level: level}
	if !o.NoSyslog && !o.ConfigTest {
		f, err := facility(o.Facility)
		if err != nil {
			return nil, err
		}
		h.out.syslog, err = syslog.New(f|syslog.LOG_INFO, ident)
		if err != nil && o.Foreground {
			h.out.console = os.Stderr
		}
	}
	if o.Console {
		h.out.console = os.Stderr
	}
	if o.LogFile != "" {
		f, err := os.OpenFile(logFile(o.LogFile, ident), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o644)
		if err != nil {
			return nil, fmt.Errorf("log file: %w", err)
		}
		h.out.file = f
	}
	return h, nil
}

// logFile is the file of an ident: "_vrrp" is put before the suffix.
func logFile(path, ident string) string {
	part := strings.TrimPrefix(ident, IdentParent)
	ext := filepath.Ext(path)
	return strings.TrimSuffix(path, ext) + part + ext
}

// output is written to by all handlers of a process.
type output struct {
	mu      sync.Mutex
	syslog  *syslog.Writer
	console io.Writer
	file    io.Writer
}

// handler writes a record as keepalived writes a line: the message, and what else
// there is behind it.
type handler struct {
	out   *output
	level slog.Leveler
	attrs string // " key=value …", of With
	group string // "group."
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString(r.Message)
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool { appendAttr(&b, h.group, a); return true })
	at := r.Time
	if at.IsZero() {
		at = time.Now()
	}
	return h.out.write(at, r.Level, oneLine(b.String()))
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		appendAttr(&b, h.group, a)
	}
	out := *h
	out.attrs = b.String()
	return &out
}

func (h *handler) WithGroup(name string) slog.Handler {
	out := *h
	out.group += name + "."
	return &out
}

func appendAttr(b *strings.Builder, group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case v.Kind() == slog.KindGroup:
		for _, inner := range v.Group() {
			appendAttr(b, group+a.Key+".", inner)
		}
	default:
		text := v.String()
		if text == "" || strings.ContainsAny(text, " \t\n\"=") {
			text = strconv.Quote(text)
		}
		fmt.Fprintf(b, " %s%s=%s", group, a.Key, text)
	}
}

// oneLine keeps what others have written from making lines of its own.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// stamp is how keepalived writes the time on a console and in a file.
const stamp = "Mon Jan _2 15:04:05 2006"

func (o *output) write(at time.Time, l slog.Level, line string) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, w := range []io.Writer{o.console, o.file} {
		if w != nil {
			fmt.Fprintf(w, "%s: %s\n", at.Format(stamp), line)
		}
	}
	if o.syslog == nil {
		return nil
	}
	switch {
	case l >= slog.LevelError:
		return o.syslog.Err(line)
	case l >= slog.LevelWarn:
		return o.syslog.Warning(line)
	case l < slog.LevelInfo:
		return o.syslog.Debug(line)
	}
	return o.syslog.Info(line)
}
