package probe_test

import (
	"bytes"
	"testing"

	"understudy/appliance/lab/probe"
)

// Each byte of an INIT, as RFC 9260 draws it. The checksum was computed bit by bit, from
// the polynomial of its appendix A.
func TestSCTPPacket(t *testing.T) {
	want := []byte{
		0x0b, 0xb8, 0x0f, 0x1c, // from port 3000 to 3868
		0, 0, 0, 0, // no tag yet
		0, 0, 0, 0, // checksum
		1, 0, 0, 20, // INIT, of 20 bytes
		0x11, 0x11, 0x11, 0x11, // the tag to use
		0, 1, 0, 0, // window
		0, 1, 0, 1, // streams
		0, 0, 0, 1, // first sequence number
	}
	sum := reference(want)
	want[8], want[9], want[10], want[11] = byte(sum), byte(sum>>8), byte(sum>>16), byte(sum>>24)
	if got := probe.SCTPPacket(3000, 3868, 0, probe.SCTPInit, probe.SCTPInitValue(0x11111111, false)); !bytes.Equal(got, want) {
		t.Errorf("want % x\ngot  % x", want, got)
	}
	// A chunk ends on a word; how long it is says its length.
	data := probe.SCTPPacket(1, 2, 3, probe.SCTPData, []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'x'})
	if len(data) != 32 || data[13] != 3 || data[15] != 17 {
		t.Errorf("data: % x", data)
	}
	if v := probe.SCTPInitValue(1, true); len(v) != 24 || v[17] != 7 || v[19] != 8 {
		t.Errorf("INIT ACK: % x", v)
	}
}

// reference is the CRC32C of b, by long division.
func reference(b []byte) uint32 {
	crc := ^uint32(0)
	for _, x := range b {
		crc ^= uint32(x)
		for range 8 {
			lowest := crc & 1
			crc >>= 1
			if lowest == 1 {
				crc ^= 0x82f63b78
			}
		}
	}
	return ^crc
}
