package election

import (
	"encoding/binary"
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// NetlinkBatch is a prepared piece of work for the kernel: whole netlink
// messages, host byte order where netlink has it, sent in one call. A batch of
// NETLINK_NETFILTER is one transaction with its begin and end. Sequence numbers
// are filled in when it is executed.
type NetlinkBatch struct {
	Family int // unix.NETLINK_ROUTE or unix.NETLINK_NETFILTER
	Bytes  []byte
}

// Executor sends batches on sockets that were opened beforehand, so that a box
// in trouble (no memory, no descriptors) can still let go. It is for one
// goroutine.
type Executor struct {
	route, filter int
	seq           uint32
	buf           []byte
}

// Result is what became of a batch.
type Result struct {
	Messages int
	Absent   int // what was to be removed was not there
	Failed   int
	Err      error // the first failure
}

// Add joins two results.
func (r Result) Add(o Result) Result {
	r.Messages += o.Messages
	r.Absent += o.Absent
	r.Failed += o.Failed
	if r.Err == nil {
		r.Err = o.Err
	}
	return r
}

// executorBuffer holds a message and an answer to each of several thousand.
const executorBuffer = 8 << 20

// NewExecutor opens the sockets, in the current network namespace.
func NewExecutor() (*Executor, error) {
	e := &Executor{route: -1, filter: -1, buf: make([]byte, 64<<10)}
	for _, s := range []struct {
		fd     *int
		family int
	}{{&e.route, unix.NETLINK_ROUTE}, {&e.filter, unix.NETLINK_NETFILTER}} {
		fd, err := openNetlink(s.family)
		if err != nil {
			e.Close()
			return nil, err
		}
		*s.fd = fd
	}
	return e, nil
}

func openNetlink(family int) (int, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, family)
	if err != nil {
		return -1, fmt.Errorf("election: netlink socket of family %d: %w", family, err)
	}
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		unix.Close(fd)
		return -1, fmt.Errorf("election: bind netlink socket of family %d: %w", family, err)
	}
	for _, opt := range [][2]int{{unix.SO_SNDBUFFORCE, unix.SO_SNDBUF}, {unix.SO_RCVBUFFORCE, unix.SO_RCVBUF}} {
		if unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[0], executorBuffer) != nil {
			_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, opt[1], executorBuffer)
		}
	}
	// Answers without a copy of the request: a thousand of them fit.
	_ = unix.SetsockoptInt(fd, unix.SOL_NETLINK, unix.NETLINK_CAP_ACK, 1)
	return fd, nil
}

// Close closes the sockets.
func (e *Executor) Close() {
	for _, fd := range []*int{&e.route, &e.filter} {
		if *fd >= 0 {
			unix.Close(*fd)
			*fd = -1
		}
	}
}

// Run executes batches in order, each whatever became of the one before: of a
// fence that cannot be had whole, every part is worth having. It writes sequence
// numbers into the batches. The kernel works during the send, so the answers are
// there when it returns and nothing waits.
func (e *Executor) Run(batches []NetlinkBatch) (all Result) {
	for _, b := range batches {
		all = all.Add(e.run(b))
	}
	return all
}

func (e *Executor) run(b NetlinkBatch) (r Result) {
	fd := e.route
	switch b.Family {
	case unix.NETLINK_ROUTE:
	case unix.NETLINK_NETFILTER:
		fd = e.filter
	default:
		return Result{Failed: 1, Err: fmt.Errorf("election: netlink family %d: %w", b.Family, unix.EAFNOSUPPORT)}
	}
	first := e.seq + 1
	last := -1 // where the last message starts
	for off := 0; len(b.Bytes)-off >= unix.NLMSG_HDRLEN; {
		n := int(binary.NativeEndian.Uint32(b.Bytes[off:]))
		if n < unix.NLMSG_HDRLEN || n > len(b.Bytes)-off {
			return Result{Failed: 1, Err: fmt.Errorf("election: netlink batch: %w", errWire)}
		}
		e.seq++
		binary.NativeEndian.PutUint32(b.Bytes[off+8:], e.seq)
		r.Messages++
		last = off
		off += (n + unix.NLMSG_ALIGNTO - 1) &^ (unix.NLMSG_ALIGNTO - 1)
	}
	if last < 0 {
		return r
	}
	// One answer at the end tells that the kernel came that far. A transaction
	// has its own way, which its maker knows.
	confirm := b.Family == unix.NETLINK_ROUTE
	if confirm {
		flags := binary.NativeEndian.Uint16(b.Bytes[last+6:])
		binary.NativeEndian.PutUint16(b.Bytes[last+6:], flags|unix.NLM_F_ACK)
	}
	e.answers(fd, b.Family, first, nil) // left-overs
	if err := unix.Sendto(fd, b.Bytes, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK}); err != nil {
		r.Failed++
		r.Err = fmt.Errorf("election: send netlink batch: %w", err)
		return r
	}
	if seen := e.answers(fd, b.Family, first, &r); confirm && !seen && r.Err == nil {
		r.Failed++
		r.Err = errNoAnswer
	}
	return r
}

var errNoAnswer = errors.New("election: the kernel did not answer a netlink batch")

// answers reads until there is nothing more, and tells whether the last message
// was answered.
func (e *Executor) answers(fd, family int, first uint32, r *Result) (confirmed bool) {
	for {
		n, err := unix.Read(fd, e.buf)
		switch err {
		case nil:
		case unix.EINTR:
			continue
		case unix.EAGAIN:
			return confirmed
		default: // ENOBUFS: answers were lost
			if r != nil {
				r.Failed++
				r.Err = fmt.Errorf("election: read netlink answers: %w", err)
			}
			if err != unix.ENOBUFS {
				return confirmed
			}
			continue
		}
		for b := e.buf[:n]; len(b) >= unix.NLMSG_HDRLEN+4; {
			n := int(binary.NativeEndian.Uint32(b))
			if n < unix.NLMSG_HDRLEN || n > len(b) {
				break
			}
			kind, seq := binary.NativeEndian.Uint16(b[4:]), binary.NativeEndian.Uint32(b[8:])
			if r != nil && kind == unix.NLMSG_ERROR && n >= unix.NLMSG_HDRLEN+4 && int32(seq-first) >= 0 {
				confirmed = confirmed || seq == e.seq
				errno := unix.Errno(-int32(binary.NativeEndian.Uint32(b[unix.NLMSG_HDRLEN:])))
				r.count(family, errno)
			}
			b = b[min((n+unix.NLMSG_ALIGNTO-1)&^(unix.NLMSG_ALIGNTO-1), len(b)):]
		}
	}
}

// count sorts an answer. Routing messages are each on their own, and what is to
// be removed may be gone already, with its interface for example. In a
// transaction any error means that nothing was done.
func (r *Result) count(family int, errno unix.Errno) {
	if errno == 0 {
		return
	}
	if family == unix.NETLINK_ROUTE {
		switch errno {
		case unix.EADDRNOTAVAIL, unix.ENODEV, unix.ESRCH, unix.ENOENT:
			r.Absent++
			return
		}
	}
	r.Failed++
	if r.Err == nil {
		r.Err = fmt.Errorf("election: netlink: %w", errno)
	}
}
