package vrrp

// IPv6 extension headers (RFC 8200, 4) that may stand before an advert, and how many of them are read. Others make it
// no advert: a routing header has it on its way to somewhere else, a fragment is counted as truncated.
const (
	hopByHop           = 0
	fragment           = 44
	destinationOptions = 60
	maxExtensions      = 4
)

// extensions finds what follows the extension headers of ip, which begins with an IPv6 header: where, and which
// protocol. Not ok: they end beyond the packet, or it is a fragment.
func extensions(ip []byte) (protocol uint8, at int, ok bool) {
	protocol, at = ip[6], ipv6Header
	for range maxExtensions {
		switch protocol {
		case fragment:
			return 0, 0, false
		case hopByHop, destinationOptions:
		default:
			return protocol, at, true
		}
		if at+8 > len(ip) {
			return 0, 0, false
		}
		protocol, at = ip[at], at+8+8*int(ip[at+1])
		if at > len(ip) {
			return 0, 0, false
		}
	}
	return protocol, at, protocol != hopByHop && protocol != destinationOptions && protocol != fragment
}
