package splicenet

import (
	"errors"
	"net/netip"
	"os"
	"runtime"
	"time"
	"unsafe"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"understudy/nat/splice"
)

const (
	// tapBuffer holds what comes while the program is not running: a few thousand packets.
	tapBuffer = 8 << 20
	// tapPacket is the largest packet: several of the wire may have been made one.
	tapPacket = 64 << 10
	// tapEnds bounds the addresses that the kernel looks for; of more it lets all of TCP pass.
	tapEnds = 40
)

// tap hears what comes in from clients and new servers, before any rule of nftables.
type tap struct {
	fd  int
	buf [tapPacket]byte
	oob [128]byte
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func openTap(netns int, flows []splice.Flow) (*tap, error) {
	fd, err := packetSocket(netns)
	if err != nil {
		return nil, err
	}
	t := &tap{fd: fd}
	if err := t.listen(flows); err != nil {
		return nil, errors.Join(err, t.close())
	}
	return t, nil
}

// packetSocket opens one in a network namespace, on a thread that ends with it. A packet socket
// cannot be made deaf again, so each tap has its own: one that hears costs every packet.
func packetSocket(netns int) (fd int, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread()
		if err = os.NewSyscallError("setns", unix.Setns(netns, unix.CLONE_NEWNET)); err != nil {
			return
		}
		fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0) // of no protocol: nothing comes yet
		err = os.NewSyscallError("socket", err)
	}()
	<-done
	return fd, err
}

func (t *tap) listen(flows []splice.Flow) error {
	raw, err := bpf.Assemble(filter(flows))
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(t.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	if unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tapBuffer) != nil {
		if err := unix.SetsockoptInt(t.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, tapBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := unix.SetsockoptInt(t.fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return os.NewSyscallError("setsockopt PACKET_AUXDATA", err)
	}
	return os.NewSyscallError("bind", unix.Bind(t.fd, &unix.SockaddrLinklayer{Protocol: htons(unix.ETH_P_IP)}))
}

// filter lets pass what comes from a new server or goes to an entry point, of TCP over IPv4.
func filter(flows []splice.Flow) []bpf.Instruction {
	from, to := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, f := range flows {
		from[f.To.Addr()], to[f.Entry.Addr()] = true, true
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: 9, Size: 1}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1}, bpf.RetConstant{Val: 0}}
	if len(from)+len(to) > tapEnds {
		return append(program, bpf.RetConstant{Val: tapPacket})
	}
	for _, part := range []struct {
		offset uint32
		of     map[netip.Addr]bool
	}{{12, from}, {16, to}} {
		program = append(program, bpf.LoadAbsolute{Off: part.offset, Size: 4})
		for a := range part.of {
			b := a.As4()
			program = append(program, bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: uint32(b[0])<<24 | uint32(b[1])<<16 | uint32(b[2])<<8 | uint32(b[3]), SkipTrue: 1},
				bpf.RetConstant{Val: tapPacket})
		}
	}
	return append(program, bpf.RetConstant{Val: 0})
}

func (t *tap) close() error { return os.NewSyscallError("close", unix.Close(t.fd)) }

// wait waits until something has come, or until the time has passed.
func (t *tap) wait(d time.Duration) error {
	p := []unix.PollFd{{Fd: int32(t.fd), Events: unix.POLLIN}}
	if _, err := unix.Poll(p, int(max(0, (d+time.Millisecond-1)/time.Millisecond))); err != nil && err != unix.EINTR {
		return os.NewSyscallError("poll", err)
	}
	return nil
}

// next returns a packet; ok is false when there is none any more. It is valid until the next
// call. What is spoilt is left out.
func (t *tap) next() (p splice.Packet, ok bool, err error) {
	for {
		n, oob, _, _, err := unix.Recvmsg(t.fd, t.buf[:], t.oob[:], 0)
		switch err {
		case nil:
		case unix.EINTR, unix.ENETDOWN: // a link has gone
			continue
		case unix.EAGAIN:
			return p, false, nil
		default:
			return p, false, os.NewSyscallError("recvmsg", err)
		}
		if p, ok = splice.ParsePacket(t.buf[:n]); ok && (p.Sound || unfinished(t.oob[:oob])) {
			return p, true, nil
		}
	}
}

// unfinished tells whether the packet has no checksum yet: it comes from this machine.
func unfinished(oob []byte) bool {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return false
	}
	for _, m := range messages {
		if m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})) {
			return (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0])).Status&unix.TP_STATUS_CSUMNOTREADY != 0
		}
	}
	return false
}
