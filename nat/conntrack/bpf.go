package conntrack

import (
	"encoding/binary"
	"os"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// filter makes the kernel drop messages before they take any of s's receive buffer:
// those that were caused by the given netlink ports, and, with closing, what
// [Listener.SkipClosing] says. It replaces the filter that was there; with nothing to
// drop it removes it.
func (s *socket) filter(ports []uint32, closing bool) error {
	if len(ports) == 0 && !closing {
		err := unix.SetsockoptInt(s.fd, unix.SOL_SOCKET, unix.SO_DETACH_FILTER, 0)
		if err == unix.ENOENT {
			err = nil
		}
		return os.NewSyscallError("setsockopt SO_DETACH_FILTER", err)
	}
	raw, err := bpf.Assemble(eventFilter(ports, closing))
	if err != nil {
		return err
	}
	prog := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		prog[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	fprog := unix.SockFprog{Len: uint16(len(prog)), Filter: &prog[0]}
	err = unix.SetsockoptSockFprog(s.fd, unix.SOL_SOCKET, unix.SO_ATTACH_FILTER, &fprog)
	return os.NewSyscallError("setsockopt SO_ATTACH_FILTER", err)
}

// Offsets in a netlink message, and what stands there. BPF loads words in network byte
// order and the header is in the host's.
const (
	offsetType   = 4
	offsetFlags  = 6
	offsetPortID = 12

	accept = 1 << 18 // any length
)

// hostHigh is the offset, in a 16-bit word of the host, of its high byte.
var hostHigh = func() uint32 {
	if binary.NativeEndian.Uint16([]byte{1, 0}) == 1 {
		return 1
	}
	return 0
}()

// eventFilter drops what was caused by one of ports, and with closing the messages of
// TCP connections of which more is heard later or was heard before.
func eventFilter(ports []uint32, closing bool) []bpf.Instruction {
	p := program{}
	p.add(bpf.LoadAbsolute{Off: offsetPortID, Size: 4})
	for _, port := range ports {
		var host [4]byte
		binary.NativeEndian.PutUint32(host[:], port)
		p.dropIf(bpf.JumpEqual, binary.BigEndian.Uint32(host[:]))
	}
	if closing {
		p.closing()
	}
	return p.end()
}

// program is a filter under construction. Its conditional jumps lead to two verdicts
// at its end.
type program struct {
	list         []bpf.Instruction
	pass, refuse []int // jumps to the verdicts, by index
}

func (p *program) add(list ...bpf.Instruction) { p.list = append(p.list, list...) }

func (p *program) dropIf(t bpf.JumpTest, v uint32) {
	p.refuse = append(p.refuse, len(p.list))
	p.add(bpf.JumpIf{Cond: t, Val: v})
}

func (p *program) passIf(t bpf.JumpTest, v uint32) {
	p.pass = append(p.pass, len(p.list))
	p.add(bpf.JumpIf{Cond: t, Val: v})
}

// end adds the verdicts.
func (p *program) end() []bpf.Instruction {
	p.add(bpf.RetConstant{Val: accept}, bpf.RetConstant{Val: 0})
	n := len(p.list)
	for to, from := range map[int][]int{n - 2: p.pass, n - 1: p.refuse} {
		for _, i := range from {
			j := p.list[i].(bpf.JumpIf)
			j.SkipTrue = uint8(to - i - 1)
			p.list[i] = j
		}
	}
	return p.list
}

// closing looks at the TCP state of an event.
//
//	update   in FIN_WAIT, CLOSE_WAIT, LAST_ACK    dropped
//	end      in TIME_WAIT                         dropped
//	else                                          passed
func (p *program) closing() {
	const (
		subsysHigh = subsysConntrack
		create     = flagCreate >> 8
	)
	// SKF_AD_NLATTR and SKF_AD_NLATTR_NEST (linux/filter.h): the attribute of type X, from
	// offset A on, or within the attribute at A.
	findAttr, findNested := bpf.LoadExtension{Num: 12}, bpf.LoadExtension{Num: 16}
	p.add(bpf.LoadAbsolute{Off: offsetType + hostHigh, Size: 1})
	p.passIf(bpf.JumpNotEqual, subsysHigh)
	p.add(bpf.LoadAbsolute{Off: offsetType + 1 - hostHigh, Size: 1}, bpf.StoreScratch{Src: bpf.RegA, N: 0})
	// The state: an attribute in an attribute in an attribute.
	p.add(bpf.LoadConstant{Dst: bpf.RegA, Val: headerLen}, bpf.LoadConstant{Dst: bpf.RegX, Val: ctaProtoInfo}, findAttr)
	p.passIf(bpf.JumpEqual, 0)
	p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: ctaProtoInfoTCP}, findNested)
	p.passIf(bpf.JumpEqual, 0)
	p.add(bpf.LoadConstant{Dst: bpf.RegX, Val: ctaTCPState}, findNested)
	p.passIf(bpf.JumpEqual, 0)
	p.add(bpf.TAX{}, bpf.LoadIndirect{Off: attrHeader, Size: 1}, bpf.TAX{}, bpf.LoadScratch{Dst: bpf.RegA, N: 0})
	// What becomes of an end is decided first: three instructions.
	const end = msgDelete & 0xff
	p.add(bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: end, SkipTrue: 3}, bpf.TXA{})
	p.dropIf(bpf.JumpEqual, uint32(session.TCPTimeWait))
	p.add(bpf.RetConstant{Val: accept})
	p.passIf(bpf.JumpNotEqual, msgNew&0xff)
	p.add(bpf.LoadAbsolute{Off: offsetFlags + hostHigh, Size: 1})
	p.passIf(bpf.JumpBitsSet, create) // it begins like that
	p.add(bpf.TXA{})
	p.passIf(bpf.JumpLessThan, uint32(session.TCPFinWait))
	p.dropIf(bpf.JumpLessOrEqual, uint32(session.TCPLastAck))
}
