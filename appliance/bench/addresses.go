package bench

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// addressWatch hears from a node's kernel which IPv4 addresses are added. The
// kernel does not stamp such news: each has the time at which it was read, by a
// thread of the real-time class.
type addressWatch struct {
	fd   int
	done chan struct{}

	mu    sync.Mutex
	added map[netip.Addr]time.Time // the last time
	err   error
}

func watchAddresses(n *lab.Node) (*addressWatch, error) {
	w := &addressWatch{fd: -1, done: make(chan struct{}), added: make(map[netip.Addr]time.Time)}
	err := n.Do(func() (err error) {
		if w.fd, err = unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE); err != nil {
			return err
		}
		if err := unix.SetsockoptInt(w.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 16<<20); err != nil {
			return err
		}
		// A read that ends from time to time is how it is stopped.
		if err := unix.SetsockoptTimeval(w.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Usec: 50_000}); err != nil {
			return err
		}
		return unix.Bind(w.fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: unix.RTMGRP_IPV4_IFADDR})
	})
	if err != nil {
		if w.fd >= 0 {
			unix.Close(w.fd)
		}
		return nil, fmt.Errorf("bench: watch addresses of %s: %w", n.Name, err)
	}
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		_ = urgently(func() error { w.read(); return nil }) // fails by w.err
	}()
	go func() {
		<-stopped
		unix.Close(w.fd)
	}()
	return w, nil
}

func (w *addressWatch) read() {
	buf := make([]byte, 64<<10)
	for {
		n, _, err := unix.Recvfrom(w.fd, buf, 0)
		now := time.Now()
		select {
		case <-w.done:
			return
		default:
		}
		switch {
		case errors.Is(err, unix.EAGAIN), errors.Is(err, unix.EINTR):
		case err != nil: // ENOBUFS: news was lost
			w.fail(err)
			return
		default:
			w.take(buf[:n], now)
		}
	}
}

func (w *addressWatch) take(b []byte, now time.Time) {
	msgs, err := syscall.ParseNetlinkMessage(b)
	if err != nil {
		w.fail(err)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for i := range msgs {
		if msgs[i].Header.Type != unix.RTM_NEWADDR {
			continue
		}
		attrs, err := syscall.ParseNetlinkRouteAttr(&msgs[i])
		if err != nil {
			continue
		}
		for _, a := range attrs {
			if a.Attr.Type == unix.IFA_LOCAL && len(a.Value) == 4 {
				w.added[netip.AddrFrom4([4]byte(a.Value))] = now
			}
		}
	}
}

func (w *addressWatch) fail(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = fmt.Errorf("bench: watch addresses: %w", err)
}

// span is when the first and the last of some addresses were added, after some
// moment.
func (w *addressWatch) span(of []netip.Addr, after time.Time) (first, last time.Time, err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.err != nil {
		return first, last, w.err
	}
	for _, a := range of {
		at, ok := w.added[a]
		if !ok || !at.After(after) {
			return first, last, fmt.Errorf("bench: the kernel did not tell of %v", a)
		}
		if first.IsZero() || at.Before(first) {
			first = at
		}
		if at.After(last) {
			last = at
		}
	}
	return first, last, nil
}

func (w *addressWatch) stop() { close(w.done) }
