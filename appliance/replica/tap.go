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
	reads   atomic.Uint64 // reads that returned something
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
			t.reads.Add(1)
			return true
		}
	})
	switch {
	case rawErr != nil:
		return 0, rawErr
	case err != nil:
		return 0, os.NewSyscallError("read", err)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// drained tells whether the reader sleeps over an empty socket. The order
// matters: if the socket was empty and the reader had not woken up yet, nothing
// was read in between.
func (t *tap) drained() bool {
	reads := t.reads.Load()
	queued := 1
	err := t.raw.Control(func(fd uintptr) { queued, _ = unix.IoctlGetInt(int(fd), unix.SIOCINQ) })
	if err != nil {
		return true // closed: nothing more can come
	}
	return queued == 0 && t.waiting.Load() && reads == t.reads.Load()
}

// await returns when the reader has read all that has arrived, or at the
// deadline. A peer that goes on sending does not hold it up for longer.
func (t *tap) await(deadline time.Time) {
	for pause := 20 * time.Microsecond; !t.drained() && time.Now().Before(deadline); pause = min(2*pause, time.Millisecond) {
		time.Sleep(pause)
	}
}
