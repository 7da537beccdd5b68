package interop

import (
	"encoding/binary"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/capture"
)

const broadcast = "ff:ff:ff:ff:ff:ff"

// asker is a host that asks with frames made by hand, in the name of its own
// kernel: answers find their way, and are seen on the wire.
type asker struct {
	*socket
	mac string
	ip  netip.Addr
}

func (d *dut) asker() *asker {
	d.t.Helper()
	return &asker{d.socket(d.host, "lan0"), d.host.Link("lan0").MAC.String(), netip.MustParseAddr("10.0.1.9")}
}

// arp asks who has an address; to is a MAC.
func (a *asker) arp(to string, who netip.Addr) time.Time {
	a.t.Helper()
	mac, err := net.ParseMAC(a.mac)
	a.must(err)
	b := []byte{0, 1, 8, 0, 6, 4, 0, 1}
	b = append(append(b, mac...), a.ip.AsSlice()...)
	b = append(append(b, make([]byte, 6)...), who.AsSlice()...)
	return a.frame(a.mac, to, unix.ETH_P_ARP, b)
}

// ip sends an IPv4 packet to a MAC.
func (a *asker) ipv4(to string, dst netip.Addr, ttl, proto byte, payload []byte) time.Time {
	a.t.Helper()
	b := []byte{0x45, 0, 0, 0, 0, 1, 0, 0, ttl, proto, 0, 0}
	b = append(append(b, a.ip.AsSlice()...), dst.AsSlice()...)
	b = append(b, payload...)
	binary.BigEndian.PutUint16(b[2:], uint16(len(b)))
	return a.frame(a.mac, to, unix.ETH_P_IP, ipSum(b))
}

// ping sends an echo request.
func (a *asker) ping(to string, dst netip.Addr) time.Time {
	a.t.Helper()
	b := []byte{8, 0, 0, 0, 0, 1, 0, 1}
	binary.BigEndian.PutUint16(b[2:], internetSum(b))
	return a.ipv4(to, dst, 64, 1, b)
}

// udp sends a datagram to a port where nobody listens, without a checksum.
func (a *asker) udp(to string, dst netip.Addr) time.Time {
	a.t.Helper()
	return a.ipv4(to, dst, 64, 17, []byte{0x30, 0x39, 0x30, 0x39, 0, 8, 0, 0})
}

// syn opens a connection to a port where nobody listens.
func (a *asker) syn(to string, dst netip.Addr) time.Time {
	a.t.Helper()
	b := []byte{0x30, 0x39, 0x30, 0x39, 0, 0, 0, 1, 0, 0, 0, 0, 0x50, 2, 0x20, 0, 0, 0, 0, 0}
	s, d := a.ip.AsSlice(), dst.AsSlice()
	pseudo := append(append(append([]byte{}, s...), d...), 0, 6, 0, byte(len(b)))
	binary.BigEndian.PutUint16(b[16:], internetSum(append(pseudo, b...)))
	return a.ipv4(to, dst, 64, 6, b)
}

// answers lists what we have sent in the name of an address since t: ARP replies
// and whole packets, but no adverts.
func (w *wire) answers(from string, name netip.Addr, t time.Time) (list []capture.Packet) {
	for _, f := range w.c.Frames() {
		if f.From != from || f.At.Before(t) {
			continue
		}
		p := capture.Decode(f.Data)
		switch {
		case p.Src != name || p.Kind == capture.VRRP || p.Announces(name):
		case p.Kind == capture.ARP && p.Op != 2: // a question of ours
		default:
			list = append(list, p)
		}
	}
	return list
}

// answered waits for an answer of ours in the name of an address.
func (d *dut) answered(what string, name netip.Addr, t time.Time, kind capture.Kind) capture.Packet {
	d.t.Helper()
	var got capture.Packet
	d.wait(what, func() error {
		for _, p := range d.wire.answers(d.Name, name, t) {
			if p.Kind == kind {
				got = p
				return nil
			}
		}
		return errNotYet
	})
	return got
}
