package capture

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
)

// WritePCAP writes frames as a capture file with nanosecond stamps, which
// tcpdump and Wireshark read.
func WritePCAP(w io.Writer, frames []Frame) error {
	b := bufio.NewWriter(w)
	h := make([]byte, 24)
	binary.NativeEndian.PutUint32(h[0:], 0xa1b23c4d)
	binary.NativeEndian.PutUint16(h[4:], 2)
	binary.NativeEndian.PutUint16(h[6:], 4)
	binary.NativeEndian.PutUint32(h[16:], 1<<18)
	binary.NativeEndian.PutUint32(h[20:], 1) // Ethernet
	if _, err := b.Write(h); err != nil {
		return fmt.Errorf("capture: write: %w", err)
	}
	r := make([]byte, 16)
	for _, f := range frames {
		binary.NativeEndian.PutUint32(r[0:], uint32(f.At.Unix()))
		binary.NativeEndian.PutUint32(r[4:], uint32(f.At.Nanosecond()))
		binary.NativeEndian.PutUint32(r[8:], uint32(len(f.Data)))
		binary.NativeEndian.PutUint32(r[12:], uint32(f.Len))
		if _, err := b.Write(append(r, f.Data...)); err != nil {
			return fmt.Errorf("capture: write: %w", err)
		}
	}
	if err := b.Flush(); err != nil {
		return fmt.Errorf("capture: write: %w", err)
	}
	return nil
}
