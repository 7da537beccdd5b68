package bench

import (
	"fmt"
	"net/netip"
	"runtime"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/nat/session"
)

// A flood is flows of one question and one answer each, as fast as one processor
// forwards them: real packets through the active gateway, made by hand at both
// ends. Nobody is there who answers: the answers are known beforehand, as these
// flows are routed and not translated.
var (
	floodNet    = netip.MustParsePrefix("10.7.0.0/16")
	floodInside = netip.MustParseAddr("10.0.0.200")    // the way to them, on the LAN
	floodThere  = netip.MustParseAddr("203.0.113.200") // whom they ask
)

const floodPort = 4000

// floodMACs are those of the two hosts that nobody is.
var floodMACs = [2][6]byte{{2, 0x1a, 0xb0, 0xff, 0, 1}, {2, 0x1a, 0xb0, 0xff, 0, 2}}

// floodFlow is the n-th flow.
func floodFlow(n int) (src netip.Addr, port uint16) {
	const ports = 40_000
	return netip.AddrFrom4([4]byte{10, 7, byte(n / ports / 250), byte(1 + n/ports%250)}), uint16(10_000 + n%ports)
}

func floodKey(n int) session.Key {
	src, port := floodFlow(n)
	k := key(src, port, floodThere, floodPort)
	k.Proto = unix.IPPROTO_UDP
	return k
}

// paths teaches the gateways that forward for those hosts, if only in copy, the way to
// them.
func (b *bed) paths() error {
	for _, g := range b.gateways() {
		if err := pathsOf(g); err != nil {
			return err
		}
	}
	return nil
}

func pathsOf(g *pair.Gateway) error {
	if err := g.Route(floodNet.String(), floodInside.String()); err != nil {
		return err
	}
	for i, iface := range []string{"lan0", "wan0"} {
		l, err := g.Netlink().LinkByName(iface)
		if err != nil {
			return fmt.Errorf("bench: %s: %w", iface, err)
		}
		ip := []netip.Addr{floodInside, floodThere}[i]
		if err := g.Netlink().NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: ip.AsSlice(), HardwareAddr: floodMACs[i][:], State: netlink.NUD_PERMANENT}); err != nil {
			return fmt.Errorf("bench: neighbour %s: %w", ip, err)
		}
	}
	return nil
}

// macs are those of the active gateway, inside and outside.
func (b *bed) macs() (macs [2][6]byte) {
	for i, iface := range []string{"lan0", "wan0"} {
		copy(macs[i][:], b.active.Link(iface).MAC)
	}
	return macs
}

// packets are the frames of flows from the first-th on: questions and answers.
type packets struct{ ask, answer *volley }

func (b *bed) packets(first, n int) (*packets, error) {
	macs := b.macs()
	var out, in [][]byte
	for i := range n {
		src, port := floodFlow(first + i)
		out = append(out, ipv4Frame(macs[0], floodMACs[0], 64, unix.IPPROTO_UDP, src, floodThere, udp(port, floodPort, nil)))
		in = append(in, ipv4Frame(macs[1], floodMACs[1], 64, unix.IPPROTO_UDP, floodThere, src, udp(floodPort, port, nil)))
	}
	ask, err := openVolley(b.net.Inside, "eth0", out)
	if err != nil {
		return nil, err
	}
	answer, err := openVolley(b.net.Outside, "eth0", in)
	if err != nil {
		ask.close()
		return nil, err
	}
	return &packets{ask, answer}, nil
}

func (p *packets) close() { p.ask.close(); p.answer.close() }

// send sends the questions and answers of the next n flows, some at a time, as fast
// as it can, and tells how long that took.
func (p *packets) send(n int) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for n > 0 {
		k := min(n, 32)
		if err := p.ask.send(k); err != nil {
			return 0, err
		}
		if err := p.answer.send(k); err != nil {
			return 0, err
		}
		n -= k
	}
	return time.Since(began), nil
}
