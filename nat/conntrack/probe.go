package conntrack

import (
	"fmt"
	"net/netip"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// Needs is what flows need of a kernel that is to go on with them.
type Needs struct {
	NAT4, NAT6    bool // address translation
	Zones, Labels bool
	Helpers       [MaxHelpers]HelperNeed
	NumHelpers    int
}

// MaxHelpers bounds the helpers that are asked for.
const MaxHelpers = 16

// HelperNeed is a protocol helper: for each protocol and family it is another one.
type HelperNeed struct {
	Name   session.Name
	Proto  uint8
	Family uint8
}

// Add notes what the flow needs, and tells whether that is new.
func (n *Needs) Add(r *session.Record) bool {
	before := *n
	if translated(r) {
		n.NAT4, n.NAT6 = n.NAT4 || r.Family == 4, n.NAT6 || r.Family == 6
	}
	n.Zones = n.Zones || r.Zone != 0
	n.Labels = n.Labels || r.Labels != (session.Labels{})
	if r.Helper != (session.Name{}) {
		h := HelperNeed{r.Helper, r.Proto, r.Family}
		known := false
		for i := range n.NumHelpers {
			known = known || n.Helpers[i] == h
		}
		if !known && n.NumHelpers < MaxHelpers {
			n.Helpers[n.NumHelpers] = h
			n.NumHelpers++
		}
	}
	return *n != before
}

// probeZone is where probes are inserted: no rule tracks anything there by chance.
const probeZone = 0xfffe

// probe is a flow between addresses of documentation (RFC 5737, RFC 3849).
func probe(family, proto uint8) session.Record {
	a, b := netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("192.0.2.2")
	if family == 6 {
		a, b = netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	}
	r := session.Record{Key: session.Key{Src: session.AddrFrom(a), Dst: session.AddrFrom(b), SrcPort: 1, DstPort: 2,
		Zone: probeZone, Proto: proto, Family: family},
		Status: session.StatusConfirmed | session.StatusSeenReply, Timeout: 10}
	r.ReplySrc, r.ReplyDst, r.ReplySrcPort, r.ReplyDstPort = r.Dst, r.Src, r.DstPort, r.SrcPort
	if proto == protoTCP {
		r.TCP.State = session.TCPEstablished
	}
	return r
}

// Probe finds out by entries in a zone of its own, each removed again, which of the
// needs this kernel cannot satisfy, and says so in words; nil: none.
func (k *Kernel) Probe(n *Needs) (lacks []string, err error) {
	// In zone 0 where there are no zones: documentation's addresses are nobody's.
	zones, err := k.try(probe(4, protoUDP), nil)
	if err != nil {
		return nil, err
	}
	try := func(what string, r session.Record, ok func(*session.Record) bool) {
		if err != nil {
			return
		}
		if zones != nil {
			r.Zone = 0
		}
		var why error
		if why, err = k.try(r, ok); why != nil {
			lacks = append(lacks, fmt.Sprintf("%s (%v)", what, why))
		}
	}
	if n.Zones && zones != nil {
		lacks = append(lacks, fmt.Sprintf("conntrack zones (%v)", zones))
	}
	for _, f := range []struct {
		need   bool
		family uint8
	}{{n.NAT4, 4}, {n.NAT6, 6}} {
		if f.need {
			r := probe(f.family, protoUDP)
			r.ReplyDstPort = 3
			try(fmt.Sprintf("translation of IPv%d", f.family), r, nil)
		}
	}
	if n.Labels {
		r := probe(4, protoUDP)
		r.Labels[15] = 0x80
		try("connection labels: no rule here uses any", r, func(e *session.Record) bool { return e.Labels == r.Labels })
	}
	for _, h := range n.Helpers[:n.NumHelpers] {
		r := probe(h.Family, h.Proto)
		r.Helper = h.Name
		try(fmt.Sprintf("helper %s of protocol %d, IPv%d", h.Name, h.Proto, h.Family), r,
			func(e *session.Record) bool { return e.Helper == h.Name })
	}
	return lacks, err
}

// errNotKept is the result of a probe that the kernel accepted and changed.
var errNotKept = fmt.Errorf("accepted, but not kept")

// try inserts r, looks at what the kernel made of it, and removes it. why says what
// is missing; err is one of the socket.
func (k *Kernel) try(r session.Record, ok func(*session.Record) bool) (why, err error) {
	var res [1]error
	if err := k.Install([]session.Record{r}, InstallOptions{}, res[:]); err != nil {
		return nil, err
	}
	if res[0] != nil {
		if res[0] == ErrTableFull {
			return nil, nil // says nothing of what it can do
		}
		if res[0] == unix.EOPNOTSUPP {
			return fmt.Errorf("not supported"), nil
		}
		return res[0], nil
	}
	e, gone := k.Get(r.Key)
	if gone == nil && ok != nil && !ok(&e) {
		why = errNotKept
	}
	return why, k.Delete([]session.Key{r.Key}, res[:])
}
