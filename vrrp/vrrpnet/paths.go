package vrrpnet

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"
)

// Paths are the sockets of a node that has several addresses for its datagrams, one
// for each. Like [Datagrams] it never waits, does not allocate, and is for one
// goroutine.
type Paths struct {
	sockets []*Datagrams
	poll    int // readable while any socket is; -1: there is only one
	next    int // which socket is read first
}

// OpenPaths opens the sockets in the current network namespace. The addresses need
// not be there yet.
func OpenPaths(listen ...netip.AddrPort) (_ *Paths, err error) {
	p := &Paths{poll: -1}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	for _, a := range listen {
		d, err := OpenDatagrams(a)
		if err != nil {
			return nil, err
		}
		p.sockets = append(p.sockets, d)
	}
	if len(p.sockets) == 1 {
		return p, nil
	}
	if p.poll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, fmt.Errorf("vrrpnet: epoll: %w", err)
	}
	for _, d := range p.sockets {
		ev := unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(d.fd)}
		if err = unix.EpollCtl(p.poll, unix.EPOLL_CTL_ADD, d.fd, &ev); err != nil {
			return nil, fmt.Errorf("vrrpnet: epoll: %w", err)
		}
	}
	return p, nil
}

// FD is the descriptor to poll for reading.
func (p *Paths) FD() int {
	if p.poll >= 0 {
		return p.poll
	}
	return p.sockets[0].FD()
}

// Receive is [Datagrams.Receive] of any socket, of each in turn.
func (p *Paths) Receive(now time.Time) (b []byte, at time.Time, ok bool) {
	for range p.sockets {
		d := p.sockets[p.next]
		p.next = (p.next + 1) % len(p.sockets)
		if b, at, ok = d.Receive(now); ok {
			return b, at, ok
		}
	}
	return nil, time.Time{}, false
}

// Send sends a datagram by path number i: from that address, if it is of the family,
// else from the first that is.
func (p *Paths) Send(i int, to *Destination, b []byte) error {
	family := unix.AF_INET
	if to.addr.Addr().Is6() {
		family = unix.AF_INET6
	}
	if i < len(p.sockets) && p.sockets[i].family == family {
		return p.sockets[i].Send(to, b)
	}
	for _, d := range p.sockets {
		if d.family == family {
			return d.Send(to, b)
		}
	}
	return unix.EAFNOSUPPORT
}

// Close closes the sockets. It may be called twice.
func (p *Paths) Close() {
	for _, d := range p.sockets {
		d.Close()
	}
	if p.poll >= 0 {
		unix.Close(p.poll)
		p.poll = -1
	}
}
