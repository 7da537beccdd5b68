package bytelog

import (
	"bytes"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"understudy/nat/splice"
)

// talk is a connection whose segments a test makes up.
type talk struct {
	t              testing.TB
	l              *Log
	ends           splice.Ends
	now            time.Time
	isn            [2]uint32 // of the client, of the server
	options, agree splice.Options
	window         uint16
}

var (
	start  = time.Unix(1000, 0)
	server = netip.MustParseAddrPort("10.0.0.21:8080")
	caller = netip.MustParseAddrPort("192.0.2.9:40000")
	common = splice.Options{MSS: 1460, SACK: true, Scaled: true, Scale: 7}
)

func newTalk(t testing.TB, cfg Config) *talk {
	l := New(cfg)
	l.Serve([]netip.AddrPort{server})
	return &talk{t: t, l: l, ends: splice.Ends{Server: server, Client: caller}, now: start, isn: [2]uint32{0xfffffff0, 0x7ffffff0},
		options: common, agree: common, window: 60000}
}

func (k *talk) take(client bool, s splice.Segment) {
	p := splice.Packet{From: k.ends.Client, To: k.ends.Server, Segment: s, Sound: true}
	if !client {
		p.From, p.To = p.To, p.From
	}
	k.l.Take(k.now, &p)
}

// open makes the handshake.
func (k *talk) open() *talk {
	k.take(true, splice.Segment{Seq: k.isn[0], Flags: splice.SYN, Window: k.window, Options: k.options})
	k.take(false, splice.Segment{Seq: k.isn[1], Ack: k.isn[0] + 1, Flags: splice.SYN | splice.ACK, Window: k.window, Options: k.agree})
	k.client(0, 0, "")
	return k
}

// client says something at an offset, and acknowledges up to one of the server's.
func (k *talk) client(off, ack uint64, data string, flags ...splice.Flags) {
	k.take(true, k.segment(0, off, ack, data, flags))
}

func (k *talk) server(off, ack uint64, data string, flags ...splice.Flags) {
	k.take(false, k.segment(1, off, ack, data, flags))
}

func (k *talk) segment(from int, off, ack uint64, data string, flags []splice.Flags) splice.Segment {
	s := splice.Segment{Seq: k.isn[from] + 1 + uint32(off), Ack: k.isn[1-from] + 1 + uint32(ack), Flags: splice.ACK, Window: k.window, Data: []byte(data)}
	for _, f := range flags {
		s.Flags |= f
	}
	return s
}

func (k *talk) record() *Record { return k.l.Record(k.ends) }

// refusal is that of the record, NoSYN if there is none.
func (k *talk) refusal() Reason {
	if r := k.record(); r != nil {
		return r.Refusal()
	}
	return NoSYN
}

func (k *talk) said() string {
	k.t.Helper()
	c := &k.record().Client
	b := make([]byte, c.Len()-c.Trimmed())
	if n := c.ReadAt(b, c.Trimmed()); n != len(b) {
		k.t.Fatalf("%d of %d bytes can be read", n, len(b))
	}
	return string(b)
}

// noise is bytes that do not repeat.
func noise(rng *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rng.Uint32())
	}
	return b
}

// Whatever becomes of segments on their way, what is logged is what was said.
func TestTheSameStreamHoweverItComes(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		k := newTalk(t, Config{})
		k.isn = [2]uint32{rng.Uint32(), rng.Uint32()}
		k.open()
		streams := [2][]byte{noise(rng, rng.IntN(60000)), noise(rng, rng.IntN(60000))}
		done := [2]uint64{} // how much of each has come in order
		var have [2][]bool
		have[0], have[1] = make([]bool, len(streams[0])+1), make([]bool, len(streams[1])+1)
		check := Check{}
		for round := 0; done[0] < uint64(len(streams[0])) || done[1] < uint64(len(streams[1])); round++ {
			if round > 100_000 {
				t.Fatalf("seed %d does not end", seed)
			}
			side := rng.IntN(2)
			all := streams[side]
			off := min(int(done[side])+rng.IntN(9000)-2000, len(all))
			if rng.IntN(3) == 0 {
				off = int(done[side])
			}
			off = max(off, 0)
			n := min(rng.IntN(3000), len(all)-off)
			for i := off; i < off+n; i++ {
				have[side][i] = true
			}
			for have[side][done[side]] {
				done[side]++
			}
			ack := done[1-side]
			if rng.IntN(2) == 0 {
				ack -= min(ack, uint64(rng.IntN(5000)))
			}
			data := string(all[off : off+n])
			if side == 0 {
				k.client(uint64(off), ack, data)
			} else {
				k.server(uint64(off), ack, data)
			}
			r := k.record()
			if why := r.Refusal(); why != None {
				t.Fatalf("seed %d: refused: %v", seed, why)
			}
			if rng.IntN(20) == 0 {
				r.Forget(uint64(rng.IntN(len(streams[0]) + 1)))
			}
			if rng.IntN(20) == 0 {
				from := check.At()
				if n, ok := check.Next(&r.Server, streams[1][from:min(len(streams[1]), int(from)+rng.IntN(9000))]); !ok || check.At() != from+uint64(n) {
					t.Fatalf("seed %d: the server's own words do not match at %d", seed, from)
				}
			}
		}
		r := k.record()
		from := r.Client.Trimmed()
		if r.Client.Len() != uint64(len(streams[0])) || k.said() != string(streams[0][from:]) {
			t.Errorf("seed %d: the client's stream is another one", seed)
		}
		if r.Server.Len() != uint64(len(streams[1])) || !r.Server.Matches(0, streams[1]) {
			t.Errorf("seed %d: the server's stream is another one", seed)
		}
		if _, ok := check.Next(&r.Server, streams[1][check.At():]); !ok || check.At() != r.Server.Len() {
			t.Errorf("seed %d: the server's own words do not match at the end", seed)
		}
		if n := len(streams[1]); n > 0 {
			other := bytes.Clone(streams[1])
			other[rng.IntN(n)] ^= 1
			if _, ok := new(Check).Next(&r.Server, other); ok {
				t.Errorf("seed %d: other words match", seed)
			}
		}
		if got := k.l.Status().Memory; got != r.Memory() {
			t.Errorf("seed %d: all have %d bytes, the only one %d", seed, got, r.Memory())
		}
	}
}
