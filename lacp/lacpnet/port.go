package lacpnet

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"syscall"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// Port is a socket on one member of an aggregate: it shows the frames of the Slow
// Protocols that come in and go out by it, and can send such frames.
type Port struct {
	Name  string
	Index int
	MAC   lacp.MAC

	conn     *packet.Conn
	raw      syscall.RawConn
	buf      [frameMax]byte
	outgoing atomic.Bool // what the port sends is shown
}

// frameMax is more than any frame of the Slow Protocols has.
const frameMax = 2048

// Frame is what a port saw. Data begins with the Ethernet header, and is valid
// until the next one.
type Frame struct {
	Outgoing bool
	Data     []byte
}

// Body is the frame from behind its EtherType, and what is in front of it.
func (f Frame) Body() (dst lacp.MAC, etherType uint16, body []byte) {
	return lacp.MAC(f.Data), uint16(f.Data[12])<<8 | uint16(f.Data[13]), f.Data[etherLen:]
}

const etherLen = 14

// OpenPort opens the interface as it is now.
func OpenPort(name string) (_ *Port, err error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("lacpnet: interface %q: %w", name, err)
	}
	if len(ifi.HardwareAddr) != len(lacp.MAC{}) {
		return nil, fmt.Errorf("lacpnet: interface %q is not an Ethernet", name)
	}
	filter, err := bpf.Assemble(slowProtocols)
	if err != nil {
		return nil, fmt.Errorf("lacpnet: %w", err)
	}
	p := &Port{Name: name, Index: ifi.Index, MAC: lacp.MAC(ifi.HardwareAddr)}
	// Everything, as a bond's driver consumes LACPDUs before a protocol is asked.
	if p.conn, err = packet.Listen(ifi, packet.Raw, unix.ETH_P_ALL, &packet.Config{Filter: filter}); err != nil {
		return nil, fmt.Errorf("lacpnet: interface %q: %w", name, err)
	}
	defer func() {
		if err != nil {
			p.conn.Close()
		}
	}()
	if err := p.conn.JoinGroup(lacp.Group[:]); err != nil {
		return nil, fmt.Errorf("lacpnet: interface %q: %w", name, err)
	}
	if p.raw, err = p.conn.SyscallConn(); err != nil {
		return nil, fmt.Errorf("lacpnet: interface %q: %w", name, err)
	}
	p.outgoing.Store(true) // as a socket is at first
	return p, nil
}

// slowProtocols lets through what has LACP's ethertype or went to its group: one
// without the other is refused, and counted, by who judges it.
var slowProtocols = []bpf.Instruction{
	bpf.LoadAbsolute{Off: 12, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpEqual, Val: lacp.EtherType, SkipTrue: 4},
	bpf.LoadAbsolute{Off: 0, Size: 4},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x0180c200, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 4, Size: 2},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 0x0002, SkipTrue: 1},
	bpf.RetConstant{Val: frameMax},
	bpf.RetConstant{Val: 0},
}

// Receive waits for a frame. After [Port.Close], and when the interface is gone,
// it returns an error. Not for two goroutines.
func (p *Port) Receive() (Frame, error) {
	for {
		n, outgoing, err := p.receive()
		switch {
		case errors.Is(err, unix.ENETDOWN), errors.Is(err, unix.EINTR):
			continue // said once: the interface is down, and may be up again
		case err != nil:
			return Frame{}, fmt.Errorf("lacpnet: receive on %s: %w", p.Name, err)
		case n >= etherLen:
			return Frame{Outgoing: outgoing, Data: p.buf[:n]}, nil
		}
	}
}

func (p *Port) receive() (n int, outgoing bool, err error) {
	var from unix.Sockaddr
	waited := p.raw.Read(func(fd uintptr) bool {
		n, from, err = unix.Recvfrom(int(fd), p.buf[:], unix.MSG_DONTWAIT)
		return err != unix.EAGAIN
	})
	if waited != nil {
		return 0, false, waited
	}
	if ll, ok := from.(*unix.SockaddrLinklayer); ok {
		outgoing = ll.Pkttype == unix.PACKET_OUTGOING
	}
	return n, outgoing, err
}

// ShowOutgoing switches whether what the port sends is shown. While it is, every
// packet that leaves by the interface is copied once more. Kernels before 4.20
// always show it.
func (p *Port) ShowOutgoing(on bool) {
	if p.outgoing.Swap(on) == on {
		return
	}
	ignore := 1
	if on {
		ignore = 0
	}
	_ = p.raw.Control(func(fd uintptr) {
		_ = unix.SetsockoptInt(int(fd), unix.SOL_PACKET, unix.PACKET_IGNORE_OUTGOING, ignore)
	})
}

// Send sends a frame, as it is.
func (p *Port) Send(frame []byte) error {
	if len(frame) < etherLen {
		return fmt.Errorf("lacpnet: a frame of %d octets", len(frame))
	}
	if _, err := p.conn.WriteTo(frame, &packet.Addr{HardwareAddr: frame[:6]}); err != nil {
		return fmt.Errorf("lacpnet: send on %s: %w", p.Name, err)
	}
	return nil
}

// Lost is how many frames found no room in the socket since the last call.
func (p *Port) Lost() uint32 {
	s, err := p.conn.Stats()
	if err != nil {
		return 0
	}
	return s.Drops
}

// Close ends the port, and a Receive that waits.
func (p *Port) Close() error { return p.conn.Close() }
