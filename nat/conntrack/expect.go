package conntrack

import (
	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Expectations are a subsystem of their own (linux/netfilter/nfnetlink_conntrack.h,
// enum ctattr_expect): each message names the master by its original tuple.
const (
	subsysExpect = 2

	msgExpectNew    = subsysExpect << 8
	msgExpectGet    = subsysExpect<<8 | 1
	msgExpectDelete = subsysExpect<<8 | 2

	ctaExpectMaster   = 1
	ctaExpectTuple    = 2
	ctaExpectMask     = 3
	ctaExpectTimeout  = 4
	ctaExpectHelpName = 6
	ctaExpectZone     = 7
	ctaExpectFlags    = 8
	ctaExpectClass    = 9
	ctaExpectNAT      = 10
	ctaExpectFn       = 11

	ctaExpectNATDir   = 1
	ctaExpectNATTuple = 2
)

// An ExpectEvent is one decoded message about an expectation.
type ExpectEvent struct {
	Kind   EventKind
	Master session.Key
	Expect session.Expect
}

// isExpect tells whether a message is about expectations.
func isExpect(typ uint16) bool { return typ>>8 == subsysExpect }

// ParseExpect decodes one netlink message, header included, as [ParseMessage] does.
func ParseExpect(nlmsg []byte, ev *ExpectEvent) error {
	h, ok := parseHeader(nlmsg)
	if !ok {
		return ErrMalformed
	}
	*ev = ExpectEvent{}
	kind, family, err := subject(nlmsg, h, msgExpectNew, msgExpectDelete)
	if ev.Kind = kind; err != nil {
		return err
	}
	ev.Master.Family, ev.Expect.Family = family, family
	return ev.parse(nlmsg[headerLen:h.len])
}

func (ev *ExpectEvent) parse(b []byte) error {
	x := &ev.Expect
	mask := session.Key{Family: x.Family}
	var master, tuple, masked tupleParts
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return ErrMalformed
		}
		b = rest
		switch typ {
		case ctaExpectMaster:
			master, ok = parseTuple(v, &ev.Master)
		case ctaExpectTuple:
			tuple, ok = parseTuple(v, &x.Key)
		case ctaExpectMask:
			masked, ok = parseTuple(v, &mask)
		case ctaExpectTimeout:
			x.Timeout, ok = beUint32(v)
		case ctaExpectHelpName:
			x.Helper = nameOf(v)
		case ctaExpectZone:
			x.Zone, ok = beUint16(v)
		case ctaExpectFlags:
			var n uint32
			n, ok = beUint32(v)
			x.Flags = uint8(n)
		case ctaExpectClass:
			var n uint32
			n, ok = beUint32(v)
			x.Class = uint8(n)
		case ctaExpectNAT:
			ok = x.NAT || ev.parseNAT(v)
		case ctaExpectFn:
			x.Fn = session.FnFrom(string(v))
		}
		if !ok {
			return ErrMalformed
		}
	}
	const need = tupleSrc | tupleDst | tupleProto
	if master&need != need || tuple&need != need || masked&tupleSrc == 0 {
		return ErrMalformed
	}
	x.MaskSrc, x.MaskPort = mask.Src, mask.SrcPort
	ev.Master.Zone = x.Zone
	return nil
}

func (ev *ExpectEvent) parseNAT(b []byte) bool {
	x := &ev.Expect
	to := session.Key{Family: x.Family}
	for len(b) > 0 {
		typ, v, rest, ok := nextAttr(b)
		if !ok {
			return false
		}
		b = rest
		switch typ {
		case ctaExpectNATDir:
			var n uint32
			n, ok = beUint32(v)
			x.NATDir = uint8(n & 1)
		case ctaExpectNATTuple:
			_, ok = parseTuple(v, &to)
			x.NAT, x.NATAddr, x.NATPort = true, to.Src, to.SrcPort
		}
		if !ok {
			return false
		}
	}
	return true
}

// AppendExpectCreate appends a request that creates the expectation of the flow
// master, which must be there, with its helper.
func AppendExpectCreate(b []byte, seq uint32, master *session.Key, x *session.Expect) []byte {
	start := len(b)
	b = appendHeader(b, msgExpectNew, flagRequest|flagCreate, seq, master.Family)
	b = appendTuple(b, ctaExpectMaster, master)
	b = appendTuple(b, ctaExpectTuple, &x.Key)
	mask := session.Key{Src: x.MaskSrc, SrcPort: x.MaskPort, DstPort: 0xffff, Proto: x.Proto, Family: x.Family}
	for i := range mask.Dst {
		mask.Dst[i] = 0xff
	}
	b = appendTuple(b, ctaExpectMask, &mask)
	b = appendUint32(b, ctaExpectTimeout, max(x.Timeout, 1))
	if x.Helper != (session.Name{}) {
		b = appendString(b, ctaExpectHelpName, x.Helper.String())
	}
	b = appendUint32(b, ctaExpectFlags, uint32(x.Flags))
	b = appendUint32(b, ctaExpectClass, uint32(x.Class))
	if x.NAT {
		var nat int
		b, nat = nest(b, ctaExpectNAT)
		b = appendUint32(b, ctaExpectNATDir, uint32(x.NATDir))
		to := session.Key{Src: x.NATAddr, SrcPort: x.NATPort, Proto: x.Proto, Family: x.Family}
		b = appendTuple(b, ctaExpectNATTuple, &to)
		b = endNest(b, nat)
	}
	if x.Fn != (session.Fn{}) {
		b = appendString(b, ctaExpectFn, x.Fn.String())
	}
	if master.Zone != 0 {
		b = appendUint16(b, ctaExpectZone, master.Zone)
	}
	return finish(b, start)
}

// AppendExpectDelete appends a request that deletes the expectation.
func AppendExpectDelete(b []byte, seq uint32, x *session.Expect) []byte {
	start := len(b)
	b = appendHeader(b, msgExpectDelete, flagRequest, seq, x.Family)
	b = appendTuple(b, ctaExpectTuple, &x.Key)
	if x.Zone != 0 {
		b = appendUint16(b, ctaExpectZone, x.Zone)
	}
	return finish(b, start)
}

// Expect creates expectations of the flow master, and sets results[i] for each: nil,
// [ErrNotFound] if master is not there, or an errno (EOPNOTSUPP: it has no helper).
func (k *Kernel) Expect(master session.Key, xs []session.Expect, results []error) error {
	return k.eachExpect(len(xs), results, func(b []byte, seq uint32, i int) []byte {
		return AppendExpectCreate(b, seq, &master, &xs[i])
	})
}

// Unexpect deletes expectations, and sets results[i] for each.
func (k *Kernel) Unexpect(xs []session.Expect, results []error) error {
	return k.eachExpect(len(xs), results, func(b []byte, seq uint32, i int) []byte {
		return AppendExpectDelete(b, seq, &xs[i])
	})
}

func (k *Kernel) eachExpect(n int, results []error, form func(b []byte, seq uint32, i int) []byte) error {
	for i := 0; i < n; {
		k.begin()
		from := i
		for ; i < n && !k.full(); i++ {
			seq := k.next(i)
			k.out = form(k.out, seq, i)
		}
		if err := k.exchange(nil); err != nil {
			fill(results[from:n], err)
			return err
		}
		for j := range k.slots[:k.n] {
			results[k.slots[j].index] = result(k.slots[j].errno)
		}
	}
	return nil
}

// DumpExpects calls fn for every expectation; it is only valid during the call.
func (k *Kernel) DumpExpects(fn func(*ExpectEvent)) error {
	k.begin()
	seq := k.next(0)
	start := len(k.out)
	k.out = finish(appendHeader(k.out, msgExpectGet, flagRequest|flagDump, seq, 0), start)
	var ev ExpectEvent
	return k.readDump(seq, func(msg []byte) error {
		switch err := ParseExpect(msg, &ev); err {
		case nil:
			fn(&ev)
		case ErrNotConntrack:
		default:
			return err
		}
		return nil
	})
}

// OnExpect has Drain call fn for events of expectations, if the listener is in their
// groups.
func (l *Listener) OnExpect(fn func(*ExpectEvent)) { l.onExpect = fn }

// Groups of expectations.
const (
	GroupExpectNew     Group = unix.NFNLGRP_CONNTRACK_EXP_NEW
	GroupExpectDestroy Group = unix.NFNLGRP_CONNTRACK_EXP_DESTROY
)
