package decode

import (
	"understudy/garp"
	"understudy/lacp"
	"understudy/vrrp"
)

// Meaning is a reason with what it means.
type Meaning struct{ Reason, Text string }

// Reasons lists what a frame of the protocol can be refused for, in the order
// in which a receiver finds it. The words are those of the protocol's package;
// docs/decode.md is made from this list.
func Reasons(p Protocol) []Meaning {
	var out []Meaning
	switch p {
	case VRRP:
		for _, r := range vrrp.Reasons() {
			// Whether it is its own is judged by a running router, which knows its address; and whether
			// it takes part yet.
			if r != vrrp.ReasonOwn && r != vrrp.ReasonDelay && r != vrrp.ReasonReplay {
				out = append(out, Meaning{r.String(), meaningVRRP(r)})
			}
		}
	case LACP:
		for _, r := range lacp.Reasons() {
			out = append(out, Meaning{r.String(), meaningLACP(r)})
		}
	case Marker:
		for _, r := range []lacp.Reason{lacp.ReasonDMAC, lacp.ReasonTruncated} {
			out = append(out, Meaning{r.String(), meaningLACP(r)})
		}
	case ARP:
		for _, r := range []garp.Reason{garp.ReasonLength, garp.ReasonOperation, garp.ReasonSender} {
			out = append(out, Meaning{r.String(), meaningARP(r)})
		}
	case NA:
		for _, r := range []garp.Reason{garp.ReasonHopLimit, garp.ReasonLength, garp.ReasonChecksum, garp.ReasonType,
			garp.ReasonDestination, garp.ReasonOption} {
			out = append(out, Meaning{r.String(), meaningNA(r)})
		}
	}
	return out
}

func meaningVRRP(r vrrp.Reason) string {
	switch r {
	case vrrp.ReasonTruncated:
		return "shorter than its headers say, or a fragment"
	case vrrp.ReasonTTL:
		return "TTL or Hop Limit is not 255: it may come from beyond the link (RFC 9568, 5.1.1.3 and 5.1.2.3)"
	case vrrp.ReasonDestination:
		return "not sent to 224.0.0.18 or ff02::12 (5.1.1.2 and 5.1.2.2); with unicast: not to this node"
	case vrrp.ReasonVersion:
		return "neither 3 nor 2, 2 over IPv6, or not the configured one (7.1)"
	case vrrp.ReasonType:
		return "not an advertisement (5.2.2)"
	case vrrp.ReasonAddrCount:
		return "carries no address (5.2.5, erratum 8299)"
	case vrrp.ReasonLength:
		return "not as long as its address count says (7.1)"
	case vrrp.ReasonChecksum:
		return "the checksum is wrong; IPv4 in version 3 is accepted in both forms (5.2.8)"
	case vrrp.ReasonVRID:
		return "VRID 0, or not configured on the interface (7.1); version 2: we own its addresses"
	case vrrp.ReasonAuth:
		return "version 2: unknown authentication type, or not what is configured (RFC 3768, 7.1)"
	case vrrp.ReasonICV:
		return "version 2, auth_type AH: the integrity check value is not that of the configured key (RFC 4302, 3.4.4)"
	case vrrp.ReasonInterval:
		return "interval 0 (erratum 8301); version 2: not the configured one (RFC 3768, 7.1)"
	case vrrp.ReasonLinkLocal:
		return "IPv6: the first address is not link-local (5.2.9, erratum 8300)"
	case vrrp.ReasonAddressList:
		return "version 2: not the configured addresses (RFC 3768, 7.1)"
	case vrrp.ReasonSource:
		return "a router with unicast does not list the sender"
	}
	return ""
}

func meaningLACP(r lacp.Reason) string {
	switch r {
	case lacp.ReasonDMAC:
		return "not sent to 01:80:c2:00:00:02: it may come from beyond the link, for bridges forward it"
	case lacp.ReasonEtherType:
		return "sent to the Slow Protocols group, but not as EtherType 0x8809"
	case lacp.ReasonSubtype:
		return "a Slow Protocol that is neither LACP nor Marker: not for this receiver, and not wrong in itself"
	case lacp.ReasonTruncated:
		return "shorter than the 110 octets of a PDU, or than its TLVs say"
	case lacp.ReasonActorLength:
		return "actor information is not 20 octets long"
	case lacp.ReasonPartnerLength:
		return "partner information is not 20 octets long"
	case lacp.ReasonCollectorLength:
		return "collector information is not 16 octets long"
	case lacp.ReasonTerminator:
		return "the terminator's length is not 0"
	}
	return ""
}

func meaningARP(r garp.Reason) string {
	switch r {
	case garp.ReasonLength:
		return "shorter than 28 octets, or its address lengths are not 6 and 4"
	case garp.ReasonOperation:
		return "neither a request nor a reply"
	case garp.ReasonSender:
		return "a sender that no single station can be: zero or group MAC; multicast, broadcast or loopback address"
	}
	return ""
}

func meaningNA(r garp.Reason) string {
	switch r {
	case garp.ReasonHopLimit:
		return "Hop Limit is not 255: it may come from beyond the link (RFC 4861, 7.1.2)"
	case garp.ReasonLength:
		return "shorter than its headers say, or than 24 octets (7.1.2)"
	case garp.ReasonChecksum:
		return "the ICMPv6 checksum is wrong (7.1.2)"
	case garp.ReasonType:
		return "the ICMPv6 code is not 0 (7.1.2)"
	case garp.ReasonDestination:
		return "the target is a group, or the solicited flag is set in what is sent to a group (7.1.2)"
	case garp.ReasonOption:
		return "an option of length 0, or beyond the end (7.1.2)"
	}
	return ""
}

// shortIsLength calls a neighbour packet that is too short a matter of its
// length: the words of decode tell no more apart.
func shortIsLength(r garp.Reason) garp.Reason {
	if r == garp.ReasonTruncated {
		return garp.ReasonLength
	}
	return r
}
