package journal

import (
	"bufio"
	"errors"
	"io"

	"understudy/nat/session"
)

// errStop ends a scan without being an error of it.
var errStop = errors.New("journal: enough")

// scan hands each frame of r to fn, up to the end or the first frame that is
// damaged (session.ErrTorn), and returns how many bytes whole frames have. body is
// valid during the call.
func scan(r io.Reader, fn func(t session.JournalFrame, body []byte) error) (whole int64, err error) {
	in := bufio.NewReaderSize(r, session.MaxJournalFrame+session.JournalHeaderLen)
	for {
		head, err := in.Peek(session.JournalHeaderLen)
		if err == io.EOF && len(head) == 0 {
			return whole, nil
		}
		if err != nil && err != io.EOF {
			return whole, err
		}
		n, err := session.JournalLength(head)
		if err != nil {
			return whole, err
		}
		frame, err := in.Peek(n)
		if err != nil && err != io.EOF {
			return whole, err
		}
		if len(frame) < n {
			return whole, session.ErrTorn
		}
		t, body, err := session.ParseJournal(frame)
		if err != nil {
			return whole, err
		}
		if err := fn(t, body); err != nil {
			return whole, err
		}
		whole += int64(n)
		if _, err := in.Discard(n); err != nil {
			return whole, err
		}
	}
}
