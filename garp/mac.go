package garp

import "fmt"

// MAC is an Ethernet address as it is on the wire. Unlike net.HardwareAddr it
// is comparable, so that it can be part of a [Claim].
type MAC [6]byte

// Broadcast is the address every station of a segment listens to.
var Broadcast = MAC{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// String returns the address as colon-separated hexadecimal.
func (m MAC) String() string {
	return fmt.Sprintf("%02x:%02x:%02x:%02x:%02x:%02x", m[0], m[1], m[2], m[3], m[4], m[5])
}

// IsZero reports whether m is 00:00:00:00:00:00, which in a [Claim] stands for
// the interface's own address.
func (m MAC) IsZero() bool { return m == MAC{} }

// isGroup reports whether the I/G bit is set: no single station may use such
// an address as its own.
func (m MAC) isGroup() bool { return m[0]&1 != 0 }
