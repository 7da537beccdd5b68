package probe

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"understudy/health"
	"understudy/health/sdnotify"
)

// WatchdogConfig is the socket at which a local service resets its timer.
type WatchdogConfig struct {
	Socket string // absolute path
	// UID, if not negative, is who may: the kernel says who sent a datagram, and
	// those of other users are passed over, root's excepted. Anybody can write to
	// the socket itself who can reach it.
	UID int
	// PIDFile, if set, names a file with the number of the one process that may.
	PIDFile string
	Check   int // its index
}

// Watchdog hears what a local service says by sd_notify(3): WATCHDOG=1 and READY=1
// are successes, WATCHDOG=trigger and STOPPING=1 put it down at once, and silence
// is a failure. A service that is half dead may still reset its timer: check what
// it does as well (kind = "all").
type Watchdog struct{ WatchdogConfig }

var _ Source = (*Watchdog)(nil)

// Run hears until ctx is done.
func (w *Watchdog) Run(ctx context.Context, emit func(check int, in health.Input)) {
	s := open(ctx, w.listen, func(err error) {
		emit(w.Check, health.Input{Kind: health.InResult, Why: fmt.Sprintf("watchdog %s: %v", w.Socket, plain(bare(err)))})
	})
	if s == nil {
		return
	}
	defer s.close()
	defer context.AfterFunc(ctx, func() { _ = s.conn.SetReadDeadline(time.Unix(1, 0)) })()
	buf, oob := make([]byte, sdnotify.MaxSize+1), make([]byte, 256)
	for {
		n, k, _, _, err := s.conn.ReadMsgUnix(buf, oob)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			time.Sleep(again)
			continue
		}
		if in, ok := w.take(buf[:n], oob[:k]); ok {
			emit(w.Check, in)
		}
	}
}

// take judges a datagram; false: it says nothing, or nobody may be believed who
// sent it.
func (w *Watchdog) take(b, oob []byte) (in health.Input, ok bool) {
	m, fine := sdnotify.Parse(b)
	if !fine || !w.believed(oob) {
		return in, false
	}
	in.Kind = health.InResult
	said := "it"
	if m.Status != "" {
		said = fmt.Sprintf("it (%s)", m.Status)
	}
	switch {
	case m.Trigger:
		in.Certain, in.Why = true, fmt.Sprintf("watchdog %s: %s asks to be taken for dead", w.Socket, said)
	case m.Stopping:
		in.Certain, in.Why = true, fmt.Sprintf("watchdog %s: %s stops", w.Socket, said)
	case m.Alive, m.Ready:
		in.OK = true
	default:
		return in, false
	}
	return in, true
}

// believed tells whether a sender may speak for the service, by what the kernel
// says of it.
func (w *Watchdog) believed(oob []byte) bool {
	if w.UID < 0 && w.PIDFile == "" {
		return true
	}
	who, ok := credentials(oob)
	if !ok || w.UID >= 0 && int(who.Uid) != w.UID && who.Uid != 0 {
		return false
	}
	if w.PIDFile == "" {
		return true
	}
	b, err := os.ReadFile(w.PIDFile)
	if err != nil {
		return false
	}
	pid, err := strconv.Atoi(string(bytes.TrimSpace(b)))
	return err == nil && pid > 0 && int(who.Pid) == pid
}

func credentials(oob []byte) (*unix.Ucred, bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return nil, false
	}
	for i := range messages {
		if c, err := unix.ParseUnixCredentials(&messages[i]); err == nil {
			return c, true
		}
	}
	return nil, false
}

// notifySocket is a socket with a name, and the name's number: another one may
// have taken the name since.
type notifySocket struct {
	conn *net.UnixConn
	path string
	made fs.FileInfo
}

// listen makes the socket beside its place and puts it there in one step, so that
// one which is there already is replaced without a moment in between.
func (w *Watchdog) listen() (_ *notifySocket, err error) {
	fresh := filepath.Join(filepath.Dir(w.Socket), fmt.Sprintf(".%s.%d", filepath.Base(w.Socket), os.Getpid()))
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if st, err := os.Lstat(w.Socket); err == nil && st.Mode().Type() != fs.ModeSocket {
		return nil, errors.New("there is something else")
	}
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: fresh, Net: "unixgram"})
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(fresh)
			conn.Close()
		}
	}()
	if err := os.Chmod(fresh, 0o666); err != nil {
		return nil, err
	}
	raw, err := conn.SyscallConn()
	if err != nil {
		return nil, err
	}
	var serr error
	if err := raw.Control(func(fd uintptr) { serr = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_PASSCRED, 1) }); err != nil || serr != nil {
		return nil, errors.Join(err, serr)
	}
	made, err := os.Lstat(fresh)
	if err != nil {
		return nil, err
	}
	return &notifySocket{conn, w.Socket, made}, os.Rename(fresh, w.Socket)
}

func (s *notifySocket) close() {
	s.conn.Close()
	if is, err := os.Lstat(s.path); err == nil && os.SameFile(is, s.made) {
		_ = os.Remove(s.path)
	}
}
