package decode

import (
	"fmt"
	"net/netip"
	"strings"
	"time"

	"understudy/vrrp"
)

// vrrp judges a packet as `compat`: either form of the IPv4 checksum is good.
func (j *Judge) vrrp(r *Result, e ethernet) {
	r.Protocol = VRRP
	d, reason := vrrp.ParseDatagram(e.body)
	if reason != vrrp.ReasonNone {
		r.Reason = reason.String()
		r.Detail = meaningVRRP(reason)
		return
	}
	r.Fields.add("source", d.Src)
	r.Fields.add("destination", d.Dst)
	r.Fields.add("ttl", d.TTL)

	var a vrrp.Advert
	router := j.router(d)
	reason = parse(d, &a, router, j.Local)
	if reason != vrrp.ReasonNone {
		r.Reason = reason.String()
		r.Detail = refusal(reason, d, &a, router, j.Local)
	}
	below := reason
	if reason == vrrp.ReasonTTL || reason == vrrp.ReasonDestination {
		// The verdict stands; what else there is to read is worth showing.
		below = vrrp.ParseAdvertTo(d, &a, &vrrp.Unicast{Peers: []vrrp.Peer{{Address: d.Src, Routed: true}}})
		if d.Dst.IsMulticast() {
			look := d
			look.TTL, look.Dst = 255, vrrp.Group4()
			if d.Src.Is6() {
				look.Dst = vrrp.Group6()
			}
			below = vrrp.ParseAdvert(look, &a)
		}
	}
	showAdvert(r, d, &a, below)
	if reason == vrrp.ReasonNone {
		noteAdvert(r, d, &a, router)
	}
	if d.Src.Is4() && !headerChecksum(e.body) {
		r.note("the IPv4 header checksum is wrong: a kernel drops the packet before VRRP sees it")
	}
}

// parse climbs the ladder with what is known.
func parse(d vrrp.Datagram, a *vrrp.Advert, router *vrrp.RouterConfig, local *Local) vrrp.Reason {
	if router != nil {
		want := expect(router)
		return vrrp.ParseExpected(d, a, &want)
	}
	reason := vrrp.ParseAdvert(d, a)
	if local != nil && (reason == vrrp.ReasonNone || reason > vrrp.ReasonVRID) {
		return vrrp.ReasonVRID // no router of ours has it: that comes before what comes after
	}
	return reason
}

// router finds the one that the packet is for.
func (j *Judge) router(d vrrp.Datagram) *vrrp.RouterConfig {
	if j.Local == nil || len(d.Payload) < 2 {
		return nil
	}
	family := uint8(6)
	if d.Src.Is4() {
		family = 4
	}
	for i := range j.Local.Routers {
		if rc := &j.Local.Routers[i]; rc.VRID == d.Payload[1] && rc.Family == family {
			return rc
		}
	}
	return nil
}

func expect(rc *vrrp.RouterConfig) vrrp.Expect {
	e := vrrp.Expect{Version: rc.Version, VRID: rc.VRID, Interval: rc.Interval, Addresses: rc.Addresses, Owner: owner(rc),
		Unicast: vrrp.Unicast{Peers: rc.Peers, Own: rc.Source}}
	if rc.Auth != "" {
		e.AuthType = vrrp.AuthSimple
		copy(e.Auth[:], rc.Auth)
	}
	if rc.AuthHeader {
		e.AuthType = vrrp.AuthHeader
	}
	return e
}

func owner(rc *vrrp.RouterConfig) bool { return rc.Priority == 255 }

// showAdvert fills fields and summary as far as the advert was read.
func showAdvert(r *Result, d vrrp.Datagram, a *vrrp.Advert, reason vrrp.Reason) {
	if reason == vrrp.ReasonTruncated {
		return
	}
	f := &r.Fields
	f.add("version", a.Version)
	f.add("type", d.Payload[0]&0x0f)
	f.add("vrid", a.VRID)
	f.add("priority", a.Priority)
	f.add("addr_count", a.Count)
	r.Summary = fmt.Sprintf("version %d, vrid %d, priority %d, from %s", a.Version, a.VRID, a.Priority, d.Src)
	if reason != vrrp.ReasonNone && reason <= vrrp.ReasonLength {
		return
	}
	addresses := a.AppendAddresses([]netip.Addr{})
	f.add("interval_cs", int(a.Interval/(10*time.Millisecond)))
	f.add("addresses", addresses)
	f.add("checksum", fmt.Sprintf("0x%x", d.Payload[6:8]))
	if reason == vrrp.ReasonChecksum {
		f.add("checksum_form", nil)
	} else {
		f.add("checksum_form", a.Form.String())
	}
	if a.Version == 2 {
		f.add("auth_type", a.AuthType) // the password itself is nobody's business
		if d.Sealed != nil {
			f.add("sequence", a.Sequence)
		}
	}
	r.Summary += fmt.Sprintf(", every %v: %s", a.Interval, list(addresses))
	if a.Version == 3 && d.Src.Is4() && reason != vrrp.ReasonChecksum {
		r.Summary += fmt.Sprintf(" (%v checksum)", a.Form)
	}
}

// list shortens a long list of addresses for a line of text.
func list(addresses []netip.Addr) string {
	const most = 4
	var words []string
	for _, a := range addresses[:min(len(addresses), most)] {
		words = append(words, a.String())
	}
	if more := len(addresses) - most; more > 0 {
		words = append(words, fmt.Sprintf("and %d more", more))
	}
	return strings.Join(words, " ")
}

// noteAdvert tells what is odd about an advert that is accepted.
func noteAdvert(r *Result, d vrrp.Datagram, a *vrrp.Advert, router *vrrp.RouterConfig) {
	if a.Priority == 0 {
		r.note("priority 0: the sender stops being Active")
	}
	if a.Version == 3 && d.Payload[4]&0xf0 != 0 {
		r.note("the reserved bits are not 0: ignored")
	}
	if d.Src.Is6() && !d.Src.IsLinkLocalUnicast() {
		r.note("the source is not link-local (RFC 9568, 5.1.2.1)")
	}
	if router == nil {
		return
	}
	if a.Version == 3 && a.Priority != 0 && a.Interval != router.Interval {
		r.note(fmt.Sprintf("interval %v, configured is %v: accepted, a Backup learns it", a.Interval, router.Interval))
	}
	if !a.Lists(router.Addresses) {
		r.note(fmt.Sprintf("the addresses are not the configured %s: accepted", list(router.Addresses)))
	}
	if owner(router) {
		r.note(fmt.Sprintf("router %q owns the addresses: accepted (erratum 8298)", router.Name))
	}
	if a.Version == 2 && a.AuthType == 0 && router.Auth == "" && a.Auth != [8]byte{} {
		r.note("authentication data without authentication: ignored")
	}
}

// headerChecksum verifies that of an IPv4 header that ParseDatagram has read.
func headerChecksum(ip []byte) bool {
	var sum uint32
	for h := ip[:int(ip[0]&0x0f)*4]; len(h) > 0; h = h[2:] {
		sum += uint32(h[0])<<8 | uint32(h[1])
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum == 0xffff
}
