package replica

import (
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// tap is a TCP connection that can tell whether its reader has read everything
// that has arrived. A takeover asks: what the dead peer managed to send counts,
// and nothing is waited for beyond it.
type tap struct {
	*net.TCPConn
	raw     syscall.RawConn
	waiting atomic.Bool   // the reader found the socket empty and sleeps
	got     atomic.Uint64 // bytes read
	handled atomic.Uint64 // of them, when the reader last came for more
}

func newTap(c *net.TCPConn) (*tap, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return nil, err
	}
	t := &tap{TCPConn: c, raw: raw}
	if err := raw.Control(func(fd uintptr) { err = tune(int(fd)) }); err != nil {
		return nil, err
	}
	return t, err
}

// tune gives up a silent peer after 3 s, also with unacknowledged data under
// way. TCP_NODELAY is Go's default.
func tune(fd int) error {
	for _, o := range []struct{ level, name, value int }{
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 1},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, 3000},
	} {
		if err := unix.SetsockoptInt(fd, o.level, o.name, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

func (t *tap) Read(p []byte) (n int, err error) {
	if len(p) == 0 {
		return 0, nil
	}
	t.handled.Store(t.got.Load())
	rawErr := t.raw.Read(func(fd uintptr) bool {
		t.waiting.Store(false)
		for {
			n, err = unix.Read(int(fd), p)
			switch err {
			case unix.EINTR:
				continue
			case unix.EAGAIN:
				t.waiting.Store(true)
				return false
			}
			t.got.Add(uint64(max(n, 0)))
			return true
		}
	})
	switch {
	case rawErr != nil:
		n, err = 0, rawErr
	case err != nil:
		n, err = 0, os.NewSyscallError("read", err)
	case n == 0:
		err = io.EOF
	}
	if err != nil {
		t.waiting.Store(true) // for ever
	}
	return n, err
}

// queued is the number of bytes that have arrived and were not read.
func (t *tap) queued() (n int) {
	if err := t.raw.Control(func(fd uintptr) { n, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) }); err != nil {
		return 0 // closed: nothing more can come
	}
	return n
}

// drained tells whether the reader sleeps over an empty socket, or is gone. The
// order matters: if the socket was empty and the reader had not woken up yet,
// nothing was read in between.
func (t *tap) drained() bool {
	got := t.got.Load()
	return t.queued() == 0 && t.waiting.Load() && got == t.got.Load()
}

// await returns when the reader has handled all that has arrived. A peer that
// goes on sending is not waited for beyond the soft limit, what had arrived
// before the call is until the deadline.
func (t *tap) await(soft, deadline time.Time) {
	goal := t.got.Load() + uint64(t.queued())
	for pause := 20 * time.Microsecond; !t.drained(); pause = min(2*pause, time.Millisecond) {
		now := time.Now()
		if !now.Before(deadline) || !now.Before(soft) && t.handled.Load() >= goal {
			return
		}
		time.Sleep(pause)
	}
}
