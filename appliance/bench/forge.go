package bench

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
)

// forgery is one way in which an advert is not what it should be.
type forgery struct {
	name string
	make func(r *rand.Rand, f *forged)
}

// forged is an advert for VRID 51 with priority 255, which would win if anybody
// believed it, from a host that there is not. A forgery changes what it takes.
type forged struct {
	ttl                   byte
	from, to              netip.Addr
	version, kind         byte
	vrid, priority, count byte
	interval              uint16 // in centiseconds, with the four reserved bits
	addresses             []netip.Addr
	spoil                 func([]byte) []byte // of the payload, after its checksum was made; nil: nothing
}

// floodVRID is the router that is flooded.
const floodVRID = 51

// forgeries are what a flood is mixed from: each is for a receiver to refuse or,
// the last two, to withstand. An advert that is right in every point is not among
// them: who can send that is a router, to VRRP.
var forgeries = []forgery{
	{"TTL", func(r *rand.Rand, f *forged) { f.ttl = byte(r.IntN(255)) }},
	{"checksum", func(_ *rand.Rand, f *forged) {
		f.spoil = func(b []byte) []byte { b[6] ^= 0x5a; return b }
	}},
	{"version", func(r *rand.Rand, f *forged) { f.version = []byte{0, 1, 4, 15}[r.IntN(4)] }},
	{"type", func(r *rand.Rand, f *forged) { f.kind = byte(2 + r.IntN(14)) }},
	{"VRID", func(r *rand.Rand, f *forged) { f.vrid = byte(100 + r.IntN(100)) }},
	{"VRID 0", func(_ *rand.Rand, f *forged) { f.vrid = 0 }},
	{"no addresses", func(_ *rand.Rand, f *forged) { f.count, f.addresses = 0, nil }},
	{"interval 0", func(_ *rand.Rand, f *forged) { f.interval = 0 }},
	{"more addresses than there are", func(r *rand.Rand, f *forged) { f.count = byte(100 + r.IntN(156)) }},
	{"cut off", func(r *rand.Rand, f *forged) {
		f.spoil = func(b []byte) []byte { return b[:r.IntN(8)] }
	}},
	{"noise", func(r *rand.Rand, f *forged) {
		f.spoil = func(b []byte) []byte {
			for i := range b {
				b[i] = byte(r.Uint32())
			}
			return b
		}
	}},
	{"destination", func(r *rand.Rand, f *forged) { f.to = netip.AddrFrom4([4]byte{224, 0, 0, byte(19 + r.IntN(100))}) }},
	{"its own address", func(_ *rand.Rand, f *forged) { f.from, f.priority = netip.AddrFrom4([4]byte{10, 0, 0, 1}), 1 }},
	{"lower priority", func(_ *rand.Rand, f *forged) { f.priority = 1 }},
}

// forge makes n frames of all kinds in turn. The seed makes them.
func forge(n int, seed uint64, src [6]byte) (frames [][]byte) {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range n {
		f := forged{ttl: 255, from: netip.AddrFrom4([4]byte{10, 0, 200, byte(1 + r.IntN(250))}), to: netip.AddrFrom4([4]byte{224, 0, 0, 18}),
			version: 3, kind: 1, vrid: floodVRID, priority: 255, count: 1, interval: 10, addresses: []netip.Addr{floodAddress.Addr()}}
		forgeries[i%len(forgeries)].make(r, &f)
		frames = append(frames, ipv4Frame([6]byte{0x01, 0, 0x5e, 0, 0, 0x12}, src, f.ttl, 112, f.from, f.to, f.payload()))
	}
	return frames
}

// payload is the VRRP message of RFC 9568 section 5.1, with the checksum of RFC
// 5798, which keepalived 2.2 insists on.
func (f *forged) payload() []byte {
	b := []byte{f.version<<4 | f.kind, f.vrid, f.priority, f.count}
	b = binary.BigEndian.AppendUint16(b, f.interval)
	b = append(b, 0, 0)
	for _, a := range f.addresses {
		x := a.As4()
		b = append(b, x[:]...)
	}
	from, to := f.from.As4(), f.to.As4()
	sum := uint32(112 + len(b))
	for _, x := range [][4]byte{from, to} {
		sum += uint32(binary.BigEndian.Uint16(x[:2])) + uint32(binary.BigEndian.Uint16(x[2:]))
	}
	binary.BigEndian.PutUint16(b[6:], internetSum(sum, b))
	if f.spoil != nil {
		b = f.spoil(b)
	}
	return b
}
