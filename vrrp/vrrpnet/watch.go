package vrrpnet

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"golang.org/x/sys/unix"
)

// Watcher follows the watched interfaces through deletion, re-creation, renaming
// and loss of messages. It is for one goroutine.
//
// After messages were lost (ENOBUFS) and when an interface appears it asks the
// kernel for everything again; the answers come through the same socket as the
// notices, in order with them, so nothing ever waits.
type Watcher struct {
	fd    int
	buf   []byte
	links links
	dump  dump
	again bool // ask once more when the running dump has ended
	seq   uint32
	lost  uint64
}

// dump is what the kernel is answering at the moment.
type dump uint8

const (
	dumpNone dump = iota
	dumpLinks
	dumpAddresses
)

// OpenWatcher starts to watch. ours is the protocol number that marks addresses
// put into the kernel by this program; they never become primary.
func OpenWatcher(ours uint8, watch []Interface) (*Watcher, error) {
	fd, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("vrrpnet: rtnetlink socket: %w", err)
	}
	w := &Watcher{fd: fd, buf: make([]byte, 64<<10)}
	w.links.ours = ours
	// A takeover adds addresses by the thousand, each of them a notice.
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) != nil {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, receiveBuffer)
	}
	groups := uint32(unix.RTMGRP_LINK | unix.RTMGRP_IPV4_IFADDR | unix.RTMGRP_IPV6_IFADDR)
	if err := unix.Bind(fd, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: groups}); err != nil {
		unix.Close(fd)
		return nil, fmt.Errorf("vrrpnet: rtnetlink bind: %w", err)
	}
	if err := w.Watch(watch); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return w, nil
}

// Watch replaces the list of watched interfaces. The next Drain tells of every
// one of them; those that stay keep their primary address if they can.
func (w *Watcher) Watch(watch []Interface) error {
	before := w.links.now
	w.links.names = slices.Clone(watch)
	w.links.now = make([]Link, len(watch))
	w.links.told = make([]bool, len(watch))
	for i := range watch {
		for _, l := range before {
			if l.Name == watch[i].Name {
				w.links.now[i] = l
			}
		}
	}
	w.links.known = nil // positions have changed
	return w.ask()
}

// FD is the descriptor to poll for reading.
func (w *Watcher) FD() int { return w.fd }

// Lost counts the times that messages were lost and everything was asked again.
func (w *Watcher) Lost() uint64 { return w.lost }

// Close ends the watch.
func (w *Watcher) Close() {
	if w.fd >= 0 {
		unix.Close(w.fd)
		w.fd = -1
	}
}

// Drain reads what there is and calls fn for each watched interface that is no
// longer as it was told last; at first that is every one, whether it exists or
// not. It does not wait.
func (w *Watcher) Drain(fn func(Link)) error {
	for tries := 0; ; {
		n, err := unix.Read(w.fd, w.buf) // one datagram, and no sender address to allocate
		switch err {
		case nil:
			if err := w.messages(w.buf[:n]); err != nil {
				return err
			}
		case unix.EINTR:
		case unix.ENOBUFS:
			w.lost++
			w.again = true
		case unix.EAGAIN:
			// The kernel answers while it is being read, so a dump that has not
			// ended by now was refused, or its end was lost.
			if !w.again && w.dump == dumpNone {
				w.links.report(fn)
				return nil
			}
			w.dump = dumpNone
			if tries++; tries > 3 {
				w.again = true
				return nil // half a picture is not told; the next notice tries again
			}
			if err := w.ask(); err != nil {
				return err
			}
		default:
			return fmt.Errorf("vrrpnet: rtnetlink receive: %w", err)
		}
	}
}

func (w *Watcher) messages(b []byte) error {
	for len(b) >= unix.NLMSG_HDRLEN {
		n := int(binary.NativeEndian.Uint32(b))
		if n < unix.NLMSG_HDRLEN || n > len(b) {
			return nil
		}
		if err := w.message(b[:n]); err != nil {
			return err
		}
		b = b[min(align(n), len(b)):]
	}
	return nil
}

func (w *Watcher) message(m []byte) error {
	kind := binary.NativeEndian.Uint16(m[4:])
	seq := binary.NativeEndian.Uint32(m[8:])
	if binary.NativeEndian.Uint16(m[6:])&unix.NLM_F_DUMP_INTR != 0 {
		w.again = true
	}
	body := m[unix.NLMSG_HDRLEN:]
	switch kind {
	case unix.NLMSG_DONE:
		if seq == w.seq {
			return w.answered()
		}
	case unix.NLMSG_ERROR: // refused, for one because an older dump is still running
		if seq == w.seq {
			w.dump, w.again = dumpNone, true
		}
	case unix.RTM_NEWLINK, unix.RTM_DELLINK:
		if w.link(body, kind == unix.RTM_DELLINK) && w.dump != dumpLinks {
			w.again = true // its addresses were told before we knew that we care
		}
	case unix.RTM_NEWADDR, unix.RTM_DELADDR:
		w.address(body, kind == unix.RTM_DELADDR)
	}
	return nil
}

// ask starts a dump of everything.
func (w *Watcher) ask() error {
	w.again = false
	w.links.round++
	return w.request(dumpLinks, unix.RTM_GETLINK)
}

func (w *Watcher) answered() error {
	switch w.dump {
	case dumpLinks:
		return w.request(dumpAddresses, unix.RTM_GETADDR)
	case dumpAddresses:
		w.dump = dumpNone
		if !w.again { // else Drain asks once more, when it has read everything
			w.links.sweep()
		}
	}
	return nil
}

func (w *Watcher) request(d dump, kind uint16) error {
	w.seq++
	w.dump = d
	// An ifinfomsg is the longer of the two headers; the rest is zero: all families.
	var m [unix.NLMSG_HDRLEN + unix.SizeofIfInfomsg]byte
	binary.NativeEndian.PutUint32(m[0:], uint32(len(m)))
	binary.NativeEndian.PutUint16(m[4:], kind)
	binary.NativeEndian.PutUint16(m[6:], unix.NLM_F_REQUEST|unix.NLM_F_DUMP)
	binary.NativeEndian.PutUint32(m[8:], w.seq)
	if _, err := unix.Write(w.fd, m[:]); err != nil {
		w.dump = dumpNone
		return fmt.Errorf("vrrpnet: rtnetlink request: %w", err)
	}
	return nil
}

// link takes in an ifinfomsg.
func (w *Watcher) link(b []byte, gone bool) (fresh bool) {
	if len(b) < unix.SizeofIfInfomsg {
		return false
	}
	index := int(int32(binary.NativeEndian.Uint32(b[4:])))
	if b[0] == unix.AF_BRIDGE {
		return false // a bridge port's own message: the port is not gone when it leaves
	}
	if gone {
		w.links.removeLink(index)
		return false
	}
	const up = unix.IFF_UP | unix.IFF_RUNNING | unix.IFF_LOWER_UP
	flags := binary.NativeEndian.Uint32(b[8:])
	var name []byte
	var mac MAC
	attributes(b[unix.SizeofIfInfomsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFLA_IFNAME:
			name = v[:max(len(v)-1, 0)] // ends in a zero byte
		case unix.IFLA_ADDRESS:
			if len(v) == len(mac) {
				mac = MAC(v)
			}
		}
	})
	return w.links.setLink(index, name, mac, flags&up == up)
}

// ifaProto is IFA_PROTO: who put an address there. Linux 5.18.
const ifaProto = 11

// address takes in an ifaddrmsg.
func (w *Watcher) address(b []byte, gone bool) {
	if len(b) < unix.SizeofIfAddrmsg {
		return
	}
	bits, flags := int(b[1]), uint32(b[2])
	index := int(int32(binary.NativeEndian.Uint32(b[4:])))
	var local, addr netip.Addr
	var proto uint8
	attributes(b[unix.SizeofIfAddrmsg:], func(kind uint16, v []byte) {
		switch kind {
		case unix.IFA_ADDRESS: // the far end on a point-to-point link
			addr, _ = netip.AddrFromSlice(v)
		case unix.IFA_LOCAL:
			local, _ = netip.AddrFromSlice(v)
		case unix.IFA_FLAGS:
			if len(v) == 4 {
				flags = binary.NativeEndian.Uint32(v)
			}
		case ifaProto:
			if len(v) == 1 {
				proto = v[0]
			}
		}
	})
	if !local.IsValid() {
		local = addr
	}
	p := netip.PrefixFrom(local, bits)
	if !p.IsValid() {
		return
	}
	if gone {
		w.links.removeAddress(index, p)
		return
	}
	w.links.setAddress(index, p, proto, flags&(unix.IFA_F_TENTATIVE|unix.IFA_F_DADFAILED) != 0)
}

func attributes(b []byte, fn func(kind uint16, value []byte)) {
	for len(b) >= unix.SizeofRtAttr {
		n := int(binary.NativeEndian.Uint16(b))
		if n < unix.SizeofRtAttr || n > len(b) {
			return
		}
		fn(binary.NativeEndian.Uint16(b[2:])&^(unix.NLA_F_NESTED|unix.NLA_F_NET_BYTEORDER), b[unix.SizeofRtAttr:n])
		b = b[min(align(n), len(b)):]
	}
}

// align rounds up to the 4-byte boundary that netlink lays everything out on.
func align(n int) int { return (n + 3) &^ 3 }
