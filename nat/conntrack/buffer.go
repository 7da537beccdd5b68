package conntrack

import (
	"fmt"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// EventBytes is what one queued event takes of a receive buffer.
const EventBytes = 1280

// DefaultRcvBuf is the least receive buffer of a Listener in bytes as it is asked
// for; the kernel doubles it. This holds 104,857 events: half a second of the most
// that one core makes.
const DefaultRcvBuf = 64 << 20

// mostRcvBuf bounds it: memory that a stalled reader can cost.
const mostRcvBuf = 256 << 20

// RcvBufFor is the receive buffer, as it is asked for, of a Listener on a kernel whose
// table has so many entries at most: room for all of them ending at once, as when
// somebody flushes it, within limits. It takes memory only while events wait in it.
func RcvBufFor(entries int) int {
	return min(mostRcvBuf, max(DefaultRcvBuf, entries*(EventBytes/2)))
}

// Buffer is a Listener's receive buffer, in bytes as the kernel counts them.
type Buffer struct {
	Used, Size int
	Asked      int // what Size was to be
}

// Fill is the share of the buffer that is in use, 0 to 1.
func (b Buffer) Fill() float64 {
	if b.Size == 0 {
		return 0
	}
	return min(1, float64(b.Used)/float64(b.Size))
}

// Short tells whether the kernel gave less than was asked for.
func (b Buffer) Short() bool { return b.Size < b.Asked }

// Buffer reads the state of the receive buffer. It allocates nothing.
func (l *Listener) Buffer() (Buffer, error) {
	const ( // enum sk_meminfo_vars (linux/sock_diag.h)
		used  = 0
		size  = 1
		words = 9
	)
	var info [words]uint32
	n := uint32(unsafe.Sizeof(info))
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(l.s.fd), unix.SOL_SOCKET, unix.SO_MEMINFO,
		uintptr(unsafe.Pointer(&info)), uintptr(unsafe.Pointer(&n)), 0)
	if errno != 0 {
		return Buffer{}, fmt.Errorf("conntrack: event buffer: %w", os.NewSyscallError("getsockopt SO_MEMINFO", errno))
	}
	return Buffer{Used: int(info[used]), Size: int(info[size]), Asked: 2 * l.asked}, nil
}
