package session

import "encoding/binary"

// A node can ask its peer how it stands, in words that are not this protocol's affair:
// what the status page shows of both.
//
//	receiver                     sender
//	LOOK ----------------------> whoever runs it makes a view, if it wants to
//	     <---------------------- VIEW (a piece) … VIEW (the last piece)
//
// Neither is critical or counted: a peer that does not know them skips them, and nothing
// waits for an answer. Pieces go behind all that is of records, one a fill.

// MaxView bounds a view, in bytes, as it is sent. viewPiece bounds one of its pieces.
const (
	MaxView   = 256 << 10
	viewPiece = 8 << 10
	viewRoom  = 512 // in a fill, for a piece to be worth it
)

// telling is a view under way to the peer.
type telling struct {
	looked bool   // the peer has asked, since it was last looked at
	serial uint64 // of the view
	left   []byte // of the view; nil: nothing is under way
	size   int    // of the whole
}

// Looked tells whether the peer has asked for a view since the last call.
func (s *Sender) Looked() bool {
	was := s.telling.looked
	s.telling.looked = false
	return was
}

// Show has the peer told b, which must not change any more; in place of what it has not
// been told in full. One that is empty or too long is not told.
func (s *Sender) Show(b []byte) {
	if !s.connected || len(b) == 0 || len(b) > MaxView {
		return
	}
	s.telling.serial++
	s.telling.left, s.telling.size = b, len(b)
}

// fillView appends the next piece.
func (s *Sender) fillView(b []byte) []byte {
	n := min(len(s.telling.left), viewPiece, cap(b)-len(b)-HeaderLen-3*binary.MaxVarintLen64)
	if n < min(len(s.telling.left), viewRoom) {
		return b
	}
	b, start := openFrame(b, TypeView)
	b = binary.AppendUvarint(b, s.telling.serial)
	b = binary.AppendUvarint(b, uint64(s.telling.size))
	b = binary.AppendUvarint(b, uint64(s.telling.size-len(s.telling.left)))
	b = append(b, s.telling.left[:n]...)
	if s.telling.left = s.telling.left[n:]; len(s.telling.left) == 0 {
		s.telling.left = nil
	}
	return closeFrame(b, start)
}

// seeing is a view under way from the peer.
type seeing struct {
	look   bool // LOOK is due
	serial uint64
	got    []byte // so far
	whole  []byte // the last one that arrived whole
}

// Look has the peer asked for a view.
func (r *Receiver) Look() { r.seeing.look = r.connected }

// View returns the last view that came from the peer on this connection, which must not
// be changed; nil: none.
func (r *Receiver) View() []byte { return r.seeing.whole }

func (r *Receiver) appendLook(b []byte) []byte {
	if !r.seeing.look || r.peer == nil {
		return b
	}
	r.seeing.look = false
	b, start := openFrame(b, TypeLook)
	return closeFrame(b, start)
}

// onView takes a piece. Pieces come in order; another serial begins another view. It
// tells whether a view is whole.
func (r *Receiver) onView(rd *reader) error {
	serial, size, at := rd.uvarint(), rd.uvarint(), rd.uvarint()
	if rd.bad || size > MaxView || at+uint64(len(rd.b)) > size || at > size {
		return ErrMalformed
	}
	v := &r.seeing
	if serial != v.serial || at == 0 {
		v.serial, v.got = serial, nil
	}
	if at != uint64(len(v.got)) || len(rd.b) == 0 {
		return ErrMalformed
	}
	if v.got = append(v.got, rd.b...); uint64(len(v.got)) == size {
		v.whole, v.got = v.got, nil
		r.note(Notice{Kind: NoticeView})
	}
	return nil
}
