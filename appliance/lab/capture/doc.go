// Package capture records what passes over a segment of the laboratory.
//
// A [Capture] listens to every port of the segment at once and keeps each
// frame exactly once, as it comes in from a node, so a [Frame] knows which
// node sent it, whatever source address it claims. Frames are stamped by the
// kernel; the stamps are comparable with time.Now of this process.
//
//	c, err := capture.Start(segment, capture.Options{Filter: capture.Suspicious(inside)})
//	…
//	c.Stop()
//	for _, f := range c.Frames() { fmt.Println(f) }
//
// Decoding is by [Decode], which knows ARP, IPv4 and IPv6 with TCP, UDP, ICMP
// and VRRP, just far enough to say what a frame is. It checks no checksum: on
// a veth they are often left to hardware that is not there. Lengths may be
// past any MTU for the same reason (segmentation offload).
package capture
