package ranet

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"

	"github.com/mdlayher/ethernet"
	"github.com/mdlayher/ndp"

	"understudy/garp"
	"understudy/garp/ra"
)

const (
	icmpv6   = 58
	hopLimit = 255
)

var preferences = map[ra.Preference]ndp.Preference{ra.Low: ndp.Low, ra.Medium: ndp.Medium, ra.High: ndp.High}

// Message is what p says; final with a Router Lifetime of zero, and nothing that
// is of use without a router.
func Message(p *ra.Params, mac garp.MAC, final bool) *ndp.RouterAdvertisement {
	m := &ndp.RouterAdvertisement{
		CurrentHopLimit: p.HopLimit, ManagedConfiguration: p.Managed, OtherConfiguration: p.Other,
		RouterSelectionPreference: preferences[p.Preference], RouterLifetime: p.Lifetime,
	}
	dns := p.DNSLifetime()
	if final {
		m.RouterLifetime, m.RouterSelectionPreference, dns = 0, ndp.Medium, 0
	}
	m.Options = append(m.Options, &ndp.LinkLayerAddress{Direction: ndp.Source, Addr: net.HardwareAddr(mac[:])})
	if p.MTU != 0 {
		m.Options = append(m.Options, ndp.NewMTU(p.MTU))
	}
	for _, x := range p.Prefixes {
		m.Options = append(m.Options, &ndp.PrefixInformation{PrefixLength: uint8(x.Bits()), Prefix: x.Addr(),
			OnLink: p.OnLink, AutonomousAddressConfiguration: p.Autonomous, ValidLifetime: p.Valid, PreferredLifetime: p.Preferred})
	}
	if len(p.RDNSS) > 0 {
		m.Options = append(m.Options, &ndp.RecursiveDNSServer{Lifetime: dns, Servers: p.RDNSS})
	}
	if len(p.DNSSL) > 0 {
		m.Options = append(m.Options, &ndp.DNSSearchList{Lifetime: dns, DomainNames: p.DNSSL})
	}
	return m
}

// Frame is the whole frame, to all nodes, from a link-local address and a MAC.
func Frame(p *ra.Params, src netip.Addr, mac garp.MAC, final bool) ([]byte, error) {
	src = src.WithZone("")
	body, err := ndp.MarshalMessageChecksum(Message(p, mac, final), src, garp.AllNodes)
	if err != nil {
		return nil, fmt.Errorf("ranet: router advertisement: %w", err)
	}
	from, to := src.As16(), garp.AllNodes.As16()
	packet := make([]byte, 8, 40+len(body))
	packet[0], packet[6], packet[7] = 0x60, icmpv6, hopLimit
	binary.BigEndian.PutUint16(packet[4:], uint16(len(body)))
	packet = append(append(append(packet, from[:]...), to[:]...), body...)
	frame := ethernet.Frame{Destination: garp.AllNodesMAC[:], Source: mac[:], EtherType: ethernet.EtherTypeIPv6, Payload: packet}
	return frame.MarshalBinary()
}
