package bench

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// A call is one flow of very many, on a bare socket: a thousand of them begun in
// a second must leave the processors to the gateways.
type call struct {
	class string
	key   session.Key   // of its original direction, as the gateway sees it
	born  time.Time     // when it was what gateways tell each other of
	took  time.Duration // from the first packet to the first answer
	fd    int
	id    int    // who it says it is
	said  string // what the far end said of it; "": nothing yet
	rest  []byte // of an answer under way
	mute  bool   // it does not ask: the far end speaks first
	err   error  // why it is lost; nil: not known to be
	moved string // what the far end said later, if that was something else
	done  bool
}

// caller is how calls of a class are made.
type caller struct {
	class string
	from  netip.Addr
	to    netip.AddrPort
	proto int // unix.IPPROTO_TCP or unix.IPPROTO_UDP
}

// callPatience bounds each step of a call that is made.
const callPatience = time.Second

// open makes a call and asks the far end about it, once. It must run in the node's
// namespace, and blocks. A call that stands but has no answer yet is one.
func (c caller) open(id int) (*call, error) {
	typ := unix.SOCK_STREAM
	if c.proto == unix.IPPROTO_UDP {
		typ = unix.SOCK_DGRAM
	}
	fd, err := unix.Socket(unix.AF_INET, typ|unix.SOCK_CLOEXEC, c.proto)
	if err != nil {
		return nil, fmt.Errorf("bench: call: %w", err)
	}
	k := &call{class: c.class, fd: fd, id: id}
	if err := k.connect(c); err != nil {
		k.close()
		return nil, fmt.Errorf("bench: call %s to %s: %w", c.class, c.to, err)
	}
	return k, nil
}

func (k *call) connect(c caller) error {
	tv := unix.NsecToTimeval(int64(callPatience))
	for _, o := range []int{unix.SO_SNDTIMEO, unix.SO_RCVTIMEO} {
		if err := unix.SetsockoptTimeval(k.fd, unix.SOL_SOCKET, o, &tv); err != nil {
			return err
		}
	}
	// Closed is closed: no flow is to end on its own after it was given up.
	if err := unix.SetsockoptLinger(k.fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}); err != nil {
		return err
	}
	if err := unix.Bind(k.fd, &unix.SockaddrInet4{Addr: c.from.As4()}); err != nil {
		return err
	}
	began := time.Now()
	if err := unix.Connect(k.fd, &unix.SockaddrInet4{Addr: c.to.Addr().As4(), Port: int(c.to.Port())}); err != nil {
		return err
	}
	k.born = time.Now()
	sa, err := unix.Getsockname(k.fd)
	if err != nil {
		return err
	}
	own, ok := sa.(*unix.SockaddrInet4)
	if !ok {
		return fmt.Errorf("address of another family: %T", sa)
	}
	k.key = key(c.from, uint16(own.Port), c.to.Addr(), c.to.Port())
	k.key.Proto = uint8(c.proto)
	if err := k.ask(); err != nil {
		return err
	}
	err = k.listen()
	if c.proto == unix.IPPROTO_UDP {
		if err != nil {
			return err
		}
		k.took = time.Since(began)
		k.born = time.Now() // a datagram counts when it is answered
		return nil
	}
	if err == unix.EAGAIN {
		return nil
	}
	return err
}

// ask says one line to the far end.
func (k *call) ask() error {
	line := fmt.Appendf(nil, "%d\n", k.id)
	for {
		if _, err := unix.Write(k.fd, line); err != unix.EINTR {
			return err
		}
	}
}

// listen reads once, and takes the lines that are complete.
func (k *call) listen() error {
	var b [128]byte
	n, err := unix.Read(k.fd, b[:])
	for err == unix.EINTR {
		n, err = unix.Read(k.fd, b[:])
	}
	switch {
	case err != nil:
		return err
	case n == 0:
		return errClosed
	}
	k.rest = append(k.rest, b[:n]...)
	for {
		line, rest, ok := bytes.Cut(k.rest, []byte{'\n'})
		if !ok {
			return nil
		}
		k.hear(string(line))
		k.rest = rest
	}
}

// hear takes an answer.
func (k *call) hear(line string) {
	switch k.said {
	case "":
		k.said = line
	case line:
	default:
		k.moved = line
	}
	k.done = true
}

func (k *call) close() { _ = unix.Close(k.fd) }

// askAll asks the far end about every call, and gives each until the deadline to
// hear of it what it heard before. Calls that are mute are only listened to.
func askAll(calls []*call, deadline time.Time) error {
	open := make([]*call, 0, len(calls))
	for _, k := range calls {
		k.done = false
		if err := unix.SetNonblock(k.fd, true); err != nil {
			return fmt.Errorf("bench: call: %w", err)
		}
		if !k.mute {
			if err := k.ask(); err != nil {
				k.lose(err)
				continue
			}
		}
		open = append(open, k)
	}
	fds := make([]unix.PollFd, 0, len(open))
	repeat := time.Now().Add(askAgain)
	for {
		open, fds = waiting(open, fds)
		now := time.Now()
		if len(open) == 0 {
			return nil
		}
		if !now.Before(deadline) {
			for _, k := range open {
				k.lose(errNoAnswer)
			}
			return nil
		}
		if now.After(repeat) {
			repeat = now.Add(askAgain)
			for _, k := range open {
				if k.key.Proto == unix.IPPROTO_UDP {
					_ = k.ask() // a datagram may be lost, and its error be about an earlier one
				}
			}
		}
		if _, err := unix.Poll(fds, int(askAgain/time.Millisecond)); err != nil && err != unix.EINTR {
			return fmt.Errorf("bench: poll: %w", err)
		}
		for i, k := range open {
			if fds[i].Revents == 0 {
				continue
			}
			if err := k.listen(); err != nil && err != unix.EAGAIN && (k.key.Proto == unix.IPPROTO_TCP || err != unix.ECONNREFUSED) {
				k.lose(err)
			}
		}
	}
}

// askAgain is when a datagram that was not answered is sent anew.
const askAgain = 200 * time.Millisecond

// Ways to be lost.
var (
	errNoAnswer = errors.New("no answer")
	errClosed   = errors.New("the far end has closed it")
)

func (k *call) lose(err error) { k.err, k.done = err, true }

// waiting leaves those of open that have not heard yet, and what to poll for them.
func waiting(open []*call, fds []unix.PollFd) ([]*call, []unix.PollFd) {
	n := 0
	fds = fds[:0]
	for _, k := range open {
		if !k.done {
			open[n] = k
			n++
			fds = append(fds, unix.PollFd{Fd: int32(k.fd), Events: unix.POLLIN})
		}
	}
	return open[:n], fds
}

// halve says that the caller has said all: the connection is half closed.
func (k *call) halve() error {
	k.mute = true
	if err := unix.Shutdown(k.fd, unix.SHUT_WR); err != nil {
		return fmt.Errorf("bench: call: %w", err)
	}
	return nil
}

// number is who the caller is to the far end.
func (k *call) number() int { return numberOf(k.said) }

func (k *call) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s:%d > %s:%d", k.class, k.key.Src.Netip(4), k.key.SrcPort, k.key.Dst.Netip(4), k.key.DstPort)
	switch {
	case k.err != nil:
		fmt.Fprintf(&b, " lost: %v", k.err)
	case k.moved != "":
		fmt.Fprintf(&b, " was %q, is %q", k.said, k.moved)
	}
	return b.String()
}
