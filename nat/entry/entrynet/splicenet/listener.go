package splicenet

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/splice"
)

// Numbers of nfnetlink_log (linux/netfilter/nfnetlink_log.h).
const (
	nflogPacket  = unix.NFNL_SUBSYS_ULOG << 8 // NFULNL_MSG_PACKET
	nflogConfig  = nflogPacket | 1            // NFULNL_MSG_CONFIG
	nflogPayload = 9                          // NFULA_PAYLOAD

	nflogCommand  = 1 // NFULA_CFG_CMD
	nflogMode     = 2 // NFULA_CFG_MODE
	nflogBind     = 1 // NFULNL_CFG_CMD_BIND
	nflogCopy     = 2 // NFULNL_COPY_PACKET
	nfnetlinkHead = 4
)

const (
	listenerBuffer = 16 << 20
	listenerPoll   = 200 * time.Millisecond
	headerBytes    = 128
)

// Listener notes how far servers are. Its methods may be called from several goroutines.
type Listener struct {
	mu    sync.Mutex
	fd    int
	notes splice.Notes
	lost  uint64
	buf   [64 << 10]byte
}

// Listen opens a Listener of a group of nfnetlink_log, in the network namespace of the calling
// thread. Nobody else may have the group.
func Listen(group uint16) (*Listener, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_NETFILTER)
	if err != nil {
		return nil, fmt.Errorf("splicenet: %w", os.NewSyscallError("socket", err))
	}
	l := &Listener{fd: fd}
	if err := l.bind(group); err != nil {
		return nil, errors.Join(fmt.Errorf("splicenet: group %d of nfnetlink_log: %w", group, err), l.Close())
	}
	return l, nil
}

func (l *Listener) bind(group uint16) error {
	if err := unix.Bind(l.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	if unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, listenerBuffer) != nil {
		if err := unix.SetsockoptInt(l.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, listenerBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := l.ask(group, []byte{5, 0, nflogCommand, 0, nflogBind, 0, 0, 0}); err != nil {
		return err
	}
	mode := []byte{10, 0, nflogMode, 0, 0, 0, 0, headerBytes, nflogCopy, 0, 0, 0}
	return l.ask(group, mode)
}

// ask sends one configuration message and reads the answer to it.
func (l *Listener) ask(group uint16, attribute []byte) error {
	b := make([]byte, unix.NLMSG_HDRLEN+nfnetlinkHead, 64)
	binary.NativeEndian.PutUint16(b[4:], nflogConfig)
	binary.NativeEndian.PutUint16(b[6:], unix.NLM_F_REQUEST|unix.NLM_F_ACK)
	binary.BigEndian.PutUint16(b[unix.NLMSG_HDRLEN+2:], group)
	binary.NativeEndian.PutUint16(attribute, binary.LittleEndian.Uint16(attribute))
	binary.NativeEndian.PutUint16(attribute[2:], binary.LittleEndian.Uint16(attribute[2:]))
	b = append(b, attribute...)
	binary.NativeEndian.PutUint32(b, uint32(len(b)))
	if _, err := unix.Write(l.fd, b); err != nil {
		return os.NewSyscallError("send", err)
	}
	// The kernel has answered when write returns; packets may have come before it.
	for {
		n, err := unix.Read(l.fd, l.buf[:])
		if err != nil {
			return os.NewSyscallError("recv", err)
		}
		if answered, err := l.take(l.buf[:n]); answered {
			return err
		}
	}
}

// Close closes it.
func (l *Listener) Close() error { return os.NewSyscallError("close", unix.Close(l.fd)) }

// Run notes what comes until ctx is done.
func (l *Listener) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		if err := poll(listenerPoll, l.fd); err != nil {
			return fmt.Errorf("splicenet: %w", err)
		}
		l.mu.Lock()
		err := l.drain()
		l.mu.Unlock()
		if err != nil {
			return fmt.Errorf("splicenet: %w", err)
		}
	}
	return nil
}

// drain notes all that has come.
func (l *Listener) drain() error {
	for {
		n, err := unix.Read(l.fd, l.buf[:])
		switch err {
		case nil:
			_, _ = l.take(l.buf[:n]) // nothing was asked
		case unix.EINTR:
		case unix.EAGAIN:
			return nil
		case unix.ENOBUFS:
			l.lost++
			l.notes.Lost()
		default:
			return os.NewSyscallError("recv", err)
		}
	}
}

// take reads a datagram, and tells whether an answer was in it.
func (l *Listener) take(b []byte) (answered bool, err error) {
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			break
		}
		body := b[unix.NLMSG_HDRLEN:n]
		switch binary.NativeEndian.Uint16(b[4:]) {
		case unix.NLMSG_ERROR:
			if len(body) >= 4 {
				answered = true
				if code := int32(binary.NativeEndian.Uint32(body)); code != 0 {
					err = unix.Errno(-code)
				}
			}
		case nflogPacket:
			l.packet(body)
		}
		b = b[min((n+3)&^3, len(b)):]
	}
	return answered, err
}

func (l *Listener) packet(b []byte) {
	for b = b[min(nfnetlinkHead, len(b)):]; len(b) >= 4; {
		n := int(binary.NativeEndian.Uint16(b))
		if n < 4 || n > len(b) {
			return
		}
		if binary.NativeEndian.Uint16(b[2:])&0x3fff == nflogPayload {
			l.notes.Note(b[4:n])
			return
		}
		b = b[min((n+3)&^3, len(b)):]
	}
}

// Position is how far a server is on a connection, with all that has come until now.
func (l *Listener) Position(e splice.Ends) splice.Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.drain(); err != nil {
		return splice.Position{}
	}
	return l.notes.Position(e)
}

// Lost is how often packets were lost, and all notes with them.
func (l *Listener) Lost() uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.lost
}
