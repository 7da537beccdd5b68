package bench

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"
)

// Both ends of a connection made by hand say what a kernel takes for one: each segment's
// checksum is right, and it acknowledges all that the other end has said.
func TestSegmentsOfAConnection(t *testing.T) {
	client, server := netip.MustParseAddrPort("10.7.0.1:10000"), netip.AddrPortFrom(floodThere, connectionPort)
	next := map[bool]uint32{} // what each end says next, by out
	for i, s := range segments {
		from, to := client, server
		if !s.out {
			from, to = to, from
		}
		b := tcpSegment(from, to, s.seq, s.ack, s.flags)
		sum := uint32(unix.IPPROTO_TCP + len(b))
		for _, a := range []netip.Addr{from.Addr(), to.Addr()} {
			x := a.As4()
			sum += uint32(binary.BigEndian.Uint16(x[:2])) + uint32(binary.BigEndian.Uint16(x[2:]))
		}
		if got := internetSum(sum, b); got != 0 {
			t.Errorf("segment %d: checksum off by %#x", i, got)
		}
		if n := int(b[12]>>4) * 4; n != len(b) {
			t.Errorf("segment %d: a header of %d bytes in %d", i, n, len(b))
		}
		if was, spoke := next[s.out]; spoke && s.seq != was {
			t.Errorf("segment %d: begins at %d, not %d", i, s.seq, was)
		}
		if s.flags&tcpACK != 0 && s.ack != next[!s.out] {
			t.Errorf("segment %d: acknowledges %d, not %d", i, s.ack, next[!s.out])
		}
		next[s.out] = s.seq
		if s.flags&(tcpSYN|tcpFIN) != 0 { // they count as a byte
			next[s.out]++
		}
	}
}
