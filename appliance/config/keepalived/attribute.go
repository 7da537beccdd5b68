package keepalived

import (
	"net/netip"
	"strconv"
	"strings"
)

// preferred tells whether something is said of the time for which the address is chosen.
func (a Address) preferred() bool { return strings.Contains(a.As, " preferred ") }

// attribute reads a word behind an address that has a value, and says it in our words; "":
// there is nothing to say, or it is wrong.
func (p *parser) attribute(whose string, n *Node, prefix netip.Prefix, word, value string) string {
	wrong := func() string {
		p.say(n.At, Fault, "(%s) %s: invalid %s '%s' - ignoring", whose, n.Word, word, value)
		return ""
	}
	six := prefix.Addr().Is6()
	switch word {
	case "brd", "broadcast":
		if b, err := netip.ParseAddr(value); value != "+" && value != "-" && (err != nil || !b.Is4()) || six {
			return wrong()
		}
		if !prefix.IsSingleIP() || value != "+" && value != "-" {
			return "brd " + value
		}
		return ""
	case "peer":
		far, err := netip.ParseAddr(value)
		if err != nil {
			return wrong()
		}
		if far.Is6() != six {
			return wrong()
		}
		return "peer " + far.String()
	case "scope":
		switch value {
		case "global", "0":
			return ""
		case "site", "link", "host":
			return "scope " + value
		}
		if v, err := strconv.ParseUint(value, 0, 8); err == nil {
			return "scope " + strconv.FormatUint(v, 10)
		}
		return wrong()
	case "label":
		if six || value == "" || len(value) > 15 {
			return wrong()
		}
		return "label " + value
	}
	if v, err := strconv.ParseUint(value, 10, 31); err == nil {
		return "preferred " + strconv.FormatUint(v, 10)
	}
	if value == "forever" {
		return "preferred forever"
	}
	return wrong()
}
