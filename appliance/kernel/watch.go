package kernel

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// EventKind says what a [Watcher] saw.
type EventKind uint8

// The kinds of events.
const (
	// LinkNew: the interface exists. Sent for each link when Run begins, and
	// when one is created or renamed to the name.
	LinkNew EventKind = iota + 1
	// LinkChanged: state, MAC or source address of the link changed.
	LinkChanged
	// LinkGone: no interface has the name any more.
	LinkGone
	// AddressLost: somebody else removed an address with our mark. Those that
	// go together with their link may be covered by LinkGone.
	AddressLost
	// RouteLost: somebody else removed a route with our mark, or put another in
	// the place of a route that may have been one. Those that the kernel removes
	// because their link goes down are not told: see LinkChanged.
	RouteLost
	// RuleLost: somebody else removed a routing rule with our mark.
	RuleLost
	// Overrun: notifications were lost. The watcher has read the links again
	// and sends what changed; what else is lost is found by the next Apply.
	Overrun
)

var eventWords = [...]string{
	LinkNew: "link-new", LinkChanged: "link-changed", LinkGone: "link-gone",
	AddressLost: "address-lost", RouteLost: "route-lost", RuleLost: "rule-lost", Overrun: "overrun",
}

// String returns the kind in lower case, as for a log line.
func (k EventKind) String() string {
	if int(k) < len(eventWords) && eventWords[k] != "" {
		return eventWords[k]
	}
	return "unknown"
}

// Event is one change that somebody else made.
type Event struct {
	Kind EventKind
	// Interface is the name; empty for Overrun, RouteLost and RuleLost.
	Interface string
	// Link is the present state (LinkNew, LinkChanged), the last one known
	// (LinkGone, AddressLost).
	Link Link
	// Prefix is the lost address in the form the kernel had it.
	Prefix netip.Prefix
	// Route is the key of the lost route, and Rule the lost rule.
	Route identity.RouteKey
	Rule  identity.Rule
}

// watchBuffer holds the notifications of thousands of addresses that change at
// once.
const watchBuffer = 4 << 20

// Watcher reports what others do to links and to addresses of ours.
type Watcher struct {
	file   *os.File // notifications
	read   *socket  // to look things up
	ignore uint32
	links  map[int]Link
	buf    []byte
}

// OpenWatcher starts to listen in the network namespace of the calling thread:
// what happens before Run is not lost. Addresses removed by the socket with the
// port ignore ([Applier.PortID]) are not reported.
func OpenWatcher(ignore uint32) (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", os.NewSyscallError("socket", err))
	}
	file := os.NewFile(uintptr(fd), "rtnetlink")
	// A large buffer is a nicety: without the right to force it the kernel's
	// limit applies, and an overrun is healed.
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, watchBuffer)
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, routeFilter()); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("kernel: %w", os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err))
	}
	const groups = 1<<(unix.RTNLGRP_LINK-1) | 1<<(unix.RTNLGRP_IPV4_IFADDR-1) | 1<<(unix.RTNLGRP_IPV6_IFADDR-1) |
		1<<(unix.RTNLGRP_IPV4_ROUTE-1) | 1<<(unix.RTNLGRP_IPV6_ROUTE-1) | 1<<(unix.RTNLGRP_IPV4_RULE-1) | 1<<(unix.RTNLGRP_IPV6_RULE-1)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("kernel: %w", os.NewSyscallError("bind", err))
	}
	read, err := openSocket()
	if err != nil {
		_ = file.Close()
		return nil, fmt.Errorf("kernel: rtnetlink: %w", err)
	}
	return &Watcher{
		file: file, read: read, ignore: ignore,
		links: make(map[int]Link), buf: make([]byte, receiveSize),
	}, nil
}

// Close releases the sockets; call it after Run has returned.
func (w *Watcher) Close() error { return errors.Join(w.file.Close(), w.read.close()) }

// Run calls fn for each event until ctx ends, which is not an error, or reading
// fails. It first reports each present link as LinkNew.
func (w *Watcher) Run(ctx context.Context, fn func(Event)) error {
	stop := context.AfterFunc(ctx, func() { _ = w.file.SetReadDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := w.reread(fn); err != nil {
		return fmt.Errorf("kernel: reading links: %w", err)
	}
	raw, err := w.file.SyscallConn()
	if err != nil {
		return fmt.Errorf("kernel: watch: %w", err)
	}
	touched := make(map[int]bool)
	for {
		var failed error
		// What is waiting is read whole before anything is looked up, so that
		// a burst about one link costs one look.
		err := raw.Read(func(fd uintptr) bool {
			failed = w.drain(int(fd), touched, fn)
			return len(touched) > 0 || failed != nil
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return fmt.Errorf("kernel: watch: %w", err)
		case errors.Is(failed, unix.ENOBUFS):
			fn(Event{Kind: Overrun})
			failed = w.reread(fn)
		case failed == nil:
			failed = w.look(touched, fn)
		}
		if failed != nil {
			return fmt.Errorf("kernel: watch: %w", failed)
		}
		clear(touched)
	}
}

// drain reads until nothing is left, reports lost addresses and notes which
// links to look at.
func (w *Watcher) drain(fd int, touched map[int]bool, fn func(Event)) error {
	for {
		n, from, err := unix.Recvfrom(fd, w.buf, unix.MSG_DONTWAIT)
		switch {
		case errors.Is(err, unix.EAGAIN):
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return err
		}
		if sa, ok := from.(*unix.SockaddrNetlink); !ok || sa.Pid != 0 {
			continue
		}
		for m := range messages(w.buf[:n]) {
			w.note(m, touched, fn)
		}
	}
}

func (w *Watcher) note(m message, touched map[int]bool, fn func(Event)) {
	switch m.typ {
	case unix.RTM_NEWROUTE, unix.RTM_DELROUTE:
		if r, ok := parseRoute(m.data); ok && m.port != w.ignore {
			fn(Event{Kind: RouteLost, Route: r.Key()})
		}
	case unix.RTM_DELRULE:
		if r, ok := parseRule(m.data); ok && m.port != w.ignore && r.ours() {
			fn(Event{Kind: RuleLost, Rule: r.canonical()})
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if l, ok := parseLink(m.data); ok {
			touched[l.Index] = true
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		h, ok := parseAddress(m.data)
		if !ok {
			return
		}
		if !h.ours {
			touched[h.index] = true
			return
		}
		l, known := w.links[h.index]
		if m.typ == unix.RTM_DELADDR && m.port != w.ignore && known {
			fn(Event{Kind: AddressLost, Interface: l.Name, Link: l, Prefix: h.prefix})
		}
	}
}

// look compares the touched links with what was last reported. Those that went
// come first, so that a link made again under its old name ends as new.
func (w *Watcher) look(touched map[int]bool, fn func(Event)) error {
	now := make(map[int]Link, len(touched))
	for i := range touched {
		l, err := w.read.link(i, "")
		switch {
		case err == nil:
			now[i] = l
		case !errors.Is(err, ErrNoInterface):
			return err
		}
	}
	for i := range touched {
		old, known := w.links[i]
		if known && now[i].Name != old.Name {
			delete(w.links, i)
			fn(Event{Kind: LinkGone, Interface: old.Name, Link: old})
		}
	}
	for i, l := range now {
		old, known := w.links[i]
		w.links[i] = l
		switch {
		case !known:
			fn(Event{Kind: LinkNew, Interface: l.Name, Link: l})
		case old != l:
			fn(Event{Kind: LinkChanged, Interface: l.Name, Link: l})
		}
	}
	return nil
}

// reread looks at every link there is or was.
func (w *Watcher) reread(fn func(Event)) error {
	all, err := w.read.links()
	if err != nil {
		return err
	}
	touched := make(map[int]bool, len(all))
	for i := range all {
		touched[i] = true
	}
	for i := range w.links {
		touched[i] = true
	}
	return w.look(touched, fn)
}
