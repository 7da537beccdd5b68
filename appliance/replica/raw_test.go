package replica_test

import (
	"encoding/binary"
	"net"
	"net/netip"
	"testing"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
)

// raw is a socket for the packets of one protocol, in a node. What the kernel
// would answer by itself it does not, as somebody listens.
type raw struct {
	t     testing.TB
	fd    int
	six   bool
	proto int
}

func rawSocket(t testing.TB, n *lab.Node, local string, proto int) *raw {
	t.Helper()
	a := netip.MustParseAddr(local)
	r := &raw{t: t, six: a.Is6(), proto: proto}
	family := unix.AF_INET
	if r.six {
		family = unix.AF_INET6
	}
	must(t, n.Do(func() (err error) {
		r.fd, err = unix.Socket(family, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		return err
	}))
	t.Cleanup(func() { unix.Close(r.fd) })
	must(t, unix.Bind(r.fd, r.sockaddr(a)))
	must(t, unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 3}))
	return r
}

func (r *raw) sockaddr(a netip.Addr) unix.Sockaddr {
	if r.six {
		return &unix.SockaddrInet6{Addr: a.As16()}
	}
	return &unix.SockaddrInet4{Addr: a.As4()}
}

// send sends a payload of the protocol; IP's header is the kernel's affair.
func (r *raw) send(to string, payload []byte) {
	r.t.Helper()
	must(r.t, unix.Sendto(r.fd, payload, 0, r.sockaddr(netip.MustParseAddr(to))))
}

// receive waits for a payload that fn takes, and returns who sent it.
func (r *raw) receive(fn func(payload []byte) bool) (from netip.Addr, ok bool) {
	r.t.Helper()
	buf := make([]byte, 2048)
	for range 100 {
		n, sa, err := unix.Recvfrom(r.fd, buf, 0)
		if err != nil {
			return from, false
		}
		payload := buf[:n]
		if s, ok := sa.(*unix.SockaddrInet4); ok {
			from = netip.AddrFrom4(s.Addr)
			payload = payload[int(payload[0]&15)*4:]
		} else if s, ok := sa.(*unix.SockaddrInet6); ok {
			from = netip.AddrFrom16(s.Addr)
		}
		if fn(payload) {
			return from, true
		}
	}
	return from, false
}

// echoRequest is an ICMP or ICMPv6 echo request; of the latter the kernel writes
// the checksum.
func echoRequest(six bool, id, seq uint16) []byte {
	b := []byte{8, 0, 0, 0, byte(id >> 8), byte(id), byte(seq >> 8), byte(seq), 'u', 's'}
	if six {
		b[0] = 128
		return b
	}
	sum := uint32(0)
	for i := 0; i < len(b); i += 2 {
		sum += uint32(binary.BigEndian.Uint16(b[i:]))
	}
	for sum>>16 != 0 {
		sum = sum&0xffff + sum>>16
	}
	binary.BigEndian.PutUint16(b[2:], ^uint16(sum))
	return b
}

// isEchoReply selects the answer to an echo request.
func isEchoReply(id, seq uint16) func([]byte) bool {
	return func(b []byte) bool {
		return len(b) >= 8 && (b[0] == 0 || b[0] == 129) && binary.BigEndian.Uint16(b[4:]) == id && binary.BigEndian.Uint16(b[6:]) == seq
	}
}

// grePacket is GRE version 0 (RFC 2784) with nothing of an IPv4 packet in it but room.
func grePacket() []byte { return append([]byte{0, 0, 8, 0}, make([]byte, 20)...) }

func isChunk(chunk byte) func([]byte) bool {
	return func(b []byte) bool { return len(b) >= 16 && b[12] == chunk }
}

func setTimeout(r *raw, seconds float64) error {
	tv := unix.NsecToTimeval(int64(seconds * 1e9))
	return unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv)
}

// rawUDP is a UDP socket that is not connected, as its peer answers from anywhere.
func rawUDP(t testing.TB, n *lab.Node, local string) (c net.PacketConn) {
	t.Helper()
	must(t, n.Do(func() (err error) { c, err = net.ListenPacket("udp", local); return err }))
	t.Cleanup(func() { c.Close() })
	return c
}
