package decode

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

var stamp = time.Date(2026, 1, 2, 3, 4, 5, 6000, time.UTC)

func pcap(t testing.TB, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := pcapgo.NewWriter(&b)
	if err := w.WriteFileHeader(1<<16, link); err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: stamp, CaptureLength: len(f), Length: len(f) + 4}, f); err != nil {
			t.Fatal(err)
		}
	}
	return b.Bytes()
}

func pcapng(t testing.TB, link layers.LinkType, frames ...[]byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := pcapgo.NewNgWriter(&b, link)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range frames {
		if err := w.WritePacket(gopacket.CaptureInfo{Timestamp: stamp, CaptureLength: len(f), Length: len(f) + 4}, f); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func zipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	z := gzip.NewWriter(&out)
	if _, err := z.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// nanos says that the stamps of a pcap file are in nanoseconds.
func nanos(b []byte) []byte {
	copy(b, "\x4d\x3c\xb2\xa1")
	return b
}

// swapped turns the numbers of a little-endian pcap file.
func swapped(b []byte) []byte {
	b = bytes.Clone(b)
	turn := func(at, n int) {
		for i, j := at, at+n-1; i < j; i, j = i+1, j-1 {
			b[i], b[j] = b[j], b[i]
		}
	}
	for _, field := range [][2]int{{0, 4}, {4, 2}, {6, 2}, {8, 4}, {12, 4}, {16, 4}, {20, 4}} {
		turn(field[0], field[1])
	}
	for at := 24; at < len(b); {
		n := int(binary.LittleEndian.Uint32(b[at+8:]))
		for i := range 4 {
			turn(at+4*i, 4)
		}
		at += 16 + n
	}
	return b
}

func readAll(in []byte) (frames []Frame, err error) {
	s, err := Open(bytes.NewReader(in))
	if err != nil {
		return nil, err
	}
	for {
		f, err := s.Next()
		if err == io.EOF {
			return frames, nil
		}
		if err != nil {
			return frames, err
		}
		f.Data = bytes.Clone(f.Data)
		frames = append(frames, f)
	}
}

// Every form of input yields the frames that went into it.
func TestForms(t *testing.T) {
	var want [][]byte
	var lines strings.Builder
	lines.WriteString("# one frame a line\n\n")
	for _, v := range vectors(t) {
		want = append(want, v.frame)
		fmt.Fprintf(&lines, "% x # %s\r\n", v.frame, v.name)
	}
	ethernet := layers.LinkTypeEthernet
	for _, c := range []struct {
		name  string
		input []byte
		more  int // on the wire, beyond what was recorded
	}{
		{"pcap", pcap(t, ethernet, want...), 4},
		{"pcap of the other byte order", swapped(pcap(t, ethernet, want...)), 4},
		{"pcap of nanoseconds", nanos(pcap(t, ethernet, want...)), 4},
		{"pcap of nanoseconds in the other byte order", swapped(nanos(pcap(t, ethernet, want...))), 4},
		{"pcapng", pcapng(t, ethernet, want...), 4},
		{"pcap, compressed", zipped(t, pcap(t, ethernet, want...)), 4},
		{"pcapng, compressed", zipped(t, pcapng(t, ethernet, want...)), 4},
		{"hexadecimal", []byte(lines.String()), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(c.input)
			if err != nil || len(got) != len(want) {
				t.Fatalf("%d frames, want %d: %v", len(got), len(want), err)
			}
			for i, f := range got {
				if !bytes.Equal(f.Data, want[i]) || f.Wire != len(want[i])+c.more {
					t.Fatalf("frame %d: %d octets of %d\n%x\nwant %x", i+1, len(f.Data), f.Wire, f.Data, want[i])
				}
			}
		})
	}
}

// Wherever a file ends, the whole frames before are read, and unless it ends
// between two the end is an error.
func TestCutFile(t *testing.T) {
	frames := [][]byte{frameOf(t, "v3_ipv4_rfc9568"), frameOf(t, "bad_ttl_254"), frameOf(t, "lacp_bad_truncated")}
	for _, c := range []struct {
		name  string
		make  func(testing.TB, layers.LinkType, ...[]byte) []byte
		first int // where the frames begin
	}{
		{"pcap", pcap, len(pcap(t, layers.LinkTypeEthernet))},
		{"pcapng", pcapng, len(pcapng(t, layers.LinkTypeEthernet))},
	} {
		whole := c.make(t, layers.LinkTypeEthernet, frames...)
		each := (len(whole) - c.first) / len(frames)
		for end := 1; end <= len(whole); end++ {
			got, err := readAll(whole[:end])
			complete := max(0, (end-c.first)/each)
			between := end >= c.first && (end-c.first)%each == 0
			if c.name == "pcapng" && end < c.first {
				between = err == nil && end >= 28 // the interface is a block of its own
				complete = 0
			}
			if len(got) != complete || (err == nil) != between {
				t.Fatalf("%s cut at %d of %d: %d frames, want %d; %v", c.name, end, len(whole), len(got), complete, err)
			}
		}
	}
}

func TestRefusedInput(t *testing.T) {
	frame := frameOf(t, "v3_ipv4_rfc9568")
	damaged := pcap(t, layers.LinkTypeEthernet, frame, frame)
	binary.LittleEndian.PutUint32(damaged[24+16+len(frame)+8:], 1<<31)
	cut := zipped(t, pcap(t, layers.LinkTypeEthernet, bytes.Repeat(frame, 20)))
	for _, c := range []struct {
		name, want string
		input      []byte
		frames     int
	}{
		{"nothing", "empty", nil, 0},
		{"pcap of another link", "link type Linux SLL (113), not Ethernet", pcap(t, layers.LinkTypeLinuxSLL, frame), 0},
		{"pcapng of another link", "link type Linux SLL (113), not Ethernet", pcapng(t, layers.LinkTypeLinuxSLL, frame), 0},
		{"a length that cannot be", "after frame 1: ", damaged, 1},
		{"compressed, cut", "ends in the middle", cut[:len(cut)-9], 1},
		{"a digit is missing", `line 3: decode: an odd number of hexadecimal digits`, []byte("00 11\n\n00:11:2\n"), 1},
		{"prose", `line 1: decode: 't' is not a hexadecimal digit`, []byte("this is not a frame"), 0},
		{"only comments", "no frame", []byte("# 00 11\n\n"), 0},
		{"a line without end", "token too long", bytes.Repeat([]byte("00"), maxLine), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := readAll(c.input)
			if err == nil || !strings.Contains(err.Error(), c.want) || len(got) != c.frames {
				t.Errorf("%d frames, error %v; want %d and %q", len(got), err, c.frames, c.want)
			}
		})
	}
}

func TestOpenPassesReadErrors(t *testing.T) {
	want := errors.New("the disk is gone")
	start := pcap(t, layers.LinkTypeEthernet)
	for _, r := range []io.Reader{
		io.MultiReader(strings.NewReader(""), failing{want}),
		io.MultiReader(bytes.NewReader(start), failing{want}),
		io.MultiReader(strings.NewReader("00 11\n"), failing{want}),
	} {
		s, err := Open(r)
		for err == nil {
			_, err = s.Next()
		}
		if !errors.Is(err, want) {
			t.Errorf("error %v, want %v", err, want)
		}
	}
}

type failing struct{ err error }

func (f failing) Read([]byte) (int, error) { return 0, f.err }

func TestHex(t *testing.T) {
	for _, text := range []string{"0180c2ff", "01 80 C2 FF", "01:80:c2:ff", "01-80-c2-ff", "0180.c2ff", " 01 80\n\tc2\r\nff "} {
		if b, err := Hex(text); err != nil || !bytes.Equal(b, []byte{1, 0x80, 0xc2, 0xff}) {
			t.Errorf("%q: %x, %v", text, b, err)
		}
	}
	for _, text := range []string{"", " \n", "018", "0x01", "zz", "01é0"} {
		if b, err := Hex(text); err == nil {
			t.Errorf("%q was read as %x", text, b)
		}
	}
}

// A recording may come from anywhere: it is read, or refused.
func FuzzOpen(f *testing.F) {
	frame := frameOf(f, "v3_ipv4_rfc9568")
	f.Add(pcap(f, layers.LinkTypeEthernet, frame, frame))
	f.Add(pcapng(f, layers.LinkTypeEthernet, frame, frame))
	f.Add([]byte("01 80 c2\n# end\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		if bytes.HasPrefix(in, []byte{0x1f, 0x8b}) {
			t.Skip() // a little can be a lot
		}
		frames, err := readAll(in)
		if err == nil && len(frames) > len(in) {
			t.Errorf("%d frames out of %d octets", len(frames), len(in))
		}
	})
}
