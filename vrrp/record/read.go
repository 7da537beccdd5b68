package record

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// ErrNoRecording: the file is something else.
var ErrNoRecording = errors.New("record: not a recording of Understudy")

// Read reads a whole file and calls fn for each line after the header, with its number.
// A last line that is cut short, as by a crash, is left out.
func Read(r io.Reader, fn func(h Header, number int, l *Line) error) (Header, error) {
	var h Header
	in := bufio.NewReaderSize(r, 1<<20)
	for n := 1; ; n++ {
		b, err := in.ReadBytes('\n')
		if err == io.EOF {
			if n == 1 {
				return h, ErrNoRecording
			}
			return h, nil // what is there of the last line was not written whole
		}
		if err != nil {
			return h, fmt.Errorf("record: %w", err)
		}
		b = bytes.TrimSuffix(b, []byte("\n"))
		if n == 1 {
			if json.Unmarshal(b, &h) != nil || h.Understudy != "recording" {
				return h, ErrNoRecording
			}
			if h.Format != Format {
				return h, fmt.Errorf("record: format %d; this program knows format %d", h.Format, Format)
			}
			continue
		}
		var l Line
		if err := json.Unmarshal(b, &l); err != nil {
			return h, fmt.Errorf("record: line %d: %w", n, err)
		}
		if err := fn(h, n, &l); err != nil {
			return h, err
		}
	}
}
