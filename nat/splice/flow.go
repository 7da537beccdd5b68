package splice

import "net/netip"

// Flow is a connection that is to go on at another server.
type Flow struct {
	Client netip.AddrPort
	Entry  netip.AddrPort // whom the client called
	From   netip.AddrPort // the server that has died
	To     netip.AddrPort // the new one
}

// Ends name a connection as its server knows it.
type Ends struct{ Server, Client netip.AddrPort }
