package vrrpnet

import (
	"net/netip"
	"slices"
)

// Link is what the election needs to know of an interface. It is comparable, so
// that a change is seen by ==.
type Link struct {
	Name  string
	Index int // 0: there is no such interface
	MAC   MAC
	Up    bool // administratively up, with carrier, and operational

	// The addresses adverts come from: the first address that is the box's own,
	// and not one that moves between boxes. Invalid if there is none.
	Primary4 netip.Addr
	Primary6 netip.Addr // link-local

	Chosen AddrSet // of Interface.Chosen, those that the interface has
}

// AddrSet marks positions in a list of addresses.
type AddrSet [8]uint64

func (s *AddrSet) add(i int) {
	if i < 64*len(s) {
		s[i/64] |= 1 << (i % 64)
	}
}

// Has tells whether the i-th address is in the set.
func (s *AddrSet) Has(i int) bool { return i < 64*len(s) && s[i/64]>>(i%64)&1 == 1 }

// Interface tells the Watcher what to look at.
type Interface struct {
	Name string
	// Virtual lists the addresses of the virtual routers on it. They never become
	// the primary address, and an address in a subnet with one of them is
	// preferred over others.
	Virtual []netip.Addr
	// Chosen lists addresses that some adverts are to come from, instead of the
	// primary one: at most 512, two families of 255 routers.
	Chosen []netip.Addr
}

// links is the picture of the watched interfaces that netlink messages paint. It
// makes no system call.
type links struct {
	ours  uint8 // protocol that marks addresses put there by us (IFA_PROTO); 0: none
	names []Interface
	now   []Link // as told last, by position in names
	told  []bool
	known []known
	round uint32 // of the current dump
}

// known is an interface of the kernel whose name is watched.
type known struct {
	watch int // position in names
	link  Link
	addrs []address
	round uint32
}

type address struct {
	prefix netip.Prefix // with the host part
	proto  uint8
	unfit  bool // tentative, failed duplicate detection
	round  uint32
}

func (s *links) find(index int) *known {
	for i := range s.known {
		if s.known[i].link.Index == index {
			return &s.known[i]
		}
	}
	return nil
}

func (s *links) watched(name []byte) int {
	for i := range s.names {
		if s.names[i].Name == string(name) {
			return i
		}
	}
	return -1
}

// setLink takes in one link message. fresh tells that the interface was not
// known under this name, so that its addresses still have to be asked for.
func (s *links) setLink(index int, name []byte, mac MAC, up bool) (fresh bool) {
	watch := s.watched(name)
	k := s.find(index)
	if watch < 0 {
		if k != nil { // renamed to something that is nobody's business
			s.removeLink(index)
		}
		return false
	}
	if k == nil || k.watch != watch {
		s.removeLink(index)
		// A name is unique: an older holder of it is gone, even if the message
		// that said so was lost.
		s.known = slices.DeleteFunc(s.known, func(o known) bool { return o.watch == watch })
		s.known = append(s.known, known{watch: watch, link: Link{Name: s.names[watch].Name, Index: index}})
		k = &s.known[len(s.known)-1]
		fresh = true
	}
	k.link.MAC, k.link.Up, k.round = mac, up, s.round
	return fresh
}

func (s *links) removeLink(index int) {
	s.known = slices.DeleteFunc(s.known, func(k known) bool { return k.link.Index == index })
}

func (s *links) setAddress(index int, p netip.Prefix, proto uint8, unfit bool) {
	k := s.find(index)
	if k == nil {
		return
	}
	a := address{prefix: p, proto: proto, unfit: unfit, round: s.round}
	i := k.indexOf(p)
	switch {
	case !unfit && s.rank(k.watch, a, p.Addr().Is4()) == 0 && !slices.Contains(s.names[k.watch].Chosen, p.Addr()):
		// Adverts never come from it. A takeover adds thousands of those, so they are
		// not even remembered.
		s.removeAddress(index, p)
	case i >= 0:
		k.addrs[i] = a
	default:
		k.addrs = append(k.addrs, a)
	}
}

func (s *links) removeAddress(index int, p netip.Prefix) {
	if k := s.find(index); k != nil {
		if i := k.indexOf(p); i >= 0 {
			k.addrs = slices.Delete(k.addrs, i, i+1)
		}
	}
}

func (k *known) indexOf(p netip.Prefix) int {
	for i := range k.addrs {
		if k.addrs[i].prefix == p {
			return i
		}
	}
	return -1
}

// sweep forgets what the dump that has just ended did not show.
func (s *links) sweep() {
	s.known = slices.DeleteFunc(s.known, func(k known) bool { return k.round != s.round })
	for i := range s.known {
		k := &s.known[i]
		k.addrs = slices.DeleteFunc(k.addrs, func(a address) bool { return a.round != s.round })
	}
}

// report calls fn for every watched interface that is not as it was told last.
func (s *links) report(fn func(Link)) {
	for i := range s.names {
		link := Link{Name: s.names[i].Name}
		for j := range s.known {
			if k := &s.known[j]; k.watch == i {
				link = k.link
				link.Primary4 = s.primary(k, s.now[i].Primary4, true)
				link.Primary6 = s.primary(k, s.now[i].Primary6, false)
				link.Chosen = s.chosen(k)
			}
		}
		if link != s.now[i] || !s.told[i] {
			s.now[i], s.told[i] = link, true
			fn(link)
		}
	}
}

// primary picks the address adverts come from. The present one stays as long as
// it is as good as any other: an address that changes looks like another router
// to the peers.
func (s *links) primary(k *known, present netip.Addr, v4 bool) netip.Addr {
	var best netip.Addr
	bestRank := 0
	for _, a := range k.addrs {
		ip := a.prefix.Addr()
		rank := s.rank(k.watch, a, v4)
		if rank > bestRank || rank == bestRank && rank > 0 && ip == present {
			best, bestRank = ip, rank
		}
	}
	return best
}

// chosen finds which of the chosen addresses are there, and not put there by us.
func (s *links) chosen(k *known) (set AddrSet) {
	for i, want := range s.names[k.watch].Chosen {
		for _, a := range k.addrs {
			if a.prefix.Addr() == want && !a.unfit && (s.ours == 0 || a.proto != s.ours) {
				set.add(i)
			}
		}
	}
	return set
}

// rank: 0 is unfit, 2 shares a subnet with a virtual address.
func (s *links) rank(watch int, a address, v4 bool) int {
	ip := a.prefix.Addr()
	if ip.Is4() != v4 || a.unfit || ip.IsLoopback() || s.ours != 0 && a.proto == s.ours {
		return 0
	}
	if !v4 && (!ip.IsLinkLocalUnicast() || ofVirtualMAC(ip)) {
		return 0 // RFC 9568 5.1.2.1: the source is link-local; 7.4: and not made of a virtual MAC
	}
	rank := 1
	for _, v := range s.names[watch].Virtual {
		if v == ip {
			return 0
		}
		if a.prefix.Contains(v) {
			rank = 2
		}
	}
	return rank
}

// ofVirtualMAC reports whether an IPv6 address was made of a virtual MAC (modified
// EUI-64, RFC 4291 appendix A). Every router of that VRID could have it.
func ofVirtualMAC(ip netip.Addr) bool {
	b := ip.As16()
	return [7]byte(b[8:15]) == [7]byte{0x02, 0x00, 0x5e, 0xff, 0xfe, 0x00, 0x01} || [7]byte(b[8:15]) == [7]byte{0x02, 0x00, 0x5e, 0xff, 0xfe, 0x00, 0x02}
}
