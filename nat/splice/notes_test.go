package splice

import (
	"net/netip"
	"testing"
)

func TestNotes(t *testing.T) {
	server, client := netip.MustParseAddrPort("10.0.0.21:8080"), netip.MustParseAddrPort("192.0.2.9:40000")
	ends := Ends{Server: server, Client: client}
	packet := func(flags Flags, seq, ack uint32, size int) []byte {
		b := AppendPacket(nil, server, client, &Segment{Seq: seq, Ack: ack, Flags: flags, Window: 9, Data: make([]byte, size)})
		return b[:len(b)-size] // of the packet, the headers are told
	}
	const top = 0xfffffff0 // so that numbers go past 2^32
	for _, row := range []struct {
		name    string
		packets [][]byte
		end     uint32
		acked   uint32
		why     Reason
	}{
		{"nothing", nil, 0, 0, NoPosition},
		{"the beginning", [][]byte{packet(SYN|ACK, top, 1, 0)}, top + 1, 1, None},
		{"a keepalive behind it", [][]byte{packet(SYN|ACK, top, 1, 0), packet(ACK, top, 1, 0), packet(ACK, top+1, 1, 0)}, top + 1, 1, None},
		{"a request acknowledged", [][]byte{packet(SYN|ACK, top, 1, 0), packet(ACK, top+1, 50, 0)}, 0, 0, Unanswered},
		{"and answered", [][]byte{packet(SYN|ACK, top, 1, 0), packet(ACK, top+1, 50, 0), packet(ACK|PSH, top+1, 50, 1000)}, 1001 - 16, 50, None},
		{"in two segments", [][]byte{packet(ACK, top+1, 50, 1000), packet(ACK|PSH, 985, 50, 10)}, 995, 50, None},
		{"and said again", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(ACK|PSH, 985, 50, 10), packet(ACK|PSH, top+1, 50, 1000)}, 995, 50, None},
		{"a keepalive behind it", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(ACK, 984, 50, 0)}, 985, 50, None},
		{"an old acknowledgement behind it", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(ACK, 985, 40, 0)}, 985, 50, None},
		{"the next request acknowledged", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(ACK, 985, 60, 0)}, 0, 0, Unanswered},
		{"the next connection of the same ends", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(SYN|ACK, 5, 7, 0)}, 6, 7, None},
		{"the end", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(ACK|FIN, 985, 50, 0), packet(ACK, 986, 51, 0)}, 0, 0, NoPosition},
		{"a reset", [][]byte{packet(ACK|PSH, top+1, 50, 1000), packet(RST, 985, 0, 0)}, 0, 0, NoPosition},
		{"in its middle, without an answer", [][]byte{packet(ACK, top+1, 50, 0)}, 0, 0, NoPosition},
	} {
		var n Notes
		for _, b := range row.packets {
			n.Note(b)
		}
		end, acked, why := n.Position(ends).Ahead()
		if end != row.end || acked != row.acked || why != row.why {
			t.Errorf("%s: %d, %d, %q; want %d, %d, %q", row.name, end, acked, why, row.end, row.acked, row.why)
		}
		if n.Lost(); n.Position(ends).Known {
			t.Errorf("%s: still known", row.name)
		}
	}
}

func TestNotesAreBounded(t *testing.T) {
	var n Notes
	for i := range MaxNotes + 1000 {
		client := netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 1)
		n.Note(AppendPacket(nil, netip.MustParseAddrPort("10.0.0.21:80"), client, &Segment{Flags: SYN | ACK}))
	}
	if n.Len() != MaxNotes {
		t.Errorf("%d are noted, want %d", n.Len(), MaxNotes)
	}
}
