package vrrpnet

import (
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// control is room for the time stamp of a received packet, aligned for a cmsghdr.
type control [8]uint64

// attach has recvmsg put its control messages there.
func (c *control) attach(h *unix.Msghdr) { h.Control = (*byte)(unsafe.Pointer(c)) }

// size is what to set as the length before each recvmsg.
func (c *control) size() int { return int(unsafe.Sizeof(*c)) }

// age tells how long ago the packet just received reached the kernel.
func (c *control) age(h *unix.Msghdr) time.Duration {
	if int(h.Controllen) < unix.CmsgLen(0)+int(unsafe.Sizeof(unix.Timespec{})) {
		return 0
	}
	m := (*unix.Cmsghdr)(unsafe.Pointer(c))
	if m.Level != unix.SOL_SOCKET || m.Type != unix.SCM_TIMESTAMPNS {
		return 0
	}
	at := (*unix.Timespec)(unsafe.Add(unsafe.Pointer(c), unix.CmsgLen(0)))
	// The stamp is wall clock, so this is the one place that asks for it.
	age := time.Duration(time.Now().UnixNano() - at.Nano())
	return min(max(age, 0), maxAge)
}
