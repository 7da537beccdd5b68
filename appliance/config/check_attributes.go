package config

import (
	"fmt"
	"net/netip"
	"strconv"

	"understudy/appliance/identity"
)

// scopes are how far an address counts, by the kernel's numbers (rtnetlink(7)).
var scopes = map[string]uint8{"global": 0, "site": 200, "link": 253, "host": 254}

// maxLabel is IFNAMSIZ less the final zero byte.
const maxLabel = 15

// attributes reads what stands behind an address: "dev lan1 label lan1:0 scope link".
func (c *checker) attributes(a *addressAt, words []string) bool {
	refuse := func(what, fix string) bool { c.add(a.path, what, fix); return false }
	six := a.Addr().Is6()
	for len(words) > 0 {
		word, value := words[0], ""
		words = words[1:]
		switch word {
		case "home":
			if !six {
				return refuse("IPv4 has no home addresses", "remove home")
			}
			a.as.Home = true
			continue
		case "noprefixroute":
			a.as.NoPrefixRoute = true
			continue
		case "autojoin":
			a.as.Join = true
			continue
		case "mngtmpaddr":
			if !six || a.Bits() != 64 {
				return refuse(a.String()+" is not in a network of /64, of which temporary addresses are made", "remove mngtmpaddr")
			}
			a.as.Temporaries = true
			continue
		case "again":
			a.again = true
			continue
		}
		if len(words) == 0 {
			return refuse(word+" has nothing behind it", `write ADDRESS/LENGTH, and behind it dev, mac, label, scope, brd, peer or preferred with a value, noprefixroute, home, autojoin, mngtmpaddr or again`)
		}
		value, words = words[0], words[1:]
		switch word {
		case "dev":
			if a.dev = c.interfaceName(a.path, &value, ""); a.dev == "" {
				return false
			}
		case "mac":
			if value != string(MACVirtual) {
				return refuse("mac "+quote(value)+" is not known", "write mac virtual: the one that moves with the router")
			}
			a.virtual = true
		case "label":
			if six || len(value) > maxLabel {
				return refuse(quote(value)+" is no label of an IPv4 address", fmt.Sprintf("use at most %d characters, of IPv4 only", maxLabel))
			}
			a.as.Label = value
		case "scope":
			n, known := scopes[value]
			if !known {
				number, err := strconv.ParseUint(value, 0, 8)
				if err != nil {
					return refuse(quote(value)+" is no scope", "use global, site, link, host or a number")
				}
				n = uint8(number)
			}
			a.as.Scope = n
		case "brd":
			if six {
				return refuse("IPv6 has no broadcast address", "remove brd")
			}
			switch value {
			case "+":
				a.as.Broadcast = broadcast(a.Prefix)
			case "-":
				a.as.Broadcast = a.Prefix.Masked().Addr()
			default:
				b, err := netip.ParseAddr(value)
				if err != nil || !b.Is4() {
					return refuse(quote(value)+" is no broadcast address", "write an IPv4 address, or + for that of the network")
				}
				a.as.Broadcast = b
			}
		case "peer":
			b, err := netip.ParseAddr(value)
			if err != nil || b.Is6() != six || b == a.Addr() || notHost(b) != "" {
				return refuse(quote(value)+" is no address of a far end", "write an address of the same family, without a length: that of the address counts")
			}
			a.as.Peer = b
		case "preferred":
			n, err := strconv.ParseUint(value, 10, 31)
			switch {
			case value == "forever":
				a.as.Preferred = identity.PreferredEver
			case err != nil:
				return refuse(quote(value)+" is no time", "write seconds, or forever")
			case n == 0:
				a.as.Preferred = identity.PreferredNever
			default:
				a.as.Preferred = identity.Preference(n)
			}
		default:
			return refuse(quote(word)+" is nothing that an address can have", "use dev, mac, label, scope, brd, peer or preferred with a value, noprefixroute, home, autojoin, mngtmpaddr or again")
		}
	}
	if a.as.Temporaries && a.as.Preferred == identity.PreferredUsually {
		a.as.Preferred = identity.PreferredEver // else no temporary ones are made of it
	}
	return true
}
