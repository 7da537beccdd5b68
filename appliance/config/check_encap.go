package config

import (
	"fmt"
	"net/netip"
	"strconv"
	"strings"

	"understudy/appliance/identity"
)

const (
	mostLabels = 30     // MAX_NEW_LABELS of the kernel's
	encapFlags = 0x27ff // of which the kernel keeps what is asked for
)

// encap reads what a hop wraps packets into: "ip id 7 dst 10.0.0.9 ttl 64".
func (c *checker) encap(path string, v *string) (e identity.Encap) {
	if v == nil {
		return e
	}
	const fix = `write "ip dst ADDRESS", "ip6 dst ADDRESS", "mpls LABEL/LABEL" or "ila A:B:C:D"; see ip-route(8)`
	words := strings.Fields(*v)
	if len(words) == 0 {
		c.add(path, "it is empty", fix)
		return e
	}
	kind := identity.EncapKind(words[0])
	words = words[1:]
	refuse := func(what string) identity.Encap { c.add(path, what, fix); return identity.Encap{} }
	switch kind {
	case identity.EncapMPLS, identity.EncapILA:
		if len(words) != 1 {
			return refuse(fmt.Sprintf("%s takes one word behind it", kind))
		}
		e.Kind = kind
		if kind == identity.EncapMPLS && labelStack(words[0]) {
			e.Labels = words[0]
			return e
		}
		n, ok := locator(words[0])
		if e.ILA = n; !ok || kind == identity.EncapMPLS {
			return refuse(fmt.Sprintf("%s cannot be %s", kind, quote(words[0])))
		}
		return e
	case identity.EncapIP, identity.EncapIP6:
	default:
		return refuse(quote(string(kind)) + " is nothing that packets can be wrapped into")
	}
	tos, ttl := "tos", "ttl"
	if kind == identity.EncapIP6 {
		tos, ttl = "tc", "hoplimit"
	}
	for ; len(words) > 0; words = words[2:] {
		if len(words) < 2 {
			return refuse(words[0] + " has nothing behind it")
		}
		word, value, ok := words[0], words[1], true
		switch word {
		case "id":
			n, err := strconv.ParseUint(value, 0, 64)
			e.ID, ok = n, err == nil
		case "dst", "src":
			a, err := netip.ParseAddr(value)
			ok = err == nil && a.Is6() == (kind == identity.EncapIP6) && a.Zone() == "" && notHost(a) == ""
			if word == "dst" {
				e.To = a
			} else {
				e.From = a
			}
		case tos:
			e.TOS, ok = uint8Of(value)
		case ttl:
			e.TTL, ok = uint8Of(value)
		case "flags":
			n, err := strconv.ParseUint(value, 0, 16)
			e.Flags, ok = uint16(n), err == nil && n&^encapFlags == 0
		default:
			return refuse(fmt.Sprintf("%s is nothing that %s can have", quote(word), kind))
		}
		if !ok {
			return refuse(fmt.Sprintf("%s cannot be %s", word, quote(value)))
		}
	}
	if !e.To.IsValid() && e.ID == 0 {
		return refuse("it leads to nothing: there is neither dst nor id")
	}
	e.Kind = kind
	return e
}

// labelStack tells whether v is "LABEL/LABEL", with labels of 20 bits (RFC 3032).
func labelStack(v string) bool {
	list := strings.Split(v, "/")
	for _, l := range list {
		if n, err := strconv.ParseUint(l, 10, 20); err != nil || strconv.FormatUint(n, 10) != l {
			return false
		}
	}
	return len(list) <= mostLabels
}

// locator reads four groups of 16 bits, in hexadecimal.
func locator(v string) (out uint64, ok bool) {
	groups := strings.Split(v, ":")
	for _, g := range groups {
		n, err := strconv.ParseUint(g, 16, 16)
		if err != nil {
			return 0, false
		}
		out = out<<16 | n
	}
	return out, len(groups) == 4
}
