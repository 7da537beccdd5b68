package logs

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// JournalSocket is where journald listens.
const JournalSocket = "/run/systemd/journal/socket"

// patience is how long a record may wait for a journald that is busy; then it is lost.
const patience = 100 * time.Millisecond

// journal sends records to journald in its own protocol: a field for each attribute, named
// UNDERSTUDY_ and the attribute's name, so that `journalctl UNDERSTUDY_GROUP=gateway` finds what
// concerns a group.
type journal struct {
	out    *journalConn
	ident  string
	level  slog.Leveler
	fields []field // of WithAttrs
	group  string  // "group_"
}

type field struct{ name, text, value string }

type journalConn struct {
	mu   sync.Mutex
	conn *net.UnixConn
	path string
	b    bytes.Buffer
}

// NewJournal returns a handler that writes to journald's socket.
func NewJournal(socket, ident string, level slog.Leveler) (slog.Handler, error) {
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		return nil, fmt.Errorf("logs: %w", err)
	}
	return &journal{out: &journalConn{conn: c, path: socket}, ident: ident, level: level}, nil
}

func (h *journal) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *journal) Handle(_ context.Context, r slog.Record) error {
	fields := h.fields[:len(h.fields):len(h.fields)]
	r.Attrs(func(a slog.Attr) bool {
		fields = appendFields(fields, h.group, a)
		return true
	})
	message := r.Message
	for _, f := range fields {
		message += " " + f.text + "=" + quoted(f.value)
	}
	h.out.mu.Lock()
	defer h.out.mu.Unlock()
	b := &h.out.b
	b.Reset()
	put(b, "MESSAGE", message)
	put(b, "PRIORITY", priority(r.Level))
	put(b, "SYSLOG_IDENTIFIER", h.ident)
	for _, f := range fields {
		put(b, f.name, f.value)
	}
	return h.out.send()
}

func (h *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	c.fields = c.fields[:len(c.fields):len(c.fields)]
	for _, a := range attrs {
		c.fields = appendFields(c.fields, h.group, a)
	}
	return &c
}

func (h *journal) WithGroup(name string) slog.Handler {
	c := *h
	c.group += name + "_"
	return &c
}

func appendFields(to []field, group string, a slog.Attr) []field {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		for _, inner := range v.Group() {
			to = appendFields(to, group+a.Key+"_", inner)
		}
		return to
	}
	if a.Key == "" {
		return to
	}
	return append(to, field{"UNDERSTUDY_" + fieldName(group+a.Key), group + a.Key, v.String()})
}

// fieldName is a name that journald takes: capital letters, digits, underscores.
func fieldName(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		}
		return '_'
	}, s[:min(len(s), 50)])
}

func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=\n\t") {
		return fmt.Sprintf("%q", s)
	}
	return s
}

// priority is the level as syslog counts it.
func priority(l slog.Level) string {
	switch {
	case l >= slog.LevelError:
		return "3"
	case l >= slog.LevelWarn:
		return "4"
	case l >= slog.LevelInfo:
		return "6"
	}
	return "7"
}

// put writes a field: in a line, or with its length before it if it has lines itself.
func put(b *bytes.Buffer, name, value string) {
	b.WriteString(name)
	if strings.Contains(value, "\n") {
		b.WriteByte('\n')
		_ = binary.Write(b, binary.LittleEndian, uint64(len(value)))
	} else {
		b.WriteByte('=')
	}
	b.WriteString(value)
	b.WriteByte('\n')
}

// send sends what is in the buffer; what no datagram can hold goes as a file. A journald
// that was restarted is called anew.
func (c *journalConn) send() error {
	err := c.write()
	if errors.Is(err, unix.ECONNREFUSED) || errors.Is(err, unix.ENOTCONN) {
		if again, dialErr := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: c.path, Net: "unixgram"}); dialErr == nil {
			c.conn.Close()
			c.conn = again
			err = c.write()
		}
	}
	return err
}

func (c *journalConn) write() error {
	_ = c.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := c.conn.Write(c.b.Bytes())
	if errors.Is(err, unix.EMSGSIZE) || errors.Is(err, unix.ENOBUFS) {
		return c.writeFile()
	}
	return err
}

func (c *journalConn) writeFile() error {
	fd, err := unix.MemfdCreate("understudy-log", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return err
	}
	f := os.NewFile(uintptr(fd), "understudy-log")
	defer f.Close()
	if _, err := f.Write(c.b.Bytes()); err != nil {
		return err
	}
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE|unix.F_SEAL_SEAL); err != nil {
		return err
	}
	raw, err := c.conn.SyscallConn()
	if err != nil {
		return err
	}
	var sendErr error
	err = raw.Write(func(to uintptr) bool {
		sendErr = unix.Sendmsg(int(to), nil, unix.UnixRights(fd), nil, 0)
		return sendErr != unix.EAGAIN
	})
	return errors.Join(err, sendErr)
}
