package bytelog

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"testing"
	"time"

	"understudy/nat/splice"
)

// FuzzTake: whatever comes, what is in order stays as it was said, memory adds up and keeps its
// bounds, and nothing of what is given up can be read.
func FuzzTake(f *testing.F) {
	f.Add([]byte{0, 2, 0, 0, 0, 0, 1, 18, 0, 0, 0, 0, 0, 16, 0, 0, 0, 0, 0, 24, 0, 0, 0, 200, 1, 24, 0, 0, 200, 100, 0, 17, 0, 200, 100, 0})
	f.Add([]byte{0, 2, 0, 0, 0, 0, 1, 18, 0, 0, 0, 0, 0, 24, 0, 9, 0, 200, 0, 24, 0, 0, 0, 9, 1, 20, 0, 0, 0, 0, 0, 2, 0, 5, 0, 0})
	f.Add([]byte{0, 2, 0, 0, 0, 0, 1, 18, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 24, 0, 0, 0, 255, 0, 16, 0, 0, 255, 0, 3, 0, 0, 3, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		cfg := Config{Memory: 64 << 10, PerConnection: 16 << 10, Age: time.Minute}
		l := New(cfg)
		ends := [2]splice.Ends{{Server: server, Client: caller}, {Server: server, Client: netip.MustParseAddrPort("[2001:db8::9]:1")}}
		l.Serve([]netip.AddrPort{server})
		now := start
		var was [2][]byte // what the clients said so far
		var of [2]*Record
		for ; len(b) >= 6; b = b[6:] {
			now = now.Add(time.Duration(b[5]) * time.Millisecond)
			who := int(b[0] >> 7)
			switch b[0] & 0x7f % 4 {
			case 2:
				l.Lost()
			case 3:
				l.Expire(now)
				if r := l.Record(ends[who]); r != nil {
					r.Forget(uint64(b[3]))
					r.ForgetOutput(uint64(binary.BigEndian.Uint16(b[2:])))
				}
			default:
				p := splice.Packet{From: ends[who].Client, To: server, Sound: b[1]&0x80 == 0}
				// Near what makes sense, and with words that tell where they are.
				s := &p.Segment
				s.Flags, s.Window, s.Options = splice.Flags(b[1]&0x3f), 4000, splice.Options{Scaled: b[1]&0x40 == 0, Scale: 2}
				s.Seq, s.Ack = uint32(int16(binary.BigEndian.Uint16(b[2:])))-5000, uint32(b[4])*8-5000
				if s.Flags&splice.SYN == 0 {
					s.Seq, s.Ack = s.Seq+1, s.Ack+1
					s.Data = make([]byte, int(b[5])*8)
					for i := range s.Data {
						s.Data[i] = byte(s.Seq+uint32(i)) ^ b[4]&1
					}
				}
				if b[0]&1 == 1 {
					p.From, p.To = p.To, p.From
				}
				l.Take(now, &p)
			}
			used := 0
			for r := range l.Records() {
				used += r.Memory()
			}
			if st := l.Status(); st.Memory != used || l.kept() > cfg.Memory {
				t.Fatalf("%d bytes in records, %d in all, %d of them are bounded", used, st.Memory, l.kept())
			}
			for i, e := range ends {
				r := l.Record(e)
				if r != of[i] {
					of[i], was[i] = r, nil
				}
				if r == nil {
					continue
				}
				c := &r.Client
				got := make([]byte, c.Len()-min(c.Trimmed(), c.Len()))
				n := c.ReadAt(got, c.Trimmed())
				switch {
				case r.why != None && (n != 0 || r.Server.Matches(0, []byte("x")) || r.Memory() != recordCost):
					t.Fatal("what is given up is kept")
				case r.why != None:
					continue
				case n != len(got) || r.Memory() > cfg.PerConnection+ChunkSize:
					t.Fatalf("%d of %d bytes can be read, of %d of memory", n, len(got), r.Memory())
				case c.Len() < uint64(len(was[i])) || c.Trimmed() < uint64(len(was[i])) && !bytes.HasPrefix(got, was[i][c.Trimmed():]):
					t.Fatal("what was said is something else now")
				}
				was[i] = append(was[i][:min(c.Trimmed(), uint64(len(was[i])))], got...)
				if r.Client.Acked() > c.Len() || r.Server.Acked() > r.Server.Len() || r.Server.Kept() > r.Server.Len() {
					t.Fatal("more is acknowledged than was said")
				}
			}
		}
	})
}

// BenchmarkTake is a connection that asks and is answered, with parsing and checksums.
func BenchmarkTake(b *testing.B) {
	for _, size := range []int{100, 1448, 60000} {
		k := newTalk(b, Config{}).open()
		s := k.segment(1, 0, 0, "", nil)
		s.Data = make([]byte, size)
		packet := splice.AppendPacket(nil, k.ends.Server, k.ends.Client, &s)
		b.Run(map[int]string{100: "100", 1448: "1448", 60000: "60000"}[size], func(b *testing.B) {
			b.SetBytes(int64(size))
			b.ReportAllocs()
			off := k.record().Server.Len()
			for b.Loop() {
				p, _ := splice.ParsePacket(packet)
				p.Segment.Seq += uint32(off)
				k.l.Take(k.now, &p)
				off += uint64(size)
				k.client(0, off, "")
				k.record().ForgetOutput(off)
			}
			if why := k.refusal(); why != None {
				b.Fatal(why)
			}
		})
	}
}
