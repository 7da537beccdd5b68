package session

import (
	"bytes"
	"encoding/binary"
)

// A PACKED frame stands for a RECORDS frame: what its records have in common with the
// record before them in the frame is left out. It is unpacked before anything looks
// at it, and only sent to a peer that says [FeaturePacked].
//
// The group and the term are as in RECORDS. Of the records, each in one of three forms:
//
//	whole      0x80, then the record as in RECORDS, with its length
//	deletion   flags, source address and port, destination address and port
//	upsert     flags, reply flags, source, destination, reply source, reply destination,
//	           ID, and its tail: all that follows the ID, with its length in front
//
// Flags and reply flags say which of these parts are left out, as they are those of the
// record before (of an upsert before, where a deletion has none). The first record has
// nothing before it but zeros and an empty tail. Only IPv4 without zones is packed. A
// deletion has no ID: what it ends is what the key names.

// FeaturePacked: the node takes PACKED frames.
const FeaturePacked Feature = 1 << 16

// Flags of a packed record. Bits 4 and 5 are those of recProto, which are never 0, and
// bit 6 is recDelete.
const (
	packTail  = 1 << 0 // the tail is the same
	packSrc   = 1 << 1 // the source address
	packDport = 1 << 2 // the destination port
	packDst   = 1 << 3 // the destination address
	packWhole = 1 << 7
)

// Reply flags. A reply part that is not there at all is the inverse of the original.
const (
	packReplySrc     = 1 << 0 // the reply source is there
	packReplySrcAddr = 1 << 1 // ... with the same address
	packReplySrcPort = 1 << 2 // ... and the same port
	packReplyDst     = 1 << 3 // the reply destination is there
	packReplyDstAddr = 1 << 4 // ... with the same address
	packReplyDstPort = 1 << 5 // ... and the port of the original source
	packReplyFlags   = 1<<6 - 1
)

// before is what a packed record can lean on. The slices are parts of the frame.
type before struct {
	src, dst, rsrc, rdst [4]byte
	dport, rsport        [2]byte
	tail                 []byte
}

// Offsets in the body of a record over IPv4 without a zone, and what it has at least.
const (
	bodySrc   = 1
	bodyDst   = 5
	bodySport = 9
	bodyDport = 11
	bodyKey   = 13 // its end
)

// appendPacked appends the payload of a PACKED frame for that of a RECORDS frame. It is
// false if there would be no gain, or the payload is not one; b is as it was then.
func appendPacked(b, records []byte) ([]byte, bool) {
	start := len(b)
	r := reader{b: records}
	head := r.head()
	b = append(b, head...)
	var p before
	for len(r.b) > 0 {
		whole := r.b
		body := r.bytes()
		if r.bad {
			return b[:start], false
		}
		whole = whole[:len(whole)-len(r.b)]
		if !packable(body) {
			b = append(append(b, packWhole), whole...)
			continue
		}
		if body[0]&recDelete != 0 {
			b = p.packDelete(b, body)
		} else {
			b = p.packUpsert(b, body)
		}
	}
	if r.bad || len(b)-start >= len(records) {
		return b[:start], false
	}
	return b, true
}

// head takes the group and the term.
func (r *reader) head() []byte {
	all := r.b
	r.u8()
	r.uvarint()
	return all[:len(all)-len(r.b)]
}

// packable tells whether the body of a record has a shorter form.
func packable(body []byte) bool {
	if len(body) == 0 || body[0]&(recSix|recZone|recReserved) != 0 || body[0]&recProto == 0 {
		return false
	}
	if body[0]&recDelete != 0 {
		return len(body) == bodyKey+4 && body[0]&(recReplySrc|recReplyDst) == 0
	}
	return len(body) >= bodyKey+replySize(body[0])+4
}

// replySize is how many bytes the reply tuple takes that is not the inverse.
func replySize(flags byte) (n int) {
	if flags&recReplySrc != 0 {
		n += 6
	}
	if flags&recReplyDst != 0 {
		n += 6
	}
	return n
}

// packKey appends the flags that it returns the place of, after it has found out what
// the key has in common.
func (p *before) packKey(body []byte) (flags byte) {
	flags = body[0] & (recProto | recDelete)
	if [4]byte(body[bodySrc:]) == p.src {
		flags |= packSrc
	}
	if [4]byte(body[bodyDst:]) == p.dst {
		flags |= packDst
	}
	if [2]byte(body[bodyDport:]) == p.dport {
		flags |= packDport
	}
	p.src, p.dst, p.dport = [4]byte(body[bodySrc:]), [4]byte(body[bodyDst:]), [2]byte(body[bodyDport:])
	return flags
}

// appendKeyParts appends what flags do not leave out.
func appendKeyParts(b, body []byte, flags byte) []byte {
	if flags&packSrc == 0 {
		b = append(b, body[bodySrc:bodyDst]...)
	}
	b = append(b, body[bodySport:bodyDport]...)
	if flags&packDst == 0 {
		b = append(b, body[bodyDst:bodySport]...)
	}
	if flags&packDport == 0 {
		b = append(b, body[bodyDport:bodyKey]...)
	}
	return b
}

func (p *before) packDelete(b, body []byte) []byte {
	flags := p.packKey(body)
	return appendKeyParts(append(b, flags), body, flags)
}

func (p *before) packUpsert(b, body []byte) []byte {
	flags := p.packKey(body)
	rest := body[bodyKey:]
	var reply byte
	var rsrc, rdst []byte
	if body[0]&recReplySrc != 0 {
		rsrc, rest = rest[:6], rest[6:]
		reply |= packReplySrc
		if [4]byte(rsrc) == p.rsrc {
			reply |= packReplySrcAddr
		}
		if [2]byte(rsrc[4:]) == p.rsport {
			reply |= packReplySrcPort
		}
		p.rsrc, p.rsport = [4]byte(rsrc), [2]byte(rsrc[4:])
	}
	if body[0]&recReplyDst != 0 {
		rdst, rest = rest[:6], rest[6:]
		reply |= packReplyDst
		if [4]byte(rdst) == p.rdst {
			reply |= packReplyDstAddr
		}
		if [2]byte(rdst[4:]) == [2]byte(body[bodySport:]) {
			reply |= packReplyDstPort
		}
		p.rdst = [4]byte(rdst)
	}
	id, tail := rest[:4], rest[4:]
	if bytes.Equal(tail, p.tail) {
		flags |= packTail
	}
	p.tail = tail
	b = appendKeyParts(append(b, flags, reply), body, flags)
	if rsrc != nil && reply&packReplySrcAddr == 0 {
		b = append(b, rsrc[:4]...)
	}
	if rsrc != nil && reply&packReplySrcPort == 0 {
		b = append(b, rsrc[4:]...)
	}
	if rdst != nil && reply&packReplyDstAddr == 0 {
		b = append(b, rdst[:4]...)
	}
	if rdst != nil && reply&packReplyDstPort == 0 {
		b = append(b, rdst[4:]...)
	}
	b = append(b, id...)
	if flags&packTail == 0 {
		b = append(binary.AppendUvarint(b, uint64(len(tail))), tail...)
	}
	return b
}

// appendUnpacked appends the payload of the RECORDS frame that a PACKED one stands for.
func appendUnpacked(b, packed []byte) ([]byte, error) {
	start := len(b)
	r := reader{b: packed}
	b = append(b, r.head()...)
	var p before
	for len(r.b) > 0 {
		flags := r.u8()
		switch {
		case flags == packWhole:
			whole := r.b
			r.bytes()
			b = append(b, whole[:len(whole)-len(r.b)]...)
		case flags&packWhole != 0 || flags&recProto == 0:
			return b, ErrMalformed
		case flags&recDelete != 0:
			if flags&packTail != 0 {
				return b, ErrMalformed
			}
			at := len(b)
			b = p.unpackKey(append(b, 0), &r, flags, flags&(recProto|recDelete))
			b = sealRecord(append(b, 0, 0, 0, 0), at)
		default:
			var ok bool
			if b, ok = p.unpackUpsert(b, &r, flags); !ok {
				return b, ErrMalformed
			}
		}
		if r.bad || len(b)-start > MaxFrame {
			return b, ErrMalformed
		}
	}
	if r.bad {
		return b, ErrMalformed
	}
	return b, nil
}

// unpackKey appends the flags of a record and its key.
func (p *before) unpackKey(b []byte, r *reader, flags, rec byte) []byte {
	if flags&packSrc == 0 {
		copy(p.src[:], r.take(4))
	}
	sport := r.take(2)
	if flags&packDst == 0 {
		copy(p.dst[:], r.take(4))
	}
	if flags&packDport == 0 {
		copy(p.dport[:], r.take(2))
	}
	b = append(append(append(b, rec), p.src[:]...), p.dst[:]...)
	return append(append(b, sport...), p.dport[:]...)
}

func (p *before) unpackUpsert(b []byte, r *reader, flags byte) ([]byte, bool) {
	reply := r.u8()
	if reply&^packReplyFlags != 0 {
		return b, false
	}
	rec := flags & recProto
	if reply&packReplySrc != 0 {
		rec |= recReplySrc
	}
	if reply&packReplyDst != 0 {
		rec |= recReplyDst
	}
	at := len(b)
	b = p.unpackKey(append(b, 0), r, flags, rec)
	if r.bad {
		return b, false
	}
	if reply&packReplySrc != 0 {
		if reply&packReplySrcAddr == 0 {
			copy(p.rsrc[:], r.take(4))
		}
		if reply&packReplySrcPort == 0 {
			copy(p.rsport[:], r.take(2))
		}
		b = append(append(b, p.rsrc[:]...), p.rsport[:]...)
	}
	if reply&packReplyDst != 0 {
		if reply&packReplyDstAddr == 0 {
			copy(p.rdst[:], r.take(4))
		}
		port := b[at+1+bodySport:][:2]
		if reply&packReplyDstPort == 0 {
			port = r.take(2)
		}
		b = append(append(b, p.rdst[:]...), port...)
	}
	b = append(b, r.take(4)...)
	if flags&packTail == 0 {
		p.tail = r.bytes()
	}
	b = append(b, p.tail...)
	if n := len(b) - at - 1; r.bad || n > maxPacked {
		return b, false
	}
	return sealRecord(b, at), true
}

// maxPacked bounds a record that was packed: its length takes two bytes at most.
const maxPacked = 1<<14 - 1
