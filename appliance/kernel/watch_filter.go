package kernel

import (
	"encoding/binary"

	"golang.org/x/sys/unix"
)

// routeFilter is the socket filter of the watcher. On a router that learns a
// million routes from others, notifications about those would keep it busy: the
// kernel is to leave away all but the loss of a route with our mark, and routes
// that were put in the place of another, because the one they replaced is not
// named.
func routeFilter() *unix.SockFprog {
	// A notification is a netlink header (type at 4, flags at 6) and a struct
	// rtmsg (protocol at 5). The filter reads in network byte order, what is
	// written here is in the host's.
	host := func(v uint16) uint32 {
		return uint32(binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, v)))
	}
	const all = 1<<32 - 1
	prog := []unix.SockFilter{
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 4},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: host(unix.RTM_NEWROUTE), Jt: 1},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: host(unix.RTM_DELROUTE), Jt: 2, Jf: 4},
		{Code: unix.BPF_LD | unix.BPF_H | unix.BPF_ABS, K: 6},
		{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, K: host(unix.NLM_F_REPLACE), Jt: 2, Jf: 3},
		{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: unix.SizeofNlMsghdr + 5},
		{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: RouteProtocol, Jf: 1},
		{Code: unix.BPF_RET | unix.BPF_K, K: all},
		{Code: unix.BPF_RET | unix.BPF_K, K: 0},
	}
	return &unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
}
