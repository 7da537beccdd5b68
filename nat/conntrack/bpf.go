package conntrack

import (
	"encoding/binary"
	"os"

	"golang.org/x/sys/unix"
)

// ignorePorts makes the kernel drop, before they take any of s's receive buffer,
// the messages that were caused by the given netlink ports. It replaces the
// filter that was there; without ports it removes it.
func (s *socket) ignorePorts(ports []uint32) error {
	if len(ports) == 0 {
		err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err == unix.ENOENT {
			err = nil
		}
		return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
	}
	prog := portFilter(ports)
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	err := unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog)
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

// portFilter is classic BPF: load nlmsg_pid (offset 12), drop if it is one of
// ports, else accept all. BPF loads words in network byte order and the header is
// in the host's, hence the swap.
func portFilter(ports []uint32) []unix.SockFilter {
	const offsetPortID = 12
	prog := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: offsetPortID}}
	for i, p := range ports {
		var host [4]byte
		binary.NativeEndian.PutUint32(host[:], p)
		prog = append(prog, unix.SockFilter{
			Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K,
			Jt:   uint8(len(ports) - i), // to the drop at the end
			K:    binary.BigEndian.Uint32(host[:]),
		})
	}
	return append(prog,
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: ^uint32(0)},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	)
}
