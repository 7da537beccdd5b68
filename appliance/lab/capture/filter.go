package capture

import (
	"encoding/binary"
	"net/netip"

	"golang.org/x/net/bpf"
)

const wholeFrame = 1 << 18 // what a filter answers to accept

// Protocols is a filter that passes IPv4 of the given protocols alone, such as
// 112 for VRRP.
func Protocols(protos ...uint8) []bpf.Instruction {
	n := uint8(len(protos))
	prog := []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv4, SkipTrue: n + 1}, // to refuse
		bpf.LoadAbsolute{Off: 14 + 9, Size: 1},
	}
	for i, p := range protos {
		prog = append(prog, bpf.JumpIf{Cond: bpf.JumpEqual, Val: uint32(p), SkipTrue: n - uint8(i)})
	}
	return append(prog, bpf.RetConstant{Val: 0}, bpf.RetConstant{Val: wholeFrame})
}

// Suspicious is a filter that passes what no gateway with address translation
// may ever send to the outside or to a client: IPv4 with a source in inside,
// TCP resets, and ICMP errors. It is only a sieve: who sent a frame, and when,
// is for the caller to judge.
func Suspicious(inside netip.Prefix) []bpf.Instruction {
	inside = inside.Masked()
	base := inside.Addr().As4()
	mask := ^uint32(0) << (32 - inside.Bits())
	return []bpf.Instruction{
		bpf.LoadAbsolute{Off: 12, Size: 2},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: etherIPv4, SkipTrue: 17},
		bpf.LoadAbsolute{Off: 14 + 12, Size: 4}, // source
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: mask},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: binary.BigEndian.Uint32(base[:]), SkipTrue: 15},
		bpf.LoadAbsolute{Off: 14 + 6, Size: 2}, // fragments after the first have no header
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: 0x1fff, SkipTrue: 12},
		bpf.LoadMemShift{Off: 14}, // X = length of the IP header
		bpf.LoadAbsolute{Off: 14 + 9, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 1, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpNotEqual, Val: 6, SkipTrue: 8},
		bpf.LoadIndirect{Off: 14 + 13, Size: 1},
		bpf.JumpIf{Cond: bpf.JumpBitsSet, Val: RST, SkipTrue: 7, SkipFalse: 6},
		bpf.LoadIndirect{Off: 14, Size: 1}, // ICMP type
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 3, SkipTrue: 5},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 4, SkipTrue: 4},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 5, SkipTrue: 3},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 11, SkipTrue: 2},
		bpf.JumpIf{Cond: bpf.JumpEqual, Val: 12, SkipTrue: 1},
		bpf.RetConstant{Val: 0},
		bpf.RetConstant{Val: wholeFrame},
	}
}
