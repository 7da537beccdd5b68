package ranet

import (
	"errors"
	"fmt"
	"net"

	"github.com/mdlayher/packet"
	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"understudy/garp"
	"understudy/garp/ra"
)

// allRouters is the Ethernet group of ff02::2, where hosts ask.
var allRouters = net.HardwareAddr{0x33, 0x33, 0, 0, 0, 2}

// wire is an interface that advertisements leave by and solicitations come in by.
type wire interface {
	send(frame []byte) error
	mac() garp.MAC // the interface's own
	current() bool // false: the name stands for another interface now
	close()
}

// port is a wire of the kernel.
type port struct {
	conn  *packet.Conn
	name  string
	index int
	own   garp.MAC
	asked chan<- string // the name of the interface; see [Speaker]
	ended chan struct{} // closed when listen has returned
}

// openPort opens the interface as it is now.
func openPort(name string, asked chan<- string) (wire, error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, fmt.Errorf("ranet: interface %q: %w", name, err)
	}
	if len(ifi.HardwareAddr) != 6 {
		return nil, fmt.Errorf("ranet: interface %q is not an Ethernet", name)
	}
	filter, err := bpf.Assemble(solicitations)
	if err != nil {
		return nil, fmt.Errorf("ranet: %w", err)
	}
	conn, err := packet.Listen(ifi, packet.Raw, unix.ETH_P_IPV6, &packet.Config{Filter: filter})
	if err != nil {
		return nil, fmt.Errorf("ranet: interface %q: %w", name, err)
	}
	if err := conn.JoinGroup(allRouters); err != nil {
		conn.Close()
		return nil, fmt.Errorf("ranet: interface %q: %w", name, err)
	}
	p := &port{conn: conn, name: name, index: ifi.Index, own: garp.MAC(ifi.HardwareAddr), asked: asked, ended: make(chan struct{})}
	go p.listen()
	return p, nil
}

// solicitations lets Router Solicitations through that came in: ICMPv6 right
// behind the header, of type 133, not our own. Offsets are those of a frame.
var solicitations = []bpf.Instruction{
	bpf.LoadExtension{Num: bpf.ExtType},
	bpf.JumpIf{Cond: bpf.JumpGreaterThan, Val: unix.PACKET_MULTICAST, SkipTrue: 5},
	bpf.LoadAbsolute{Off: 14 + 6, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: icmpv6, SkipTrue: 3},
	bpf.LoadAbsolute{Off: 14 + 40, Size: 1},
	bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 133, SkipTrue: 1},
	bpf.RetConstant{Val: 0xffff},
	bpf.RetConstant{Val: 0},
}

// listen tells of solicitations until the port is closed. Whoever is flooded has
// one to answer: a full channel holds it already.
func (p *port) listen() {
	defer close(p.ended)
	b := make([]byte, 2048)
	for {
		n, _, err := p.conn.ReadFrom(b)
		if errors.Is(err, unix.ENETDOWN) {
			continue // said once: the interface is down, and may be up again
		}
		if err != nil {
			return // closed
		}
		if n < 14 {
			continue
		}
		if _, ok := ra.Solicitation(b[14:n]); ok {
			select {
			case p.asked <- p.name:
			default:
			}
		}
	}
}

// send puts a frame on the wire.
func (p *port) send(frame []byte) error {
	_, err := p.conn.WriteTo(frame, &packet.Addr{HardwareAddr: net.HardwareAddr(frame[:6])})
	return err
}

func (p *port) mac() garp.MAC { return p.own }

func (p *port) current() bool {
	ifi, err := net.InterfaceByName(p.name)
	if err != nil || ifi.Index != p.index || len(ifi.HardwareAddr) != 6 {
		return false
	}
	p.own = garp.MAC(ifi.HardwareAddr)
	return true
}

func (p *port) close() {
	_ = p.conn.Close()
	<-p.ended
}
