package vrrp

// VirtualMAC returns the Ethernet address of a virtual router (RFC 9568, 7.3): it moves with the addresses, so that
// hosts learn nothing new at a takeover. family is 4 or 6; the result is in the order of transmission.
func VirtualMAC(family, vrid uint8) [6]byte {
	kind := byte(0x01)
	if family == 6 {
		kind = 0x02
	}
	return [6]byte{0x00, 0x00, 0x5e, 0x00, kind, vrid}
}
