package vrrpnet

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// refused is a second packet socket, for what the filter keeps from the first. Its
// queue is short, and the kernel counts what it has no room for. In a flood it is
// to take a random sample. Nobody is woken by it.
type refused struct {
	fd    int
	list  []unix.SockFilter
	rate  int // where in it
	shift uint8
	prog  unix.SockFprog
	stats unix.TpacketStats
	size  uint32 // of stats, for the kernel
}

// refusedBuffer holds some 150 packets.
const refusedBuffer = 64 << 10

// Want narrows the port to what is wanted. The kernel goes from one filter to the
// next without a packet in between. From then on Refused has what is kept away.
func (p *Port) Want(w Wanted) error {
	if p.away != nil && p.wanted == w {
		return nil
	}
	if err := p.want(w); err != nil {
		return fmt.Errorf("vrrpnet: interface %q ipv%d: %w", p.Interface, p.Family, err)
	}
	p.wanted = w
	return nil
}

func (p *Port) want(w Wanted) error {
	if err := attach(p.fd, p.Family, w, good); err != nil {
		return err
	}
	if p.away != nil {
		return p.away.attach(p.Family, w)
	}
	fd, err := unix.Socket(unix.AF_PACKET, unix.SOCK_RAW|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("socket for what is refused: %w", err)
	}
	r := &refused{fd: fd}
	err = r.attach(p.Family, w)
	if err == nil {
		err = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, refusedBuffer)
	}
	if err == nil {
		err = unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(etherType(p.Family)), Ifindex: p.Index})
	}
	if err != nil {
		unix.Close(fd)
		return fmt.Errorf("socket for what is refused: %w", err)
	}
	p.away = r
	return nil
}

func (r *refused) attach(family uint8, w Wanted) (err error) {
	if r.list, r.rate, err = filter(family, w, bad); err != nil {
		return fmt.Errorf("packet filter: %w", err)
	}
	r.prog = unix.SockFprog{Len: uint16(len(r.list)), Filter: &r.list[0]}
	if errno := r.sample(r.shift); errno != 0 {
		return fmt.Errorf("packet filter: %w", errno)
	}
	return nil
}

// sample attaches the program again, for another rate. It allocates nothing.
func (r *refused) sample(shift uint8) unix.Errno {
	sampled(r.list, r.rate, shift)
	_, _, errno := unix.RawSyscall6(unix.SYS_SETSOCKOPT, uintptr(r.fd), unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		uintptr(unsafe.Pointer(&r.prog)), unsafe.Sizeof(r.prog), 0)
	if errno == 0 {
		r.shift = shift
	}
	return errno
}

// Sample makes Refused a random sample: each packet stands for 2^shift. It is in
// force for the next packet that comes in; what is queued is of the sample before.
func (p *Port) Sample(shift uint8) {
	if p.away != nil && p.away.shift != shift {
		_ = p.away.sample(shift) // or it stays as it is
	}
}

// Sampled is the shift of the sample.
func (p *Port) Sampled() uint8 {
	if p.away == nil {
		return 0
	}
	return p.away.shift
}

// attach puts a filter on a socket, in place of the one before.
func attach(fd int, family uint8, w Wanted, of part) error {
	prog, _, err := filter(family, w, of)
	if err != nil {
		return fmt.Errorf("packet filter: %w", err)
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER,
		&unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}); err != nil {
		return fmt.Errorf("packet filter: %w", err)
	}
	return nil
}

// Refused takes one packet that the filter has kept away; not ok: there is none.
// It has no time of arrival. f is valid until the next Receive or Refused.
func (p *Port) Refused(f *Frame) (ok bool) {
	if p.away == nil {
		return false
	}
	n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(p.away.fd), uintptr(unsafe.Pointer(&p.in[0])),
		uintptr(len(p.in)), unix.MSG_DONTWAIT, 0, 0)
	if errno != 0 || n < etherLen {
		return false
	}
	f.Packet, f.Source = p.in[etherLen:n], MAC(p.in[6:12])
	return true
}

// RefusedUnseen tells how many packets more there were in the sample since the
// last call, for which the queue had no room.
func (p *Port) RefusedUnseen() uint64 {
	if p.away == nil {
		return 0
	}
	r := p.away
	r.size = uint32(unsafe.Sizeof(r.stats))
	// Reading them resets them.
	_, _, errno := unix.RawSyscall6(unix.SYS_GETSOCKOPT, uintptr(r.fd), unix.SOL_PACKET, unix.PACKET_STATISTICS,
		uintptr(unsafe.Pointer(&r.stats)), uintptr(unsafe.Pointer(&r.size)), 0)
	if errno != 0 {
		return 0
	}
	return uint64(r.stats.Drops)
}

func (p *Port) closeRefused() {
	if p.away != nil {
		unix.Close(p.away.fd)
		p.away = nil
	}
}
