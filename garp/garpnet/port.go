package garpnet

import (
	"fmt"
	"net"
	"os"
	"unsafe"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"understudy/garp"
)

// port is a packet socket bound to one interface.
type port struct {
	conn  *packet.Conn
	index int
	mac   garp.MAC
	to    packet.Addr // of the frame being sent
}

// openPort binds a socket to the interface. Protocol 0 means that it is handed
// no received frame: it only sends.
func openPort(name string, index int) (*port, error) {
	conn, err := packet.Listen(&net.Interface{Index: index, Name: name}, packet.Raw, 0, nil)
	if err != nil {
		return nil, err
	}
	return &port{conn: conn, index: index, to: packet.Addr{HardwareAddr: make(net.HardwareAddr, 6)}}, nil
}

func (p *port) close() error { return p.conn.Close() }

// send puts one announcement of each claim on the wire and returns how many
// left. A zero MAC in a claim becomes the interface's.
func (p *port) send(f *frames, claims []garp.Claim) (sent int, err error) {
	for _, c := range claims {
		if c.MAC.IsZero() {
			c.MAC = p.mac
		}
		b, err := f.build(c)
		if err != nil {
			return sent, err
		}
		copy(p.to.HardwareAddr, b)
		if _, err := p.conn.WriteTo(b, &p.to); err != nil {
			return sent, err
		}
		sent++
	}
	return sent, nil
}

// frames builds Ethernet frames; it keeps the payload's buffer between them.
type frames struct{ payload []byte }

// build returns the whole frame that announces c, padded to Ethernet's minimum.
func (f *frames) build(c garp.Claim) ([]byte, error) {
	frame := ethernet.Frame{Source: c.MAC[:]}
	switch addr := c.Addr.Unmap(); {
	case addr.Is4():
		frame.Destination = garp.Broadcast[:]
		frame.EtherType = ethernet.EtherTypeARP
		f.payload = garp.AppendARP(f.payload[:0], garp.Gratuitous(c.MAC, addr))
	case addr.Is6():
		frame.Destination = garp.AllNodesMAC[:]
		frame.EtherType = ethernet.EtherTypeIPv6
		f.payload = garp.AppendNA(f.payload[:0], garp.Unsolicited(c.MAC, addr))
	default:
		return nil, fmt.Errorf("cannot announce %v", c.Addr)
	}
	frame.Payload = f.payload
	return frame.MarshalBinary()
}

// hardwareAddr returns the MAC of an Ethernet interface. x/sys has no accessor
// for this member of struct ifreq.
func hardwareAddr(fd int, name string) (mac garp.MAC, err error) {
	var ifr struct {
		name   [unix.IFNAMSIZ]byte
		family uint16
		data   [14]byte
		_      [8]byte // the union is as large as a struct ifmap
	}
	copy(ifr.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCGIFHWADDR, uintptr(unsafe.Pointer(&ifr)))
	if errno != 0 {
		return mac, os.NewSyscallError("ioctl SIOCGIFHWADDR", errno)
	}
	if ifr.family != unix.ARPHRD_ETHER {
		return mac, fmt.Errorf("not an Ethernet interface (link type %d)", ifr.family)
	}
	return garp.MAC(ifr.data[:6]), nil
}
