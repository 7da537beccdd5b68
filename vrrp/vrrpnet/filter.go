package vrrpnet

import (
	"fmt"

	"golang.org/x/net/bpf"
	"golang.org/x/sys/unix"
)

// VRIDs is a set of them.
type VRIDs [8]uint32

// Add puts one into the set.
func (v *VRIDs) Add(id uint8) { v[id/32] |= 1 << (id % 32) }

// Wanted is what a port is to hear: adverts of these VRIDs, to the group and with
// TTL 255, or to a single address. What it lets through is looked at again: a
// packet that it keeps away is one that its reader would have dropped.
type Wanted struct{ Group, Single VRIDs }

// part is which packets a socket gets.
type part uint8

const (
	all  part = iota // every VRRP packet
	good             // those that are wanted
	bad              // the other ones, or a random sample of them
)

// Offsets for loads. The kernel has taken a VLAN tag off by then. Loads relative
// to the network header (SKF_NET_OFF) would not see what a driver has left in a
// page of its own.
const (
	network = etherLen
	v4Head  = 20
	v6Head  = 40
)

// filter makes the classic BPF program for a part of the VRRP packets (protocol
// 112, over IPv4 in an authentication header too) of a family. Frames for somebody else are in no part: an adapter in
// promiscuous mode and a VLAN that nobody configured here both show them to us.
// Nor is our own output, which some drivers loop back.
//
// rate is the instruction that compares a random number: [sampled] sets how much
// of the bad part is taken.
func filter(family uint8, w Wanted, p part) (list []unix.SockFilter, rate int, err error) {
	a := &program{part: p}
	a.add(bpf.LoadExtension{Num: bpf.ExtType})
	a.jump(bpf.JumpGreaterThan, unix.PACKET_MULTICAST, "other", "")
	if family == 6 {
		a.packet6()
	} else {
		a.packet4()
	}
	if p != all {
		a.vrid(w)
	}
	switch p {
	case all, good:
		a.label("good")
		a.add(whole)
		a.label("bad")
	case bad:
		a.label("bad")
		a.add(bpf.LoadExtension{Num: bpf.ExtRand})
		rate = len(a.list)
		a.jump(bpf.JumpGreaterThan, everyone, "good", "")
		a.add(whole)
		a.label("good")
	}
	a.label("other")
	a.add(bpf.RetConstant{Val: 0})
	list, err = a.assemble()
	return list, rate, err
}

var whole = bpf.RetConstant{Val: 0xffff}

// everyone is the largest random number.
const everyone = 1<<32 - 1

// sampled makes a program take one packet in 2^shift.
func sampled(list []unix.SockFilter, rate int, shift uint8) { list[rate].K = everyone >> shift }

// packet4 leaves the VRID in M[0] and goes on at group or single.
func (a *program) packet4() {
	a.add(bpf.LoadAbsolute{Off: network + 9, Size: 1}) // protocol
	a.jump(bpf.JumpEqual, 112, "plain", "")
	a.jump(bpf.JumpNotEqual, 51, "other", "")
	a.sealed()
	a.label("plain")
	if a.part == all {
		a.goTo("good")
		return
	}
	a.add(bpf.LoadExtension{Num: bpf.ExtLen})
	a.jump(bpf.JumpLessThan, network+v4Head, "bad", "")
	a.add(bpf.LoadAbsolute{Off: network + 6, Size: 2})
	a.jump(bpf.JumpBitsSet, 0x3fff, "bad", "") // a fragment
	a.add(bpf.LoadAbsolute{Off: network, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 15},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2}) // length of the header, with options
	a.jump(bpf.JumpLessThan, v4Head, "bad", "")
	a.add(bpf.TAX{})
	a.label("message")
	a.load()
	a.add(bpf.LoadAbsolute{Off: network + 16, Size: 4}) // destination
	a.jump(bpf.JumpNotEqual, 224<<24|18, "single", "")
	a.add(bpf.LoadAbsolute{Off: network + 8, Size: 1}) // TTL
	a.jump(bpf.JumpEqual, 255, "group", "bad")
}

// sealed leaves X at the message behind an authentication header (protocol 51), which tells
// what it is. One for something else than VRRP, or a fragment, is in no part.
func (a *program) sealed() {
	const seal, kind = 24, 112<<8 | 4 // octets; the next header and its own length
	a.add(bpf.LoadAbsolute{Off: network + 6, Size: 2})
	a.jump(bpf.JumpBitsSet, 0x3fff, "other", "")
	a.add(bpf.LoadAbsolute{Off: network, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 15},
		bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 2})
	a.jump(bpf.JumpLessThan, v4Head, "other", "")
	a.add(bpf.TAX{}, bpf.LoadIndirect{Off: network, Size: 2})
	a.jump(bpf.JumpEqual, kind, "sealed", "")
	a.add(bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 8})
	a.jump(bpf.JumpNotEqual, kind>>8, "other", "")
	a.goTo(map[part]string{all: "good", good: "bad", bad: "bad"}[a.part])
	a.label("sealed")
	if a.part == all {
		a.goTo("good")
		return
	}
	a.add(bpf.TXA{}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: seal}, bpf.TAX{})
	a.goTo("message")
}

// packet6 does the same. It looks behind as many extension headers as the reader.
func (a *program) packet6() {
	const hopByHop, fragment, options, headers = 0, 44, 60, 4
	a.add(bpf.LoadConstant{Dst: bpf.RegX, Val: v6Head}, bpf.LoadAbsolute{Off: network + 6, Size: 1})
	for i := range headers {
		next := fmt.Sprint("after header ", i)
		a.jump(bpf.JumpEqual, 112, "advert", "")
		a.jump(bpf.JumpEqual, fragment, "fragment", "")
		a.jump(bpf.JumpEqual, hopByHop, next, "")
		a.jump(bpf.JumpEqual, options, next, "other")
		a.label(next)
		a.add(bpf.LoadIndirect{Off: network, Size: 1}, bpf.StoreScratch{Src: bpf.RegA, N: 2},
			bpf.LoadIndirect{Off: network + 1, Size: 1}, bpf.ALUOpConstant{Op: bpf.ALUOpAdd, Val: 1},
			bpf.ALUOpConstant{Op: bpf.ALUOpShiftLeft, Val: 3}, bpf.ALUOpX{Op: bpf.ALUOpAdd}, bpf.TAX{},
			bpf.LoadScratch{Dst: bpf.RegA, N: 2})
	}
	a.jump(bpf.JumpEqual, 112, "advert", "other")
	a.label("fragment")
	a.add(bpf.LoadIndirect{Off: network, Size: 1})
	a.jump(bpf.JumpEqual, 112, "bad", "other")
	a.label("advert")
	if a.part == all {
		a.goTo("good")
		return
	}
	a.load()
	for i, word := range [4]uint32{0xff02 << 16, 0, 0, 0x12} { // destination
		a.add(bpf.LoadAbsolute{Off: network + 24 + 4*uint32(i), Size: 4})
		a.jump(bpf.JumpNotEqual, word, "single", "")
	}
	a.add(bpf.LoadAbsolute{Off: network + 7, Size: 1}) // Hop Limit
	a.jump(bpf.JumpEqual, 255, "group", "bad")
}

// load puts the VRID of the message at X into M[0]. A load beyond the end would
// end the program, and the packet would be in no part.
func (a *program) load() {
	a.add(bpf.LoadExtension{Num: bpf.ExtLen}, bpf.ALUOpX{Op: bpf.ALUOpSub})
	a.jump(bpf.JumpGreaterThan, 0xffff, "bad", "") // below 0
	a.jump(bpf.JumpLessThan, network+2, "bad", "")
	a.add(bpf.LoadIndirect{Off: network + 1, Size: 1}, bpf.StoreScratch{Src: bpf.RegA, N: 0})
}

// vrid looks for it in the sets, from group or single on.
func (a *program) vrid(w Wanted) {
	a.label("group")
	a.in(w.Group, "of the group")
	a.label("single")
	a.in(w.Single, "of single ones")
	a.label("word")
	a.add(bpf.StoreScratch{Src: bpf.RegA, N: 1}, bpf.LoadScratch{Dst: bpf.RegA, N: 0},
		bpf.ALUOpConstant{Op: bpf.ALUOpAnd, Val: 31}, bpf.TAX{}, bpf.LoadScratch{Dst: bpf.RegA, N: 1},
		bpf.ALUOpX{Op: bpf.ALUOpShiftRight})
	a.jump(bpf.JumpBitsSet, 1, "good", "bad")
}

// in looks M[0] up in a set: it loads the word that has its bit.
func (a *program) in(set VRIDs, name string) {
	a.add(bpf.LoadScratch{Dst: bpf.RegA, N: 0}, bpf.ALUOpConstant{Op: bpf.ALUOpShiftRight, Val: 5})
	for i, word := range set {
		if word != 0 {
			a.jump(bpf.JumpEqual, uint32(i), fmt.Sprint(name, i), "")
		}
	}
	a.goTo("bad")
	for i, word := range set {
		if word != 0 {
			a.label(fmt.Sprint(name, i))
			a.add(bpf.LoadConstant{Dst: bpf.RegA, Val: word})
			a.goTo("word")
		}
	}
}

// program is a list of instructions with names to jump to, all of them forward.
type program struct {
	part   part
	list   []bpf.Instruction
	labels map[string]int
	jumps  []jump
}

type jump struct {
	at      int
	cond    bpf.JumpTest
	val     uint32
	yes, no string // "": the next instruction
}

func (a *program) add(list ...bpf.Instruction) { a.list = append(a.list, list...) }

func (a *program) jump(cond bpf.JumpTest, val uint32, yes, no string) {
	a.jumps = append(a.jumps, jump{len(a.list), cond, val, yes, no})
	a.list = append(a.list, nil)
}

func (a *program) goTo(name string) { a.jump(bpf.JumpEqual, 0, name, name) }

func (a *program) label(name string) {
	if a.labels == nil {
		a.labels = make(map[string]int)
	}
	a.labels[name] = len(a.list)
}

func (a *program) assemble() ([]unix.SockFilter, error) {
	for _, j := range a.jumps {
		far := func(name string) int {
			if name == "" {
				return 0
			}
			return a.labels[name] - j.at - 1
		}
		yes, no := far(j.yes), far(j.no)
		switch {
		case yes < 0 || no < 0:
			return nil, fmt.Errorf("no %q or %q to jump to", j.yes, j.no)
		case yes == no:
			a.list[j.at] = bpf.Jump{Skip: uint32(yes)}
		case yes > 255 || no > 255:
			return nil, fmt.Errorf("%q or %q is too far away", j.yes, j.no)
		default:
			a.list[j.at] = bpf.JumpIf{Cond: j.cond, Val: j.val, SkipTrue: uint8(yes), SkipFalse: uint8(no)}
		}
	}
	raw, err := bpf.Assemble(a.list)
	if err != nil {
		return nil, err
	}
	out := make([]unix.SockFilter, len(raw))
	for i, r := range raw {
		out[i] = unix.SockFilter{Code: r.Op, Jt: r.Jt, Jf: r.Jf, K: r.K}
	}
	return out, nil
}
