package vrrp

import (
	"encoding/binary"
	"net/netip"
	"time"
)

const (
	typeAdvertisement = 1
	messageHeader     = 8
	authData          = 8      // octets after the addresses in version 2, always there
	intervalMask      = 0x0fff // the four bits above are Reserve: ignored on receipt (RFC 9568, 5.2.6)
)

// Version 2 authentication types: RFC 3768 has only none, RFC 2338 had simple text and the IP Authentication Header as well.
const (
	AuthNone   uint8 = 0
	AuthSimple uint8 = 1
	AuthHeader uint8 = 2
)

// Advert is a VRRP ADVERTISEMENT, version 2 or 3. The same value is read into again and again; its address list
// aliases the packet it was read from.
type Advert struct {
	Version, VRID, Priority uint8
	Interval                time.Duration // whole 1/100 s (version 2: whole seconds)
	Form                    ChecksumForm  // which form the checksum had, or is to have
	ByGroup                 bool          // FormPseudo over IPv4, to a single router: it has the group's address all the same
	AuthType                uint8         // version 2
	Auth                    [8]byte       // version 2; zero-padded text
	Key                     [8]byte       // AuthHeader, of what is to be sent: of the packet; it is never read
	Sequence                uint32        // AuthHeader: of the packet; 0 without
	Count                   uint8         // addresses in the list
	list                    []byte        // Count addresses of 4 or 16 octets
}

// Address returns the i-th of Count addresses.
func (a *Advert) Address(i int) netip.Addr {
	if size := a.size(); size == 16 {
		return netip.AddrFrom16([16]byte(a.list[i*16:]))
	}
	return netip.AddrFrom4([4]byte(a.list[i*4:]))
}

// AppendAddresses appends the address list to dst.
func (a *Advert) AppendAddresses(dst []netip.Addr) []netip.Addr {
	for i := range int(a.Count) {
		dst = append(dst, a.Address(i))
	}
	return dst
}

func (a *Advert) size() int {
	if a.Count == 0 {
		return 4
	}
	return len(a.list) / int(a.Count)
}

// Lists says whether the advert carries just these addresses, in any order: RFC 9568 recommends the same order on
// all routers but does not require it, and a list is a set. Allocates nothing.
func (a *Advert) Lists(want []netip.Addr) bool {
	if int(a.Count) != len(want) {
		return false
	}
next:
	for _, w := range want {
		for i := range int(a.Count) {
			if a.Address(i) == w {
				continue next
			}
		}
		return false
	}
	return true
}

// Expect is what a receiver that has a configuration holds an advert against.
type Expect struct {
	Version   uint8
	VRID      uint8
	AuthType  uint8         // version 2
	Auth      [8]byte       // version 2: the password, or the key of AuthHeader
	Interval  time.Duration // version 2
	Addresses []netip.Addr  // version 2
	Owner     bool          // version 2
	Unicast   Unicast       // how it has to be addressed
}

// ParseAdvert reads the advert in d and judges what can be judged without configuration: the version must be 2 or
// 3, the VRID and interval not 0, the authentication type not above 2. Either form of the IPv4 checksum is
// accepted and told in a.Form. Unless it returns ReasonNone, a is only filled as far as the reading came. No allocation.
func ParseAdvert(d Datagram, a *Advert) Reason { return parseAdvert(d, a, nil, &Unicast{}) }

// ParseExpected is ParseAdvert with a configuration, in one ladder: a reason that needs the configuration comes
// at its place between the others. Used for verdicts; a running receiver parses, finds the router by VRID, and
// lets Set judge the rest.
func ParseExpected(d Datagram, a *Advert, want *Expect) Reason {
	return parseAdvert(d, a, want, &want.Unicast)
}

func parseAdvert(d Datagram, a *Advert, want *Expect, addressed *Unicast) Reason {
	b := d.Payload
	*a = Advert{Sequence: d.sequence()}
	if len(b) < messageHeader {
		return ReasonTruncated
	}
	a.Version, a.VRID, a.Priority, a.Count = b[0]>>4, b[1], b[2], b[3]
	if r := addressed.judge(d); r != ReasonNone {
		return r
	}
	v4 := d.Src.Is4()
	switch {
	case a.Version != 3 && (a.Version != 2 || !v4):
		return ReasonVersion
	case want != nil && a.Version != want.Version:
		return ReasonVersion
	case b[0]&0x0f != typeAdvertisement || (d.Protocol != 0 && d.Protocol != protocol):
		return ReasonType
	case a.Count == 0:
		return ReasonAddrCount
	}
	size, tail := 16, 0
	if v4 {
		size = 4
	}
	if a.Version == 2 {
		tail = authData
	}
	end := messageHeader + size*int(a.Count)
	// Longer than it says is as wrong as shorter: padding is gone by now.
	if len(b) != end+tail {
		return ReasonLength
	}
	a.list = b[messageHeader:end]
	if a.Version == 2 {
		a.AuthType = b[4]
		a.Interval = time.Duration(b[5]) * time.Second
		a.Auth = [8]byte(b[end:])
	} else {
		a.Interval = Centis(binary.BigEndian.Uint16(b[4:]) & intervalMask).Duration()
	}
	r := a.judge(d, want)
	if r == ReasonNone && want != nil {
		return want.sealed(d, a)
	}
	return r
}

// judge does the rungs of the ladder that follow the length.
func (a *Advert) judge(d Datagram, want *Expect) Reason {
	ok := false
	if a.Form, a.ByGroup, ok = checksumForm(d, a.Version); !ok {
		return ReasonChecksum
	}
	if a.VRID == 0 {
		return ReasonVRID
	}
	if want != nil {
		if r := want.Check(a); r != ReasonNone && r < ReasonLinkLocal {
			return r
		}
	}
	switch {
	case a.AuthType > AuthHeader:
		return ReasonAuth
	case a.Interval == 0:
		return ReasonInterval
	case d.Src.Is6() && !linkLocal6(a.Address(0)):
		return ReasonLinkLocal
	}
	switch {
	case want == nil:
		return ReasonNone
	case !want.Unicast.Knows(d.Src) && want.Check(a) == ReasonNone:
		return ReasonSource
	}
	return want.Check(a)
}

// checksumForm finds the form in which the checksum is right. byGroup: by the group's address, as keepalived up to 1.3.6
// has it in adverts to a single router.
func checksumForm(d Datagram, version uint8) (form ChecksumForm, byGroup, ok bool) {
	message := sum(0, d.Payload)
	switch {
	case d.Src.Is4() && fold(message) == 0xffff:
		return FormMessage, false, true
	case version != 3:
	case fold(message+pseudo(d.Src, d.Dst, len(d.Payload))) == 0xffff:
		return FormPseudo, false, true
	case d.Src.Is4() && !d.Dst.IsMulticast() && fold(message+pseudo(d.Src, Group4(), len(d.Payload))) == 0xffff:
		return FormPseudo, true, true
	}
	return FormMessage, false, false
}

// Check holds an advert that ParseAdvert accepted against the configuration: version, VRID, and what only version
// 2 insists on (RFC 3768, 7.1). In version 3 another interval or list is worth a counter, never a drop (RFC 9568, 7.1).
func (e *Expect) Check(a *Advert) Reason {
	switch {
	case a.Version != e.Version:
		return ReasonVersion
	case a.VRID != e.VRID:
		return ReasonVRID
	case a.Version != 2:
		return ReasonNone
	case e.Owner:
		return ReasonVRID
	case a.AuthType != e.AuthType:
		return ReasonAuth
	case e.AuthType == AuthSimple && a.Auth != e.Auth:
		return ReasonAuth
	case a.Interval != e.Interval:
		return ReasonInterval
	case a.Priority != 255 && !a.Lists(e.Addresses):
		return ReasonAddressList
	}
	return ReasonNone
}
