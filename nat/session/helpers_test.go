package session

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"time"
)

var (
	t0     = time.Unix(1_700_000_000, 0)
	seed   = [2]uint64{0x1234567890abcdef, 0xfedcba0987654321}
	vip    = netip.MustParseAddr("203.0.113.1")
	vip6   = netip.MustParseAddr("2001:db8::1")
	inside = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
)

func testScope() *Scope {
	return NewScope(ScopeConfig{Groups: [][]netip.Addr{{vip, vip6}}, Inside: inside})
}

// snat makes the n-th of many TCP flows whose source is translated to vip.
func snat(n uint32) Record {
	var src [4]byte
	binary.BigEndian.PutUint32(src[:], 0x0a000000|n>>14)
	r := Record{
		Key: Key{Src: AddrFrom(netip.AddrFrom4(src)), Dst: AddrFrom(netip.MustParseAddr("198.51.100.7")),
			SrcPort: uint16(1024 + n&0x3fff), DstPort: 443, Proto: protoTCP, Family: 4},
		ReplySrc: AddrFrom(netip.MustParseAddr("198.51.100.7")), ReplyDst: AddrFrom(vip),
		ReplySrcPort: 443, ReplyDstPort: uint16(20000 + n%40000),
		ID: n * 77, Status: StatusSeenReply | StatusAssured | StatusConfirmed | StatusSrcNAT, Timeout: 432000,
		TCP: TCP{State: TCPEstablished, WScaleOrig: 7, WScaleReply: 9, FlagsOrig: 0x23, FlagsReply: 0x23},
	}
	return r
}

// pair is two nodes with a link from a to b, a Active for group "gw".
type pair struct {
	ta, tb *Table
	ga, gb *Groups
	s      *Sender
	r      *Receiver
	now    time.Time
	buf    []byte
	kernel map[Key]Record // what b's kernel was told
	recs   [64]Record
	work   [64]Work
	frames []byte // not yet delivered to b
	back   []byte // not yet delivered to a
	survey *Survey
}

func newPair() *pair {
	p := &pair{now: t0, buf: make([]byte, 0, 16<<10), kernel: map[Key]Record{}}
	p.ta, p.tb = NewTable(seed, t0, 0), NewTable([2]uint64{1, 2}, t0, 0)
	p.ga, p.gb = NewGroups("a", "gw"), NewGroups("b", "gw")
	p.s = NewSender(p.ta, p.ga, 1, Hello{Node: "a", Boot: 1})
	p.r = NewReceiver(p.tb, p.gb, testScope(), Hello{Node: "b", Boot: 2})
	return p
}

func (p *pair) connect() {
	p.frames, p.back = nil, nil
	p.s.Connect(p.now)
	p.r.Connect(p.now)
}

// send moves what a has to say onto the wire, at most limit fills.
func (p *pair) send(limit int) {
	for ; limit > 0; limit-- {
		b := p.s.Fill(p.now, p.buf[:0])
		if len(b) == 0 {
			return
		}
		p.frames = append(p.frames, b...)
	}
}

// deliver hands up to limit frames to b and everything b answers to a.
func (p *pair) deliver(limit int) error {
	for ; limit > 0 && len(p.frames) > 0; limit-- {
		h, err := ParseHeader(p.frames)
		if err != nil {
			return err
		}
		if err := p.r.Handle(p.now, h.Type, p.frames[HeaderLen:HeaderLen+h.Length]); err != nil {
			return fmt.Errorf("%v: %w", h.Type, err)
		}
		for p.r.Sweep(p.now) {
		}
		p.frames = p.frames[HeaderLen+h.Length:]
	}
	return p.answer()
}

// answer hands to a what b has to say.
func (p *pair) answer() error {
	p.install()
	p.back = p.r.Reply(p.back)
	for len(p.back) > 0 {
		h, err := ParseHeader(p.back)
		if err != nil {
			return err
		}
		if err := p.s.Handle(p.now, h.Type, p.back[HeaderLen:HeaderLen+h.Length]); err != nil {
			return err
		}
		p.back = p.back[HeaderLen+h.Length:]
	}
	return nil
}

func (p *pair) install() {
	for {
		n, pos := p.tb.TakeKernel(p.recs[:], p.work[:])
		for i := range n {
			if p.work[i].Op == OpDelete {
				delete(p.kernel, p.recs[i].Key)
			} else {
				p.kernel[p.recs[i].Key] = p.recs[i]
			}
		}
		p.r.Applied(pos)
		if n == 0 {
			return
		}
	}
}

// failer is what a test and a property have in common.
type failer interface {
	Helper()
	Fatal(...any)
}

// settle lets everything arrive.
func (p *pair) settle(t failer) {
	t.Helper()
	for range 100000 {
		p.send(1)
		if len(p.frames) == 0 && p.s.Idle() {
			if ok, _ := p.s.Synced(); ok {
				return
			}
		}
		if err := p.deliver(1 << 30); err != nil {
			t.Fatal(err)
		}
	}
	t.Fatal("the pair does not settle")
}

func (p *pair) upsert(r *Record) {
	s, ch, err := p.ta.Upsert(r, 0, 0)
	if err == nil && ch&ChangeWire != 0 {
		p.ta.Mark(s, p.s.Sink(), p.now)
	}
}

func (p *pair) delete(k *Key) {
	if s, ok := p.ta.Lookup(k); ok {
		p.ta.Delete(s, p.s.Sink(), p.now)
	}
}
