package splicenet

import (
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"runtime"
	"slices"
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
	fds []int     // of each family that there are flows of
	at  time.Time // when the last packet came in, by the kernel's clock
	buf [tapPacket]byte
	oob [128]byte
}

func htons(v uint16) uint16 { return v<<8 | v>>8 }

func openTap(netns int, flows []splice.Flow) (*tap, error) {
	t := &tap{}
	for _, six := range []bool{false, true} {
		of := slices.DeleteFunc(slices.Clone(flows), func(f splice.Flow) bool { return f.Client.Addr().Is6() != six })
		if len(of) == 0 {
			continue
		}
		fd, err := packetSocket(netns)
		if err != nil {
			return nil, errors.Join(err, t.close())
		}
		t.fds = append(t.fds, fd)
		if err := listen(fd, of, six); err != nil {
			return nil, errors.Join(err, t.close())
		}
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

func listen(fd int, flows []splice.Flow, six bool) error {
	raw, err := bpf.Assemble(filter(flows, six))
	if err != nil {
		return err
	}
	program := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		program[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	if err := unix.SetsockoptSockFprog(fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}); err != nil {
		return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
	}
	if unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, tapBuffer) != nil {
		if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, tapBuffer); err != nil {
			return os.NewSyscallError("setsockopt SO_RCVBUF", err)
		}
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_PACKET, unix.PACKET_AUXDATA, 1); err != nil {
		return os.NewSyscallError("setsockopt PACKET_AUXDATA", err)
	}
	if err := unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1); err != nil {
		return os.NewSyscallError("setsockopt SO_TIMESTAMPNS", err)
	}
	protocol := uint16(unix.ETH_P_IP)
	if six {
		protocol = unix.ETH_P_IPV6
	}
	return os.NewSyscallError("bind", unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: htons(protocol)}))
}

// filter lets pass what comes from a new server or goes to an entry point, of TCP.
func filter(flows []splice.Flow, six bool) []bpf.Instruction {
	from, to := map[netip.Addr]bool{}, map[netip.Addr]bool{}
	for _, f := range flows {
		from[f.To.Addr()], to[f.Entry.Addr()] = true, true
	}
	proto, src, dst := uint32(9), uint32(12), uint32(16)
	if six {
		proto, src, dst = 6, 8, 24
	}
	program := []bpf.Instruction{bpf.LoadAbsolute{Off: proto, Size: 1}, bpf.JumpIf{Cond: bpf.JumpEqual, Val: unix.IPPROTO_TCP, SkipTrue: 1}, bpf.RetConstant{Val: 0}}
	if len(from)+len(to) > tapEnds {
		return append(program, bpf.RetConstant{Val: tapPacket})
	}
	for _, part := range []struct {
		offset uint32
		of     map[netip.Addr]bool
	}{{src, from}, {dst, to}} {
		for a := range part.of {
			words := a.AsSlice()
			for i := 0; i < len(words); i += 4 {
				// Past the words that are left, two instructions each, and the verdict.
				past := uint8((len(words)-i-4)/2 + 1)
				program = append(program, bpf.LoadAbsolute{Off: part.offset + uint32(i), Size: 4},
					bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: binary.BigEndian.Uint32(words[i:]), SkipTrue: past})
			}
			program = append(program, bpf.RetConstant{Val: tapPacket})
		}
	}
	return append(program, bpf.RetConstant{Val: 0})
}

func (t *tap) close() (err error) {
	for _, fd := range t.fds {
		err = errors.Join(err, os.NewSyscallError("close", unix.Close(fd)))
	}
	return err
}

// next returns a packet; ok is false when there is none any more. It is valid until the next
// call. What is spoilt is left out.
func (t *tap) next() (p splice.Packet, ok bool, err error) {
	for _, fd := range t.fds {
		if p, ok, err = t.read(fd); ok || err != nil {
			return p, ok, err
		}
	}
	return p, false, nil
}

func (t *tap) read(fd int) (p splice.Packet, ok bool, err error) {
	for {
		n, oob, _, _, err := unix.Recvmsg(fd, t.buf[:], t.oob[:], 0)
		switch err {
		case nil:
		case unix.EINTR, unix.ENETDOWN: // a link has gone
			continue
		case unix.EAGAIN:
			return p, false, nil
		default:
			return p, false, os.NewSyscallError("recvmsg", err)
		}
		p, ok = splice.ParsePacket(t.buf[:n])
		if !ok {
			continue
		}
		at, unfinished := ancillary(t.oob[:oob])
		if p.Sound || unfinished {
			t.at = at
			return p, true, nil
		}
	}
}

// ancillary is what the kernel says of a packet: when it came, and whether it has no checksum yet, as it
// comes from this machine.
func ancillary(oob []byte) (at time.Time, unfinished bool) {
	messages, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return at, false
	}
	for _, m := range messages {
		switch {
		case m.Header.Level == unix.SOL_PACKET && m.Header.Type == unix.PACKET_AUXDATA && len(m.Data) >= int(unsafe.Sizeof(unix.TpacketAuxdata{})):
			unfinished = (*unix.TpacketAuxdata)(unsafe.Pointer(&m.Data[0])).Status&unix.TP_STATUS_CSUMNOTREADY != 0
		case m.Header.Level == unix.SOL_SOCKET && m.Header.Type == unix.SCM_TIMESTAMPNS && len(m.Data) >= int(unsafe.Sizeof(unix.Timespec{})):
			at = time.Unix((*unix.Timespec)(unsafe.Pointer(&m.Data[0])).Unix())
		}
	}
	return at, unfinished
}
