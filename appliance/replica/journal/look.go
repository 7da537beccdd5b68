package journal

import (
	"errors"
	"fmt"
	"os"

	"understudy/nat/session"
)

// Found is a journal that is on the disk.
type Found struct {
	segs []segment
	base int // the segment to begin with
}

// Damage is what could not be read.
type Damage struct {
	Segment string // path; empty: there is none
	Offset  int64  // bytes of it that are whole
	Lost    int64  // bytes behind them, those of later segments included
	Tail    bool   // it is the last segment: what a power cut leaves
	Err     error

	at int // its place among the segments
}

func (d Damage) String() string {
	if d.Segment == "" {
		return "none"
	}
	return fmt.Sprintf("%s from byte %d on: %d bytes lost: %v", d.Segment, d.Offset, d.Lost, d.Err)
}

// Errors of what is in the journal's place.
var (
	errNoHead  = errors.New("it does not begin with a head")
	errMissing = errors.New("the segment before it is missing")
)

// look reads which segments there are and where a reader has to begin: with the last
// snapshot that is complete; else with the first segment there is.
func look(dir string) (*Found, error) {
	segs, err := list(dir)
	if err != nil || len(segs) == 0 {
		return nil, err
	}
	f := &Found{segs: segs}
	for i := range segs {
		segs[i].head = readHead(segs[i].path)
	}
	for i := len(segs) - 1; i >= 0; i-- {
		if h := segs[i].head; h != nil && h.Snapshot && f.complete(i) {
			f.base = i
			break
		}
	}
	return f, nil
}

func readHead(path string) (h *session.JournalHead) {
	file, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	scan(file, func(t session.JournalFrame, body []byte) error {
		if t == session.FrameHead {
			h, _ = session.ParseJournalHead(body)
		}
		return errStop
	})
	return h
}

// complete tells whether the snapshot that begins with segment i is there up to its
// end.
func (f *Found) complete(i int) (ok bool) {
	want := f.segs[i].sequence
	f.read(i, func(_ *session.JournalHead, t session.JournalFrame, body []byte) error {
		if t != session.FrameComplete {
			return nil
		}
		if sequence, err := session.ParseComplete(body); err != nil || sequence != want {
			return err
		}
		ok = true
		return errStop
	})
	return ok
}

// Newest is the head of the segment that was begun last; nil if none can be read.
func (f *Found) Newest() *session.JournalHead {
	for i := len(f.segs) - 1; i >= 0; i-- {
		if h := f.segs[i].head; h != nil {
			return h
		}
	}
	return nil
}

// Replay hands to fn all frames that count, in their order, each with the head of its
// segment. It ends with the first that is damaged.
func (f *Found) Replay(fn func(h *session.JournalHead, t session.JournalFrame, body []byte) error) Damage {
	return f.read(f.base, fn)
}

func (f *Found) read(from int, fn func(*session.JournalHead, session.JournalFrame, []byte) error) (d Damage) {
	for i := from; i < len(f.segs); i++ {
		s := &f.segs[i]
		whole, err := int64(0), errNoHead
		switch {
		case i > from && s.sequence != f.segs[i-1].sequence+1:
			err = errMissing
		case s.head != nil:
			whole, err = f.readSegment(s, fn)
		}
		if err == errStop {
			return Damage{}
		}
		if err != nil {
			return Damage{Segment: s.path, Offset: whole, Lost: sizeOf(f.segs[i:]) - whole, Tail: i == len(f.segs)-1, Err: err, at: i}
		}
	}
	return Damage{}
}

// errUnknown is a frame of a version to come.
var errUnknown = errors.New("a frame that this version does not know")

func (f *Found) readSegment(s *segment, fn func(*session.JournalHead, session.JournalFrame, []byte) error) (int64, error) {
	file, err := os.Open(s.path)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	return scan(file, func(t session.JournalFrame, body []byte) error {
		const critical = 0x80
		switch t {
		case session.FrameHead, session.FrameRecords, session.FrameComplete:
			return fn(s.head, t, body)
		}
		if t&critical != 0 {
			return errUnknown
		}
		return nil
	})
}

// Cut removes what a Replay found damaged, with all that comes behind it, so that the
// next one does not stop there.
func (f *Found) Cut(d Damage) error {
	if d.Segment == "" {
		return nil
	}
	var errs []error
	for i := len(f.segs) - 1; i > d.at; i-- {
		errs = append(errs, os.Remove(f.segs[i].path))
	}
	if d.Offset == 0 {
		return errors.Join(append(errs, os.Remove(d.Segment))...)
	}
	return errors.Join(append(errs, os.Truncate(d.Segment, d.Offset))...)
}
