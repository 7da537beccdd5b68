package conntrack

import (
	"net/netip"

	"understudy/nat/session"
)

// Filter selects entries of a dump in the kernel, which costs less than to read
// and drop them here. The zero value selects everything.
type Filter struct {
	Family             uint8          // 4, 6 or 0 for both
	Zone               uint16         // 0 for all (Linux 6.8)
	Status, StatusMask session.Status // status & mask == status (Linux 5.15)
	Mark, MarkMask     uint32         // mark & mask == mark
	// Addresses of the two tuples; the zero Addr selects all. They must be of
	// Family. Those that are not IPv4 are compared by Dump: the kernel's comparison selects
	// exactly the others (seen in 6.18).
	OrigSrc, OrigDst, ReplySrc, ReplyDst netip.Addr
}

// AppendDump appends a request for all entries that match f.
func AppendDump(b []byte, seq uint32, f *Filter) []byte {
	start := len(b)
	b = appendHeader(b, msgGet, flagRequest|flagDump, seq, f.Family)
	if f.StatusMask != 0 {
		b = appendUint32(b, ctaStatus, uint32(f.Status))
		b = appendUint32(b, ctaStatusMask, uint32(f.StatusMask))
	}
	if f.MarkMask != 0 {
		b = appendUint32(b, ctaMark, f.Mark)
		b = appendUint32(b, ctaMarkMask, f.MarkMask)
	}
	b = appendZone(b, f.Zone)
	if f.Family == 4 {
		b = f.appendAddrs(b)
	}
	return finish(b, start)
}

func (f *Filter) appendAddrs(b []byte) []byte {
	b, orig := appendFilterTuple(b, ctaTupleOrig, f.OrigSrc, f.OrigDst)
	b, reply := appendFilterTuple(b, ctaTupleReply, f.ReplySrc, f.ReplyDst)
	if orig|reply == 0 {
		return b
	}
	b, n := nest(b, ctaFilter)
	b = appendUint32Host(b, ctaFilterOrigFlags, orig)
	b = appendUint32Host(b, ctaFilterReplyFlags, reply)
	return endNest(b, n)
}

// appendFilterTuple writes the given addresses of one tuple and returns which
// there were.
func appendFilterTuple(b []byte, typ uint16, src, dst netip.Addr) ([]byte, uint32) {
	if !src.IsValid() && !dst.IsValid() {
		return b, 0
	}
	var flags uint32
	b, tuple := nest(b, typ)
	b, ip := nest(b, ctaTupleIP)
	if src.IsValid() {
		a := session.AddrFrom(src)
		b = appendAddr(b, ctaIPv4Src, &a, 4)
		flags |= filterIPSrc
	}
	if dst.IsValid() {
		a := session.AddrFrom(dst)
		b = appendAddr(b, ctaIPv4Dst, &a, 4)
		flags |= filterIPDst
	}
	b = endNest(b, ip)
	return endNest(b, tuple), flags
}

// match tells whether r has the addresses of f.
func (f *Filter) match(r *session.Record) bool {
	for _, a := range [...]struct {
		want netip.Addr
		got  *session.Addr
	}{{f.OrigSrc, &r.Src}, {f.OrigDst, &r.Dst}, {f.ReplySrc, &r.ReplySrc}, {f.ReplyDst, &r.ReplyDst}} {
		if a.want.IsValid() && session.AddrFrom(a.want) != *a.got {
			return false
		}
	}
	return true
}
