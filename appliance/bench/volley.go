package bench

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// volley is prepared Ethernet frames, and a socket on one interface that sends
// many of them in one system call, round and round.
type volley struct {
	fd   int
	msgs []mmsghdr
	iovs []unix.Iovec
	next int
	sent atomic.Int64 // of all
}

// mmsghdr is struct mmsghdr of sendmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	len uint32
	_   [4]byte
}

func openVolley(n *lab.Node, iface string, frames [][]byte) (*volley, error) {
	v := &volley{fd: -1, msgs: make([]mmsghdr, len(frames)), iovs: make([]unix.Iovec, len(frames))}
	for i, f := range frames {
		v.iovs[i].Base = &f[0]
		v.iovs[i].SetLen(len(f))
		v.msgs[i].hdr.Iov = &v.iovs[i]
		v.msgs[i].hdr.SetIovlen(1)
	}
	link, err := n.Netlink().LinkByName(iface)
	if err != nil {
		return nil, fmt.Errorf("bench: %s on %s: %w", iface, n.Name, err)
	}
	err = n.Do(func() (err error) {
		// Protocol 0: it hears nothing.
		if v.fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
			return err
		}
		// A queue would be a place to be late in.
		if err := unix.SetsockoptInt(v.fd, unix.SOL_PACKET, unix.PACKET_QDISC_BYPASS, 1); err != nil {
			return err
		}
		return unix.Bind(v.fd, &unix.SockaddrLinklayer{Ifindex: link.Attrs().Index})
	})
	if err != nil {
		v.close()
		return nil, fmt.Errorf("bench: packet socket on %s: %w", n.Name, err)
	}
	return v, nil
}

// send sends the next n frames.
func (v *volley) send(n int) error {
	for n > 0 {
		part := min(n, len(v.msgs)-v.next)
		did, _, errno := unix.Syscall6(unix.SYS_SENDMMSG, uintptr(v.fd), uintptr(unsafe.Pointer(&v.msgs[v.next])), uintptr(part), 0, 0, 0)
		switch errno {
		case 0:
		case unix.EINTR:
			continue
		default:
			return fmt.Errorf("bench: send: %w", errno)
		}
		v.sent.Add(int64(did))
		n -= int(did)
		v.next = (v.next + int(did)) % len(v.msgs)
	}
	return nil
}

// fire sends so many frames a second, evenly, until the function that it returns
// is called; that one tells whether all of it went well.
func (v *volley) fire(perSecond int) (stop func() error) {
	var (
		over atomic.Bool
		done = make(chan error, 1)
	)
	go func() {
		// As from an adapter, frames do not wait for a processor that is busy.
		done <- urgently(func() error {
			var sent int64
			for began := time.Now(); !over.Load(); nap(500 * time.Microsecond) {
				due := int64(time.Since(began)) * int64(perSecond) / int64(time.Second)
				// Late is lost: to make up for it would be a burst. 4 ms is what may be late.
				if most := int64(perSecond) / 250; due > sent+most {
					sent = due - most
				}
				if err := v.send(int(due - sent)); err != nil {
					return err
				}
				sent = due
			}
			return nil
		})
	}()
	return sync.OnceValue(func() error { over.Store(true); return <-done })
}

func (v *volley) close() {
	if v.fd >= 0 {
		unix.Close(v.fd)
		v.fd = -1
	}
}

// ipv4Frame is an Ethernet frame with an IPv4 packet.
func ipv4Frame(dst, src [6]byte, ttl, protocol byte, from, to netip.Addr, payload []byte) []byte {
	b := make([]byte, 0, 60)
	b = append(append(b, dst[:]...), src[:]...)
	b = append(b, 0x08, 0x00)
	b = append(b, 0x45, 0)
	b = binary.BigEndian.AppendUint16(b, uint16(20+len(payload)))
	b = append(b, 0, 0, 0x40, 0, ttl, protocol, 0, 0) // do not fragment
	s, d := from.As4(), to.As4()
	b = append(append(b, s[:]...), d[:]...)
	binary.BigEndian.PutUint16(b[14+10:], internetSum(0, b[14:34]))
	b = append(b, payload...)
	for len(b) < 60 {
		b = append(b, 0)
	}
	return b
}

// udp is a datagram without a checksum.
func udp(from, to uint16, data []byte) []byte {
	b := binary.BigEndian.AppendUint16(nil, from)
	b = binary.BigEndian.AppendUint16(b, to)
	b = binary.BigEndian.AppendUint16(b, uint16(8+len(data)))
	return append(append(b, 0, 0), data...)
}

// internetSum is the checksum of RFC 1071 over b, and what sum was counted before.
func internetSum(sum uint32, b []byte) uint16 {
	for i := 0; i < len(b); i += 2 {
		sum += uint32(b[i]) << 8
		if i+1 < len(b) {
			sum += uint32(b[i+1])
		}
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}
