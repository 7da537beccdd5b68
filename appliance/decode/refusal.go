package decode

import (
	"bytes"
	"fmt"

	"understudy/vrrp"
)

// refusal words a reason with the figures of the advert at hand.
func refusal(reason vrrp.Reason, d vrrp.Datagram, a *vrrp.Advert, router *vrrp.RouterConfig, local *Local) string {
	v4 := d.Src.Is4()
	switch reason {
	case vrrp.ReasonTruncated:
		return fmt.Sprintf("%d octets: shorter than the header of an advertisement", len(d.Payload))
	case vrrp.ReasonTTL:
		name := "Hop Limit"
		if v4 {
			name = "TTL"
		}
		return fmt.Sprintf("%s %d, not 255: it may come from beyond the link", name, d.TTL)
	case vrrp.ReasonDestination:
		if router != nil && len(router.Peers) > 0 {
			return fmt.Sprintf("sent to %v, and router %q goes by unicast", d.Dst, router.Name)
		}
		group := vrrp.Group6()
		if v4 {
			group = vrrp.Group4()
		}
		return fmt.Sprintf("sent to %v, not to %v", d.Dst, group)
	case vrrp.ReasonVersion:
		switch {
		case a.Version == 2 && !v4:
			return "version 2 over IPv6"
		case a.Version == 2 || a.Version == 3:
			return fmt.Sprintf("version %d, configured is %d", a.Version, router.Version)
		}
		return fmt.Sprintf("version %d is neither 2 nor 3", a.Version)
	case vrrp.ReasonType:
		return fmt.Sprintf("type %d is not an advertisement", d.Payload[0]&0x0f)
	case vrrp.ReasonAddrCount:
		return "it carries no address"
	case vrrp.ReasonLength:
		return fmt.Sprintf("%d octets, which is not what %d addresses take", len(d.Payload), a.Count)
	case vrrp.ReasonChecksum:
		return expected(d, a)
	case vrrp.ReasonVRID:
		return refusedVRID(a, router, local)
	case vrrp.ReasonAuth:
		switch {
		case router == nil || a.AuthType > 2:
			return fmt.Sprintf("authentication type %d is unknown", a.AuthType)
		case a.AuthType == vrrp.AuthSimple && router.Auth != "":
			return "the password is not the configured one"
		case (d.Sealed != nil) != router.AuthHeader:
			return map[bool]string{true: "it is in no authentication header", false: "it is in an authentication header"}[router.AuthHeader]
		}
		return fmt.Sprintf("authentication type %d is not the configured one", a.AuthType)
	case vrrp.ReasonInterval:
		if a.Interval == 0 {
			return "interval 0"
		}
		return fmt.Sprintf("interval %v, configured is %v: version 2 has to agree", a.Interval, router.Interval)
	case vrrp.ReasonLinkLocal:
		return fmt.Sprintf("the first address, %v, is not link-local", a.Address(0))
	case vrrp.ReasonSource:
		return fmt.Sprintf("router %q does not list %v in unicast", router.Name, d.Src)
	case vrrp.ReasonAddressList:
		return fmt.Sprintf("configured is %s: version 2 has to agree", list(router.Addresses))
	}
	return meaningVRRP(reason)
}

func refusedVRID(a *vrrp.Advert, router *vrrp.RouterConfig, local *Local) string {
	switch {
	case a.VRID == 0:
		return "VRID 0 is nobody's"
	case router == nil:
		return fmt.Sprintf("vrid %d is not configured on %s", a.VRID, local.Interface)
	}
	return fmt.Sprintf("router %q owns the addresses: version 2 does not listen to others", router.Name)
}

// expected says which checksum would have been right, where the message can be
// made again to find out.
func expected(d vrrp.Datagram, a *vrrp.Advert) string {
	right := func(form vrrp.ChecksumForm) []byte {
		again := *a
		again.Form = form
		return vrrp.AppendAdvertTo(nil, &again, nil, d.Src, d.Dst)
	}
	plain, pseudo := right(vrrp.FormMessage), right(vrrp.FormPseudo)
	is := fmt.Sprintf("checksum 0x%x", d.Payload[6:8])
	switch {
	case !bytes.Equal(plain[:6], d.Payload[:6]):
		return is + " is wrong" // reserved bits or an interval that we never send
	case a.Version == 3 && d.Src.Is4():
		return fmt.Sprintf("%s, right is 0x%x (rfc9568) or 0x%x (rfc5798)", is, plain[6:8], pseudo[6:8])
	}
	return fmt.Sprintf("%s, right is 0x%x", is, pseudo[6:8])
}
