package nft_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/nat"
	"understudy/nat/entry"
)

// Datagrams of a flow go to one server, and ICMP errors about what it sends go to it too.
func TestDirectDatagramsAndErrors(t *testing.T) {
	n := newDirectLab(t)
	for _, six := range []bool{false, true} {
		s := direct(six, entry.RoundRobin, func(c *entry.Config) { c.Match.Proto = nat.UDP })
		n.apply(s)
		type arrival struct {
			server int
			what   string
		}
		arrived, errs := make(chan arrival, 64), make(chan int, 8)
		for i, node := range n.servers {
			var c *net.UDPConn
			n.must(node.Do(func() (err error) {
				c, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(vipOf(s)))
				return err
			}))
			t.Cleanup(func() { c.Close() })
			go func() {
				b := make([]byte, 4096)
				for {
					size, from, err := c.ReadFrom(b)
					if err != nil {
						return
					}
					_, _ = c.WriteTo(b[:size], from)
					arrived <- arrival{i, string(b[:size])}
				}
			}()
			n.hearErrors(node, six, func() { errs <- i })
		}
		var c net.Conn
		n.must(n.client.Do(func() (err error) { c, err = net.Dial("udp", vipOf(s).String()); return err }))
		t.Cleanup(func() { c.Close() })
		send := func(what string) int {
			_, err := c.Write([]byte(what))
			n.must(err)
			n.must(c.SetReadDeadline(time.Now().Add(20 * time.Second)))
			b := make([]byte, 4096)
			size, err := c.Read(b)
			n.must(err)
			if string(b[:size]) != what {
				t.Fatalf("%d bytes are answered with %d", len(what), size)
			}
			return (<-arrived).server
		}
		first := send("one")
		for i := range directServers {
			if i != first { // the table says otherwise now, the flow stays
				n.step(s, entry.Input{Kind: entry.InDrain, Server: s.Config().Servers[first].Address, On: true})
			}
		}
		for range 4 {
			if got := send("more"); got != first {
				t.Errorf("six %v: a datagram goes to server %d, the first went to %d", six, got, first)
			}
		}
		n.sendError(six, vipOf(s), c.LocalAddr().(*net.UDPAddr).AddrPort())
		select {
		case got := <-errs:
			if got != first {
				t.Errorf("six %v: an error about server %d goes to %d", six, first, got)
			}
		case <-time.After(20 * time.Second):
			t.Errorf("six %v: no server hears of the error", six)
		}
		n.apply()
	}
}

// hearErrors calls fn for each ICMP error that a node gets about a datagram.
func (n *directLab) hearErrors(node *lab.Node, six bool, fn func()) {
	n.t.Helper()
	network, address, typ := "ip4:icmp", "0.0.0.0", byte(3)
	if six {
		network, address, typ = "ip6:ipv6-icmp", "::", 2
	}
	var c net.PacketConn
	n.must(node.Do(func() (err error) { c, err = net.ListenPacket(network, address); return err }))
	n.t.Cleanup(func() { c.Close() })
	go func() {
		b := make([]byte, 2048)
		for {
			size, _, err := c.ReadFrom(b)
			if err != nil {
				return
			}
			if size > 0 && b[0] == typ {
				fn()
			}
		}
	}()
}

// sendError has the client's host say that a datagram of the VIP's was too big.
func (n *directLab) sendError(six bool, from, to netip.AddrPort) {
	n.t.Helper()
	var about []byte
	if six {
		about = make([]byte, 48)
		about[0], about[5], about[6], about[7] = 0x60, 8, unix.IPPROTO_UDP, 60
		copy(about[8:], from.Addr().AsSlice())
		copy(about[24:], to.Addr().AsSlice())
	} else {
		about = make([]byte, 28)
		about[0], about[3], about[8], about[9] = 0x45, 28, 60, unix.IPPROTO_UDP
		copy(about[12:], from.Addr().AsSlice())
		copy(about[16:], to.Addr().AsSlice())
	}
	ports := about[len(about)-8:]
	binary.BigEndian.PutUint16(ports, from.Port())
	binary.BigEndian.PutUint16(ports[2:], to.Port())
	binary.BigEndian.PutUint16(ports[4:], 8)
	network, header := "ip4:icmp", []byte{3, 4, 0, 0, 0, 0, 0x05, 0x14}
	if six {
		network, header = "ip6:ipv6-icmp", []byte{2, 0, 0, 0, 0, 0, 0x05, 0x14}
	}
	b := append(header, about...)
	if !six { // that of IPv6 is the kernel's affair
		sum := uint32(0)
		for i := 0; i < len(b); i += 2 {
			sum += uint32(binary.BigEndian.Uint16(b[i:]))
		}
		for sum > 0xffff {
			sum = sum>>16 + sum&0xffff
		}
		binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	}
	n.must(n.client.Do(func() error {
		c, err := net.Dial(network, from.Addr().String())
		if err != nil {
			return err
		}
		defer c.Close()
		_, err = c.Write(b)
		return err
	}))
}
