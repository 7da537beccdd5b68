package bench

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// connections are TCP connections of real packets, for gateways that learn of flows by
// nothing else. They are between the hosts of a flood, made by hand at both ends, and
// only forwarded: so what either end says is known beforehand.
//
// When one is over its entry goes, on both gateways, by ctnetlink: each kernel would do
// that when TIME_WAIT is over, which nobody waits for.
type connections struct {
	volleys [len(segments)]*volley
	tables  tables
}

// segments are those of a connection's life, in their order. What each acknowledges
// follows from who has said what before.
var segments = [...]struct {
	out   bool // from inside
	seq   uint32
	ack   uint32
	flags byte
}{
	{true, clientFirst, 0, tcpSYN},
	{false, serverFirst, clientFirst + 1, tcpSYN | tcpACK},
	{true, clientFirst + 1, serverFirst + 1, tcpACK},
	{true, clientFirst + 1, serverFirst + 1, tcpFIN | tcpACK},
	{false, serverFirst + 1, clientFirst + 2, tcpFIN | tcpACK},
	{true, clientFirst + 2, serverFirst + 2, tcpACK},
}

// Where in segments the parts of a life are.
const (
	opening  = 3 // so many at its beginning
	hangUp   = 3
	answered = 4
	lastWord = 5
)

// The first sequence numbers.
const clientFirst, serverFirst = 1000, 5000

const connectionPort = 443

// connectionKey is the n-th connection, as gateways know it.
func connectionKey(n int) session.Key {
	src, port := floodFlow(n)
	return key(src, port, floodThere, connectionPort)
}

// connections prepares n of them, from the first-th on.
func (b *bed) connections(first, n int) (c *connections, err error) {
	c = &connections{}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	macs := b.macs()
	for i, s := range segments {
		frames := make([][]byte, n)
		for j := range frames {
			src, port := floodFlow(first + j)
			from, to, mac, own := netip.AddrPortFrom(src, port), netip.AddrPortFrom(floodThere, connectionPort), macs[0], floodMACs[0]
			if !s.out {
				from, to, mac, own = to, from, macs[1], floodMACs[1]
			}
			frames[j] = ipv4Frame(mac, own, 64, unix.IPPROTO_TCP, from.Addr(), to.Addr(), tcpSegment(from, to, s.seq, s.ack, s.flags))
		}
		node := b.net.Outside
		if s.out {
			node = b.net.Inside
		}
		if c.volleys[i], err = openVolley(node, "eth0", frames); err != nil {
			return nil, err
		}
	}
	c.tables, err = b.tables()
	return c, err
}

func (c *connections) close() {
	for _, v := range c.volleys {
		if v != nil {
			v.close()
		}
	}
	c.tables.close()
}

// talk is some connections, which take each step together. Batches of one set must take
// it in their order.
type talk struct {
	*connections
	keys []session.Key
}

func (t *talk) names() []session.Key { return t.keys }

// begin opens them, some at a time.
func (t *talk) begin() error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for n := len(t.keys); n > 0; {
		some := min(n, 32)
		for i := range opening {
			if err := t.volleys[i].send(some); err != nil {
				return err
			}
		}
		n -= some
	}
	return nil
}

// state has them say what brings a connection into the state.
func (t *talk) state(s session.TCPState) error {
	step, ok := map[session.TCPState]int{session.TCPFinWait: hangUp, session.TCPLastAck: answered, session.TCPTimeWait: lastWord}[s]
	if !ok {
		return fmt.Errorf("bench: no segment for state %d", s)
	}
	return t.volleys[step].send(len(t.keys))
}

func (t *talk) end() error { return t.tables.forget(t.keys) }

// gateways are those whose kernels sessions are put into, or taken out of, by hand: the
// active one, and the standby too if nobody tells that of the end of a flow.
func (b *bed) gateways() []*pair.Gateway {
	if b.copies {
		return []*pair.Gateway{b.active, b.standby}
	}
	return []*pair.Gateway{b.active}
}

// tables are the connection tables of those gateways.
type tables []*conntrack.Kernel

func (b *bed) tables() (t tables, err error) {
	for _, g := range b.gateways() {
		err := g.Do(func() error {
			k, err := conntrack.OpenKernel()
			if err == nil {
				t = append(t, k)
			}
			return err
		})
		if err != nil {
			t.close()
			return nil, fmt.Errorf("bench: %s: %w", g.Name, err)
		}
	}
	return t, nil
}

func (t tables) close() {
	for _, k := range t {
		_ = k.Close() // nothing is under way
	}
}

// forget takes entries out, where they are.
func (t tables) forget(keys []session.Key) error {
	var errs []error
	for _, k := range t {
		if err := k.Delete(keys, make([]error, len(keys))); err != nil {
			errs = append(errs, fmt.Errorf("bench: delete flows: %w", err))
		}
	}
	return errors.Join(errs...)
}

// forget has gateways forget flows.
func (b *bed) forget(keys []session.Key) error {
	t, err := b.tables()
	if err != nil {
		return err
	}
	defer t.close()
	return t.forget(keys)
}

// passing counts the sessions of measurements that a gateway's kernel has.
func passing(g *pair.Gateway) (n int, err error) {
	err = g.Do(func() error {
		k, err := conntrack.OpenKernel()
		if err != nil {
			return err
		}
		defer k.Close()
		return k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
			if r := &ev.Rec; made(&r.Key) && r.Replicable() {
				n++
			}
		})
	})
	if err != nil {
		return 0, fmt.Errorf("bench: connections of %s: %w", g.Name, err)
	}
	return n, nil
}

// TCP's control bits (RFC 9293 section 3.1).
const (
	tcpFIN = 0x01
	tcpSYN = 0x02
	tcpACK = 0x10
)

// tcpSegment is a segment without data, with its checksum. One that opens a connection
// says what today's do: its size, that it takes selective acknowledgements, and its
// window scale.
func tcpSegment(from, to netip.AddrPort, seq, ack uint32, flags byte) []byte {
	var options []byte
	if flags&tcpSYN != 0 {
		options = []byte{2, 4, 0x05, 0xb4, 4, 2, 3, 3, 7, 0, 0, 0}
	}
	b := binary.BigEndian.AppendUint16(nil, from.Port())
	b = binary.BigEndian.AppendUint16(b, to.Port())
	b = binary.BigEndian.AppendUint32(b, seq)
	b = binary.BigEndian.AppendUint32(b, ack)
	b = append(b, byte(20+len(options))/4<<4, flags, 0xff, 0xff, 0, 0, 0, 0)
	b = append(b, options...)
	sum := uint32(unix.IPPROTO_TCP + len(b))
	for _, a := range []netip.Addr{from.Addr(), to.Addr()} {
		x := a.As4()
		sum += uint32(binary.BigEndian.Uint16(x[:2])) + uint32(binary.BigEndian.Uint16(x[2:]))
	}
	binary.BigEndian.PutUint16(b[16:], internetSum(sum, b))
	return b
}
