package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"sync"
	"time"
)

// UDPOptions places a UDP probe.
type UDPOptions struct {
	Client, Server Place
	Listen         netip.AddrPort // of the server
	Target         netip.AddrPort // where the client sends to: the server, or what forwards to it
	Every          time.Duration  // 0: 1 ms
}

// StartUDP sends a datagram each interval from one socket; the server sends
// each back to where it came from.
func StartUDP(o UDPOptions) (*Echo, error) {
	if o.Every == 0 {
		o.Every = time.Millisecond
	}
	var server, client *net.UDPConn
	err := o.Server.Do(func() (err error) {
		server, err = net.ListenUDP("udp", net.UDPAddrFromAddrPort(o.Listen))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("probe: %w", err)
	}
	err = o.Client.Do(func() (err error) {
		if client, err = net.DialUDP("udp", nil, net.UDPAddrFromAddrPort(o.Target)); err != nil {
			return err
		}
		return stamps(client)
	})
	if err != nil {
		server.Close()
		if client != nil {
			client.Close()
		}
		return nil, fmt.Errorf("probe: %w", err)
	}
	e := newEcho(time.Now())
	e.closers = []func() error{client.Close, server.Close}
	seen := &sources{}
	e.sources = seen.list
	e.wait.Go(func() { serveUDP(server, seen) })
	e.wait.Go(func() { e.readUDP(client) })
	e.wait.Go(func() {
		var b [8]byte
		pace(o.Every, func() bool {
			if e.stop.Load() {
				return false
			}
			binary.BigEndian.PutUint64(b[:], e.next(time.Now()))
			if _, err := client.Write(b[:]); err != nil && !errors.Is(err, net.ErrClosed) {
				e.failed()
			}
			return true
		})
	})
	return e, nil
}

func (e *Echo) readUDP(conn *net.UDPConn) {
	var b [16]byte
	oob := make([]byte, 128)
	for {
		n, oobn, _, _, err := conn.ReadMsgUDPAddrPort(b[:], oob)
		switch {
		case e.stop.Load() || errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			e.failed()
		case n == 8:
			e.came(binary.BigEndian.Uint64(b[:]), stamp(oob[:oobn], time.Now()))
		}
	}
}

func serveUDP(conn *net.UDPConn, seen *sources) {
	var b [16]byte
	for {
		n, from, err := conn.ReadFromUDPAddrPort(b[:])
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			continue // about an earlier answer
		}
		seen.note(from)
		_, _ = conn.WriteToUDPAddrPort(b[:n], from) // a lost answer is what is measured
	}
}

// sources keeps the addresses that a server saw.
type sources struct {
	mu   sync.Mutex
	addr []netip.AddrPort
	seen []Source
}

func (s *sources) note(a netip.AddrPort) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.addr {
		if s.addr[i] == a {
			s.seen[i].Count++
			return
		}
	}
	s.addr = append(s.addr, a)
	s.seen = append(s.seen, Source{Addr: netip.AddrPortFrom(a.Addr().Unmap(), a.Port()).String(), First: time.Now(), Count: 1})
}

func (s *sources) list() []Source {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]Source(nil), s.seen...)
}
