package decode

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"

	"github.com/gopacket/gopacket"
	"github.com/gopacket/gopacket/layers"
	"github.com/gopacket/gopacket/pcapgo"
)

// maxLine is the longest line of hexadecimal text: a frame of 64 KiB, three
// characters an octet.
const maxLine = 3 << 16

// Source yields frames in the order of the recording.
type Source interface {
	// Next returns a frame whose Data is valid until the next call. The error is
	// io.EOF after the last, and something else where the input is wrong; nothing
	// can be read behind that.
	Next() (Frame, error)
}

// Open finds out what r holds: a pcap or pcapng recording, plain or compressed
// by gzip, else hexadecimal text with one frame a line.
func Open(r io.Reader) (Source, error) {
	b := bufio.NewReaderSize(r, 1<<16)
	if start, _ := b.Peek(2); bytes.Equal(start, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(b)
		if err != nil {
			return nil, fmt.Errorf("decode: %w", err)
		}
		b = bufio.NewReaderSize(z, 1<<16)
	}
	start, err := b.Peek(4)
	if len(start) == 0 {
		if err == io.EOF {
			err = errors.New("the input is empty")
		}
		return nil, fmt.Errorf("decode: %w", err)
	}
	switch string(start) {
	case "\xd4\xc3\xb2\xa1", "\xa1\xb2\xc3\xd4", "\x4d\x3c\xb2\xa1", "\xa1\xb2\x3c\x4d":
		return openPcap(b)
	case "\x0a\x0d\x0d\x0a":
		return openPcapng(b)
	}
	lines := bufio.NewScanner(b)
	lines.Buffer(nil, maxLine)
	return &text{lines: lines}, nil
}

// recording is a pcap or pcapng file.
type recording struct {
	read func() ([]byte, gopacket.CaptureInfo, error)
	n    int
}

func openPcap(r io.Reader) (*recording, error) {
	p, err := pcapgo.NewReader(r)
	if err != nil {
		return nil, fmt.Errorf("decode: pcap header: %w", cut(err))
	}
	if err := wantEthernet(p.LinkType()); err != nil {
		return nil, err
	}
	return &recording{read: p.ZeroCopyReadPacketData}, nil
}

func openPcapng(r io.Reader) (*recording, error) {
	p, err := pcapgo.NewNgReader(r, pcapgo.NgReaderOptions{WantMixedLinkType: true})
	if err != nil {
		return nil, fmt.Errorf("decode: pcapng header: %w", cut(err))
	}
	return &recording{read: func() ([]byte, gopacket.CaptureInfo, error) {
		data, info, err := p.ZeroCopyReadPacketData()
		if err == nil {
			link, _ := info.AncillaryData[0].(layers.LinkType)
			err = wantEthernet(link)
		}
		return data, info, err
	}}, nil
}

func wantEthernet(link layers.LinkType) error {
	if link == layers.LinkTypeEthernet {
		return nil
	}
	return fmt.Errorf("decode: link type %v (%d), not Ethernet: record on one interface, not on \"any\"", link, uint16(link))
}

func (r *recording) Next() (Frame, error) {
	data, info, err := r.read()
	switch {
	case err == io.EOF && info.CaptureLength == 0:
		return Frame{}, io.EOF
	case err != nil:
		return Frame{}, fmt.Errorf("decode: after frame %d: %w", r.n, cut(err))
	}
	r.n++
	return Frame{Data: data, Wire: info.Length}, nil
}

// cut makes an end of file where none may be what it is.
func cut(err error) error {
	if err == io.EOF || err == io.ErrUnexpectedEOF {
		return errors.New("the file ends in the middle of it")
	}
	return err
}

// text is hexadecimal lines; empty ones and comments after # are skipped.
type text struct {
	lines   *bufio.Scanner
	line, n int
}

func (t *text) Next() (Frame, error) {
	for t.lines.Scan() {
		t.line++
		line, _, _ := bytes.Cut(t.lines.Bytes(), []byte("#"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		b, err := Hex(string(line))
		if err != nil {
			return Frame{}, fmt.Errorf("line %d: %w (the input is neither a recording nor hexadecimal text, one frame a line)", t.line, err)
		}
		t.n++
		return Frame{Data: b, Wire: len(b)}, nil
	}
	if err := t.lines.Err(); err != nil {
		return Frame{}, fmt.Errorf("decode: line %d: %w", t.line+1, err)
	}
	if t.n == 0 {
		return Frame{}, errors.New("decode: there is no frame in the input")
	}
	return Frame{}, io.EOF
}
