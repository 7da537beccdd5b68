package nft

import (
	"fmt"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"golang.org/x/sys/unix"

	"understudy/nat"
)

const (
	protoICMP   = unix.IPPROTO_ICMP
	protoICMPv6 = unix.IPPROTO_ICMPV6
	protoTCP    = unix.IPPROTO_TCP
)

// set is a set or map as it should be.
type set struct {
	*nftables.Set
	elements []element
}

// element is one entry, as bytes in network byte order. Each field of a
// concatenated key takes whole 32-bit words, padded with zeros on the right.
type element struct {
	key, end string // end: of an interval, inclusive; else empty
	val      string
	comment  string
	owner    fmt.Stringer // what to name if the kernel refuses it; nil if read from the kernel
}

func (e element) id() string              { return e.key + e.end }
func (e element) same(other element) bool { return e.val == other.val && e.comment == other.comment }

// concat is the type of a concatenation of at most five types, which it cannot fail for.
func concat(types ...nftables.SetDatatype) nftables.SetDatatype {
	return nftables.MustConcatSetType(types...)
}

// sets returns the sets and maps for plan, with what is shut.
func sets(plan nat.Plan, shut shut, links links) []set {
	out := append(gateSets(shut.addresses, shut.devices),
		set{deviceSet(setDevices), deviceElements(plan.Devices)},
	)
	for _, k := range kinds() {
		out = append(out, set{k.set(k.all), k.known(plan.Gates)})
	}
	out = slices.Concat(out, refusedSets(plan.Refused), blockSets(plan))
	if plan.Events != nil {
		out = append(out, callsSets(plan.Events)...)
	}
	if plan.Mirror != nil {
		out = append(out, mirrorSet(plan.Mirror, links))
	}
	if !plan.Guard() {
		return out
	}
	for _, f := range families(plan) {
		out = append(out, f.sets(f.of(plan))...)
	}
	return append(out, transportsSet(ourTable()))
}

// transportsSet has the protocols with ports that the kernel translates.
func transportsSet(t *nftables.Table) set {
	return set{&nftables.Set{Table: t, Name: setTransports, KeyType: nftables.TypeInetProto},
		byteElements(unix.IPPROTO_TCP, unix.IPPROTO_UDP, unix.IPPROTO_SCTP)}
}

// sets returns those of the mappings of plan, all of which are of the family.
func (f family) sets(plan nat.Plan) (out []set) {
	t := ourTable()
	insideKey := func(name string) *nftables.Set {
		return &nftables.Set{Table: t, Name: name, Interval: true, Concatenation: true,
			KeyType: concat(nftables.TypeIFName, f.address())}
	}
	source := func(name string, sources []nat.Source) set {
		s := insideKey(name)
		s.IsMap, s.DataType = true, f.address()
		return set{s, sourceElements(sources, func(s nat.Source) string { return addressKey(s.To) })}
	}
	alone := single(plan.Sources)
	for _, p := range pools(alone) {
		out = append(out, source(f.pool(p), withPool(alone, p)))
	}
	out = slices.Concat(out, f.spreadSets(plan.Sources), f.staticSets(plan.Statics), f.exceptionSets(plan.Exceptions))
	if plan.Hairpins() {
		out = append(out, f.linksSet(t, plan.Links))
	}
	forwardKey := func(name string) *nftables.Set {
		return &nftables.Set{Table: t, Name: name, Concatenation: true,
			KeyType: concat(f.address(), nftables.TypeInetProto, nftables.TypeInetService)}
	}
	forward, forwarded := forwardKey(f.name(mapForward)), forwardKey(f.name(setForwarded))
	forward.IsMap, forward.DataType = true, concat(f.address(), nftables.TypeInetService)
	icmpType := nftables.TypeICMPType
	if f.six {
		icmpType = nftables.TypeICMP6Type
	}
	return append(out,
		set{forward, forwardElements(plan.Forwards, func(to netip.AddrPort) string { return addressKey(to.Addr()) + port(to.Port()) })},
		set{forwarded, forwardElements(plan.Forwards, func(netip.AddrPort) string { return "" })},
		source(f.name(mapSource), alone),
		set{insideKey(f.name(setInside)), sourceElements(plan.Sources, func(nat.Source) string { return "" })},
		set{&nftables.Set{Table: t, Name: f.name(setPool), Interval: true, Concatenation: true,
			KeyType: concat(f.address(), nftables.TypeInetService)}, poolElements(plan.Pools())},
		set{&nftables.Set{Table: t, Name: f.name(setReplies), KeyType: icmpType}, byteElements(f.replies()...)},
		set{f.unknownSet(), nil},
	)
}

func deviceSet(name string) *nftables.Set {
	return &nftables.Set{Table: ourTable(), Name: name, KeyType: nftables.TypeIFName}
}

// device is an interface by the name that an error gives it.
type device string

func (d device) String() string { return string(d) }

func closedDevices(devices []string) []element {
	out := make([]element, len(devices))
	for i, d := range devices {
		out[i] = element{key: ifname(d), owner: device(d)}
	}
	return out
}

func deviceElements(devices []nat.DeviceGate) []element {
	out := make([]element, len(devices))
	for i, d := range devices {
		out[i] = element{key: ifname(d.Device), comment: d.Group, owner: device(d.Device)}
	}
	return out
}

// forwardElements has one for each port of a range: the kernel finds it by one hash, and
// cannot reckon.
func forwardElements(forwards []nat.Forward, val func(to netip.AddrPort) string) []element {
	n := 0
	for _, f := range forwards {
		n += f.Size()
	}
	out := make([]element, 0, n)
	for _, f := range forwards {
		for i := range f.Size() {
			p, to := f.At(i)
			out = append(out, element{key: addressKey(f.Address) + octet(byte(f.Proto)) + port(p), val: val(to), owner: f})
		}
	}
	return out
}

func sourceElements(sources []nat.Source, val func(nat.Source) string) []element {
	out := make([]element, len(sources))
	for i, s := range sources {
		out[i] = element{
			key:   ifname(s.Out) + first(s.From),
			end:   ifname(s.Out) + lastOf(s.From),
			val:   val(s),
			owner: s,
		}
	}
	return out
}

// first and lastOf are the ends of a network.
func first(p netip.Prefix) string { return string(p.Masked().Addr().AsSlice()) }

func lastOf(p netip.Prefix) string {
	last := p.Masked().Addr().AsSlice()
	for b := p.Bits(); b < 8*len(last); b++ {
		last[b/8] |= 1 << (7 - b%8)
	}
	return string(last)
}

func withPool(sources []nat.Source, p nat.Ports) []nat.Source {
	return slices.DeleteFunc(slices.Clone(sources), func(s nat.Source) bool { return s.Keeps || s.Ports != p })
}

func poolElements(pools []nat.Pool) []element {
	out := make([]element, len(pools))
	for i, p := range pools {
		out[i] = element{
			key:   addressKey(p.Address) + port(p.Ports.First),
			end:   addressKey(p.Address) + port(p.Ports.Last),
			owner: netip.AddrPortFrom(p.Address, p.Ports.First),
		}
	}
	return out
}

func byteElements(values ...byte) []element {
	out := make([]element, len(values))
	for i, v := range values {
		out[i] = element{key: string([]byte{v}), owner: nat.Proto(v)}
	}
	return out
}

func ip4(a netip.Addr) string { b := a.As4(); return string(b[:]) }
func port(p uint16) string    { return string([]byte{byte(p >> 8), byte(p), 0, 0}) }
func octet(b byte) string     { return string([]byte{b, 0, 0, 0}) }

func ifname(name string) string {
	var b [unix.IFNAMSIZ]byte
	copy(b[:], name)
	return string(b[:])
}

// size is what the element takes in a netlink message: headers of 4 bytes,
// values padded to 4.
func (e element) size() int {
	n := 4 + 8 + pad(len(e.key))
	if e.end != "" {
		n += 8 + pad(len(e.end))
	}
	if e.val != "" {
		n += 8 + pad(len(e.val))
	}
	if e.comment != "" {
		n += 4 + pad(2+len(e.comment)+1)
	}
	return n
}

func pad(n int) int { return (n + 3) &^ 3 }

func (e element) kernel() nftables.SetElement {
	out := nftables.SetElement{Key: []byte(e.key), Comment: e.comment}
	if e.end != "" {
		out.KeyEnd = []byte(e.end)
	}
	if e.val != "" {
		out.Val = []byte(e.val)
	}
	return out
}

func fromKernel(e nftables.SetElement) element {
	return element{key: string(e.Key), end: string(e.KeyEnd), val: string(e.Val), comment: e.Comment}
}
