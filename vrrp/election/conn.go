package election

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// linkBuffer is for both directions of the socket pair: a reload of thousands of
// addresses, or a daemon that does not read for a while.
const linkBuffer = 4 << 20

// ErrLost tells that the process at the other end of the link is gone.
var ErrLost = errors.New("the other process is gone")

// SocketPair makes the two ends of a link. Both are non-blocking and closed on
// exec; the one for the child is passed as an extra file.
func SocketPair() (mine, child *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("election: socket pair: %w", err)
	}
	for _, fd := range fds {
		for _, opt := range [][2]int{{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}, {unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}} {
			if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[0], linkBuffer) != nil {
				_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[1], linkBuffer)
			}
		}
	}
	return os.NewFile(uintptr(fds[0]), "link"), os.NewFile(uintptr(fds[1]), "link"), nil
}

// conn is the election's end of the link. Nothing it does waits.
type conn struct {
	fd  int
	buf []byte
}

// newConn takes the file. Its descriptor moves out of the runtime's poller: the
// loop does its own polling.
func newConn(file *os.File) (*conn, error) {
	defer file.Close()
	fd, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, fmt.Errorf("election: link: %w", err)
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("election: link: %w", err)
	}
	return &conn{fd: fd, buf: make([]byte, maxMessage)}, nil
}

// receive returns the next datagram, which is valid until the next call; nil
// without an error when there is none. ErrLost: the other end is gone.
func (c *conn) receive() ([]byte, error) {
	for {
		n, err := unix.Read(c.fd, c.buf)
		switch {
		case err == unix.EINTR:
		case err == unix.ECONNRESET:
			// The other end went without reading everything. The kernel says that
			// once, before it hands out the last words.
		case err == unix.EAGAIN:
			return nil, nil
		case err != nil:
			return nil, err
		case n == 0:
			return nil, ErrLost
		default:
			return c.buf[:n], nil
		}
	}
}

// send tells whether the datagram went out; false with a full socket.
func (c *conn) send(b []byte) bool {
	return unix.Sendto(c.fd, b, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, nil) == nil
}

// peer is the process at the other end of a link that it made.
func (c *conn) peer() (pid int, err error) {
	cred, err := unix.GetsockoptUcred(c.fd, unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return 0, fmt.Errorf("election: who is at the other end: %w", err)
	}
	return int(cred.Pid), nil
}

func (c *conn) close() { unix.Close(c.fd) }
