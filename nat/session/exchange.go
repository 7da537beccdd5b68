package session

import "encoding/binary"

// A table of connections travels from one kernel to another as a journal of a single
// segment: a HEAD, RECORDS of the group 0 (there are no groups in it) and a COMPLETE,
// without which it was cut off.

// AppendExchange appends a RECORDS frame with recs, as they were at the given moment.
// They must fit into a frame: a hundred always do.
func AppendExchange(b []byte, at Stamp, recs []Record) []byte {
	b, start := openJournal(b, FrameRecords)
	b = appendStamp(binary.AppendUvarint(append(b, 0), 0), at)
	for i := range recs {
		b = AppendUpsert(b, &recs[i])
	}
	return closeJournal(b, start)
}

// AppendExchangeEnd appends the COMPLETE frame.
func AppendExchangeEnd(b []byte) []byte { return appendComplete(b, 0) }

// Exchanged calls fn for each record in the body of such a RECORDS frame, which is valid
// during the call, and returns how many of them make no sense to this version.
func Exchanged(body []byte, fn func(*Record)) (bad int, err error) {
	r := reader{b: body}
	r.u8()
	r.uvarint()
	if r.stamp(); r.bad {
		return 0, ErrMalformed
	}
	var rec Record
	for len(r.b) > 0 {
		one := r.bytes()
		if r.bad {
			return bad, ErrMalformed
		}
		if op, err := parseRecord(one, &rec, nil, nil); err != nil || op != OpUpsert {
			bad++
			continue
		}
		fn(&rec)
	}
	return bad, nil
}
