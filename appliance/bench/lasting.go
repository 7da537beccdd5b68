package bench

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
	"understudy/nat/session"
)

// lasting is a flow of a kind of its own, that was there for a while when its
// gateway dies.
type lasting struct {
	class string
	born  time.Time
	key   session.Key // zero: nobody asks for it
	// speaks tells whether check has the end that began the flow say something.
	speaks bool
	// check tells whether it goes on through the gateway that has taken over at
	// since: nil, or what is wrong.
	check func(since, deadline time.Time) error
	stop  func()
}

// wrongly is an error of a flow that goes on, but not as what it was.
type wrongly struct{ error }

// transfer is a bulk transfer outwards, its bytes up or down.
func transfer(ctx context.Context, p *pair.Pair, port uint16, down bool) (*lasting, error) {
	at := netip.AddrPortFrom(pair.Outside, port)
	s, err := probe.StartStream(ctx, probe.StreamOptions{Client: p.Inside, Server: p.Outside, Listen: at, Target: at, Down: down, Piece: 8 << 10})
	if err != nil {
		return nil, fmt.Errorf("bench: transfer: %w", err)
	}
	class := "bulk-up"
	if down {
		class = "bulk-down"
	}
	k := key(s.Caller().Addr(), s.Caller().Port(), at.Addr(), at.Port())
	return &lasting{class: class, born: s.Started(), key: k, speaks: !down, stop: s.Stop, check: func(since, deadline time.Time) error {
		if err := moves(deadline, func() (int, error) { return s.Since(since), s.Err() }); err != nil {
			return err
		}
		ctx, cancel := context.WithDeadline(context.Background(), deadline)
		defer cancel()
		return s.Finish(ctx)
	}}, nil
}

// stream is datagrams at a steady pace.
func stream(p *pair.Pair, port uint16) (*lasting, error) {
	at := netip.AddrPortFrom(pair.Outside, port)
	e, err := probe.StartUDP(probe.UDPOptions{Client: p.Inside, Server: p.Outside, Listen: at, Target: at, Every: 5 * time.Millisecond})
	if err != nil {
		return nil, fmt.Errorf("bench: datagrams: %w", err)
	}
	return &lasting{class: "udp-stream", born: time.Now(), stop: e.Stop, check: func(since, deadline time.Time) error {
		if err := moves(deadline, func() (int, error) { return e.Since(since), nil }); err != nil {
			return err
		}
		if seen := e.Sources(); len(seen) != 1 {
			return wrongly{fmt.Errorf("seen from %d addresses: %v", len(seen), seen)}
		}
		return nil
	}}, nil
}

// echoes is a ping.
func echoes(p *pair.Pair, id uint16) (*lasting, error) {
	e, err := probe.StartPing(probe.PingOptions{Client: p.Inside, Target: pair.Outside, ID: id})
	if err != nil {
		return nil, fmt.Errorf("bench: ping: %w", err)
	}
	return &lasting{class: "ping", born: time.Now(), stop: e.Stop, check: func(since, deadline time.Time) error {
		return moves(deadline, func() (int, error) { return e.Since(since), nil })
	}}, nil
}

// moves waits until enough has arrived.
func moves(deadline time.Time, arrived func() (int, error)) error {
	const enough = 10 // a first one alone may be a straggler
	for {
		switch n, err := arrived(); {
		case err != nil:
			return err
		case n >= enough:
			return nil
		case time.Now().After(deadline):
			return errNoAnswer
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// rawEnd is a socket for the packets of one protocol. What the kernel would answer
// by itself it does not, as somebody listens.
type rawEnd struct{ fd int }

func openRaw(n *lab.Node, local netip.Addr, proto int) (r rawEnd, err error) {
	err = n.Do(func() error {
		r.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_RAW|unix.SOCK_CLOEXEC, proto)
		return err
	})
	if err != nil {
		return r, fmt.Errorf("bench: raw socket: %w", err)
	}
	tv := unix.NsecToTimeval(int64(200 * time.Millisecond))
	err = errors.Join(unix.Bind(r.fd, &unix.SockaddrInet4{Addr: local.As4()}), unix.SetsockoptTimeval(r.fd, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &tv))
	if err != nil {
		r.close()
		return r, fmt.Errorf("bench: raw socket: %w", err)
	}
	return r, nil
}

func (r rawEnd) close() { _ = unix.Close(r.fd) }

// passes sends a packet until the other end has it, and returns who it is from and
// what follows the IP header.
func (r rawEnd) passes(to netip.Addr, packet []byte, other rawEnd, want func([]byte) bool, deadline time.Time) (netip.Addr, []byte, error) {
	buf := make([]byte, 2048)
	for time.Now().Before(deadline) {
		if err := unix.Sendto(r.fd, packet, 0, &unix.SockaddrInet4{Addr: to.As4()}); err != nil {
			return netip.Addr{}, nil, err
		}
		for {
			n, sa, err := unix.Recvfrom(other.fd, buf, 0)
			if err != nil {
				break // nothing for a while: again
			}
			from, ok := sa.(*unix.SockaddrInet4)
			if !ok || n < 20 || n < int(buf[0]&15)*4 {
				continue
			}
			if payload := buf[int(buf[0]&15)*4 : n]; want(payload) {
				return netip.AddrFrom4(from.Addr), payload, nil
			}
		}
	}
	return netip.Addr{}, nil, errNoAnswer
}

// association is an SCTP association outwards, its packets made by hand.
func association(p *pair.Pair, port uint16) (_ *lasting, err error) {
	inner, err := openRaw(p.Inside, pair.InsideHost, unix.IPPROTO_SCTP)
	if err != nil {
		return nil, err
	}
	outer, err := openRaw(p.Outside, pair.Outside, unix.IPPROTO_SCTP)
	if err != nil {
		inner.close()
		return nil, err
	}
	const ours, theirs, service = 0x11111111, 0x22222222, 3868 // tags of both ends, and the port that is called
	var seen [2]uint16                                         // the caller's port, as the far end saw it first, and last
	up := func(tag uint32, chunk byte, value []byte, deadline time.Time) error {
		_, b, err := inner.passes(pair.Outside, probe.SCTPPacket(port, service, tag, chunk, value), outer, func(b []byte) bool {
			return len(b) >= 16 && b[12] == chunk && binary.BigEndian.Uint16(b[2:]) == service
		}, deadline)
		if err == nil {
			seen[1] = binary.BigEndian.Uint16(b)
		}
		return err
	}
	down := func(tag uint32, chunk byte, value []byte, deadline time.Time) error {
		_, _, err := outer.passes(pair.WANAddress.Addr(), probe.SCTPPacket(service, seen[1], tag, chunk, value), inner, func(b []byte) bool {
			return len(b) >= 16 && b[12] == chunk && binary.BigEndian.Uint16(b[2:]) == port
		}, deadline)
		return err
	}
	data := []byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 'h', 'i', '!', '!'}
	soon := time.Now().Add(5 * time.Second)
	for _, step := range []func() error{
		func() error { return up(0, probe.SCTPInit, probe.SCTPInitValue(ours, false), soon) },
		func() error { return down(ours, probe.SCTPInitAck, probe.SCTPInitValue(theirs, true), soon) },
		func() error { return up(theirs, probe.SCTPCookieEcho, []byte{1, 2, 3, 4}, soon) },
		func() error { return down(ours, probe.SCTPCookieAck, nil, soon) },
		func() error { return up(theirs, probe.SCTPData, data, soon) },
	} {
		if err := step(); err != nil {
			inner.close()
			outer.close()
			return nil, fmt.Errorf("bench: SCTP association: %w", err)
		}
	}
	seen[0] = seen[1]
	k := key(pair.InsideHost, port, pair.Outside, service)
	k.Proto = unix.IPPROTO_SCTP
	return &lasting{class: "sctp", born: time.Now(), key: k, stop: func() { inner.close(); outer.close() },
		check: func(_, deadline time.Time) error {
			if err := errors.Join(up(theirs, probe.SCTPData, data, deadline), down(ours, probe.SCTPData, data, deadline)); err != nil {
				return err
			}
			if seen[0] != seen[1] {
				return wrongly{fmt.Errorf("seen from port %d, then %d", seen[0], seen[1])}
			}
			return nil
		}}, nil
}

// tunnel is a GRE tunnel outwards (RFC 2784), its packets made by hand.
func tunnel(p *pair.Pair) (*lasting, error) {
	inner, err := openRaw(p.Inside, pair.InsideHost, unix.IPPROTO_GRE)
	if err != nil {
		return nil, err
	}
	outer, err := openRaw(p.Outside, pair.Outside, unix.IPPROTO_GRE)
	if err != nil {
		inner.close()
		return nil, err
	}
	packet := append([]byte{0, 0, 8, 0}, make([]byte, 20)...)
	whatever := func(b []byte) bool { return len(b) >= 4 }
	talk := func(deadline time.Time) error {
		from, _, err := inner.passes(pair.Outside, packet, outer, whatever, deadline)
		if err != nil {
			return err
		}
		if from != pair.WANAddress.Addr() {
			return wrongly{fmt.Errorf("seen from %s", from)}
		}
		_, _, err = outer.passes(from, packet, inner, whatever, deadline)
		return err
	}
	if err := talk(time.Now().Add(5 * time.Second)); err != nil {
		inner.close()
		outer.close()
		return nil, fmt.Errorf("bench: GRE tunnel: %w", err)
	}
	k := key(pair.InsideHost, 0, pair.Outside, 0)
	k.Proto = unix.IPPROTO_GRE
	return &lasting{class: "gre", born: time.Now(), key: k, stop: func() { inner.close(); outer.close() },
		check: func(_, deadline time.Time) error { return talk(deadline) }}, nil
}

// ftpPort is where the far end of FTP listens; ftpRules have the kernel's helper
// read it, on both gateways.
const (
	ftpPort  = 21
	ftpRules = `table inet bench {
	ct helper ftp { type "ftp" protocol tcp; }
	chain pre { type filter hook prerouting priority filter;
		tcp dport 21 ct helper set "ftp"
	}
}
`
)

// ftp is a control connection outwards and a data connection that the server has
// opened, to the address that the gateway wrote into the client's words: a flow
// with a helper, and one that it expected.
func ftp(p *pair.Pair) (_ []*lasting, err error) {
	var open []io.Closer
	stop := func() {
		for _, c := range open {
			c.Close()
		}
	}
	defer func() {
		if err != nil {
			stop()
			err = fmt.Errorf("bench: FTP: %w", err)
		}
	}()
	soon := time.Now().Add(5 * time.Second)
	server, err := listenOn(p.Outside, netip.AddrPortFrom(pair.Outside, ftpPort))
	if err != nil {
		return nil, err
	}
	defer server.Close()
	data, err := listenOn(p.Inside, netip.AddrPortFrom(pair.InsideHost, 0))
	if err != nil {
		return nil, err
	}
	defer data.Close()
	dial := func(n *lab.Node, to string) (c net.Conn, err error) {
		d := net.Dialer{Deadline: soon, KeepAlive: -1}
		err = n.Do(func() error { c, err = d.Dial("tcp4", to); return err })
		if err == nil {
			open = append(open, c)
		}
		return c, err
	}
	accept := func(l *net.TCPListener) (net.Conn, error) {
		_ = l.SetDeadline(soon)
		c, err := l.Accept()
		if err == nil {
			open = append(open, c)
		}
		return c, err
	}
	control, err := dial(p.Inside, server.Addr().String())
	if err != nil {
		return nil, err
	}
	controlled, err := accept(server)
	if err != nil {
		return nil, err
	}
	words, back := bufio.NewReader(controlled), bufio.NewReader(control)
	// A helper reads lines from the second one on: it must have seen where one ends.
	if _, err := said(controlled, control, back, "220 ready\r\n", soon); err != nil {
		return nil, err
	}
	if _, err := said(control, controlled, words, "USER anonymous\r\n", soon); err != nil {
		return nil, err
	}
	port := netip.MustParseAddrPort(data.Addr().String()).Port()
	own := strings.ReplaceAll(pair.InsideHost.String(), ".", ",")
	line, err := said(control, controlled, words, fmt.Sprintf("PORT %s,%d,%d\r\n", own, port>>8, port&255), soon)
	if err != nil {
		return nil, err
	}
	to, err := ftpAddress(line)
	if err != nil {
		return nil, err
	}
	if to.Addr() != pair.WANAddress.Addr() {
		return nil, fmt.Errorf("the client's address is not translated in %q", strings.TrimSpace(line))
	}
	carries, err := dial(p.Outside, to.String())
	if err != nil {
		return nil, err
	}
	carried, err := accept(data)
	if err != nil {
		return nil, err
	}
	if _, err := said(carries, carried, bufio.NewReader(carried), "the file\n", soon); err != nil {
		return nil, err
	}
	return []*lasting{
		{class: "ftp", born: time.Now(), key: keyOf(control), speaks: true, stop: stop, check: func(_, deadline time.Time) error {
			_, err1 := said(control, controlled, words, "NOOP\r\n", deadline)
			_, err2 := said(controlled, control, back, "200 still here\r\n", deadline)
			return errors.Join(err1, err2)
		}},
		{class: "ftp-data", born: time.Now(), key: keyOf(carries), stop: func() {}, check: func(_, deadline time.Time) error {
			_, err1 := said(carries, carried, bufio.NewReader(carried), "more of the file\n", deadline)
			_, err2 := said(carried, carries, bufio.NewReader(carries), "thanks\n", deadline)
			return errors.Join(err1, err2)
		}},
	}, nil
}

func listenOn(n *lab.Node, at netip.AddrPort) (l *net.TCPListener, err error) {
	err = n.Do(func() error { l, err = net.ListenTCP("tcp4", net.TCPAddrFromAddrPort(at)); return err })
	return l, err
}

// said writes a line at one end and reads it at the other.
func said(from, to net.Conn, in *bufio.Reader, line string, deadline time.Time) (string, error) {
	if err := errors.Join(from.SetWriteDeadline(deadline), to.SetReadDeadline(deadline)); err != nil {
		return "", err
	}
	if _, err := io.WriteString(from, line); err != nil {
		return "", err
	}
	return in.ReadString('\n')
}

// ftpAddress reads the argument of PORT (RFC 959 section 4.1.2).
func ftpAddress(line string) (netip.AddrPort, error) {
	var a [4]byte
	var high, low uint8
	if _, err := fmt.Sscanf(strings.TrimSpace(line), "PORT %d,%d,%d,%d,%d,%d", &a[0], &a[1], &a[2], &a[3], &high, &low); err != nil {
		return netip.AddrPort{}, fmt.Errorf("%q: %w", line, err)
	}
	return netip.AddrPortFrom(netip.AddrFrom4(a), uint16(high)<<8|uint16(low)), nil
}

// keyOf is the original direction of a connection, for the end that has opened it.
func keyOf(c net.Conn) session.Key {
	from, err1 := netip.ParseAddrPort(c.LocalAddr().String())
	to, err2 := netip.ParseAddrPort(c.RemoteAddr().String())
	if err1 != nil || err2 != nil {
		return session.Key{}
	}
	return key(from.Addr(), from.Port(), to.Addr(), to.Port())
}
