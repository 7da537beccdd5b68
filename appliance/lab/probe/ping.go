package probe

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
)

// PingOptions places a ping.
type PingOptions struct {
	Client Place
	Target netip.Addr    // IPv4
	Every  time.Duration // 0: 10 ms
	ID     uint16        // of the echo requests; 0: 1
}

// StartPing sends an ICMP echo request each interval, all with one identifier:
// one flow to a translation.
func StartPing(o PingOptions) (*Echo, error) {
	if o.Every == 0 {
		o.Every = 10 * time.Millisecond
	}
	if o.ID == 0 {
		o.ID = 1
	}
	var conn *net.IPConn
	err := o.Client.Do(func() (err error) {
		if conn, err = net.DialIP("ip4:icmp", nil, &net.IPAddr{IP: o.Target.AsSlice()}); err != nil {
			return err
		}
		return stamps(conn)
	})
	if err != nil {
		if conn != nil {
			conn.Close()
		}
		return nil, fmt.Errorf("probe: %w", err)
	}
	e := newEcho(time.Now())
	e.closers = []func() error{conn.Close}
	e.wait.Go(func() { e.readPing(conn, o.ID) })
	e.wait.Go(func() {
		pace(o.Every, func() bool {
			if e.stop.Load() {
				return false
			}
			// The sequence number has 16 bits; the whole number is in the data.
			seq := e.next(time.Now())
			body := &icmp.Echo{ID: int(o.ID), Seq: int(seq & 0xffff), Data: binary.BigEndian.AppendUint64(nil, seq)}
			b, err := (&icmp.Message{Type: ipv4.ICMPTypeEcho, Body: body}).Marshal(nil)
			if err == nil {
				_, err = conn.Write(b)
			}
			if err != nil && !errors.Is(err, net.ErrClosed) {
				e.failed()
			}
			return true
		})
	})
	return e, nil
}

func (e *Echo) readPing(conn *net.IPConn, id uint16) {
	buf, oob := make([]byte, 256), make([]byte, 128)
	for {
		n, oobn, _, _, err := conn.ReadMsgIP(buf, oob)
		if e.stop.Load() || errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil {
			e.failed()
			continue
		}
		b := buf[:n]
		if n > 20 && b[0]>>4 == 4 { // raw sockets deliver the IP header
			b = b[min(n, int(b[0]&15)*4):]
		}
		m, err := icmp.ParseMessage(ipv4.ICMPTypeEcho.Protocol(), b)
		if err != nil {
			continue
		}
		switch body := m.Body.(type) {
		case *icmp.Echo:
			if m.Type == ipv4.ICMPTypeEchoReply && body.ID == int(id) && len(body.Data) == 8 {
				e.came(binary.BigEndian.Uint64(body.Data), stamp(oob[:oobn], time.Now()))
			}
		case *icmp.DstUnreach, *icmp.TimeExceeded, *icmp.ParamProb:
			e.failed()
		}
	}
}
