package entry

import (
	"encoding/binary"
	"math/bits"
	"net/netip"
)

// ClientSeed makes clients hash alike on every node.
const ClientSeed = 0x75736864

// SlotOf returns the slot of a client among slots, as the kernel computes it: Jenkins'
// hash of its address (lookup3, 2006; nft's jhash), scaled to their number.
func SlotOf(client netip.Addr, slots int) int {
	return int(uint64(hashOf(client.AsSlice(), ClientSeed)) * uint64(slots) >> 32)
}

// SlotOfFlow is the same of a client's address and port, in network byte order in a word of
// its own.
func SlotOfFlow(client netip.AddrPort, slots int) int {
	key := append(binary.BigEndian.AppendUint16(client.Addr().AsSlice(), client.Port()), 0, 0)
	return int(uint64(hashOf(key, ClientSeed)) * uint64(slots) >> 32)
}

// hashOf is lookup3's hashlittle of bytes that begin at a word, on a machine of the
// kernel's byte order. An address has four bytes, or four words.
func hashOf(key []byte, seed uint32) uint32 {
	const golden, block = 0xdeadbeef, 12
	a := golden + uint32(len(key)) + seed
	b, c := a, a
	for ; len(key) > block; key = key[block:] {
		a += binary.NativeEndian.Uint32(key)
		b += binary.NativeEndian.Uint32(key[4:])
		c += binary.NativeEndian.Uint32(key[8:])
		for _, r := range [...][3]int{{4, 6, 8}, {16, 19, 4}} {
			a, c = (a-c)^bits.RotateLeft32(c, r[0]), c+b
			b, a = (b-a)^bits.RotateLeft32(a, r[1]), a+c
			c, b = (c-b)^bits.RotateLeft32(b, r[2]), b+a
		}
	}
	// What is left is taken byte by byte, the first one lowest.
	var rest [block]byte
	copy(rest[:], key)
	a += binary.LittleEndian.Uint32(rest[:])
	b += binary.LittleEndian.Uint32(rest[4:])
	c += binary.LittleEndian.Uint32(rest[8:])
	c = (c ^ b) - bits.RotateLeft32(b, 14)
	a = (a ^ c) - bits.RotateLeft32(c, 11)
	b = (b ^ a) - bits.RotateLeft32(a, 25)
	c = (c ^ b) - bits.RotateLeft32(b, 16)
	a = (a ^ c) - bits.RotateLeft32(c, 4)
	b = (b ^ a) - bits.RotateLeft32(a, 14)
	return (c ^ b) - bits.RotateLeft32(b, 24)
}
