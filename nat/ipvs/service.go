package ipvs

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"understudy/nat/entry"
)

// ours marks services of this program: an option of schedulers that none has.
const ours = ipvs.ServiceSchedulerOpt3

// mostPorts is how long a range of ports may be: each is a service.
const mostPorts = 64

// server is a service as it should be, and where its packets go.
type service struct {
	ipvs.Service
	to map[netip.Addr]ipvs.Destination
}

// key tells services apart.
type key struct {
	address netip.Addr
	port    uint16
	proto   ipvs.Protocol
	mark    uint32
	family  ipvs.AddressFamily
}

func keyOf(s ipvs.Service) key {
	return key{s.Address, s.Port, s.Protocol, s.FWMark, s.Family}
}

// servicesOf are those of a point.
func servicesOf(p entry.Point) ([]service, error) {
	one := service{Service: ipvs.Service{Scheduler: scheduler(p), Flags: ours, Family: ipvs.INET, Netmask: netmask.MaskFrom(32, 32)}}
	if p.Six {
		one.Family, one.Netmask = ipvs.INET6, netmask.MaskFrom(128, 128)
	}
	if p.Table.ByClient {
		one.Flags |= ipvs.ServiceSchedulerOpt1 // a client whose server gets nothing new goes to another one, as with sh-fallback, mh-fallback
	}
	if p.Table.ByPort {
		one.Flags |= ipvs.ServiceSchedulerOpt2 // sh-port, mh-port
	}
	if p.Persist > 0 {
		one.Flags |= ipvs.ServicePersistent
		one.Timeout = uint32(p.Persist / time.Second)
		if p.PersistPrefix > 0 {
			one.Netmask = netmask.MaskFrom(p.PersistPrefix, p.Servers[0].Addr().BitLen())
		}
	}
	one.to = destinations(p, one.Family)
	if !p.Match.Address.IsValid() {
		one.FWMark = p.Match.Mark
		return []service{one}, nil
	}
	one.Address, one.Protocol = p.Match.Address, ipvs.Protocol(p.Match.Proto)
	if n := int(p.Match.Ports.Last) - int(p.Match.Ports.First) + 1; n > mostPorts {
		return nil, fmt.Errorf("ipvs: entry %s: %d ports are more than the %d that can be handed on by IPVS", p.Name, n, mostPorts)
	}
	var out []service
	for port := int(p.Match.Ports.First); port <= int(p.Match.Ports.Last); port++ {
		one.Port = uint16(port)
		out = append(out, one)
	}
	return out, nil
}

func scheduler(p entry.Point) string {
	switch {
	case !p.Table.ByClient:
		return "wrr"
	case len(p.Table.Slots) == entry.Slots:
		return "mh"
	}
	return "sh"
}

// tunnels are IP_VS_CONN_F_TUNNEL_TYPE_* of linux/ip_vs.h. A kernel before 5.3 knows IPIP alone,
// and takes others for that.
var tunnels = map[entry.TunnelKind]ipvs.TunnelType{entry.IPIP: ipvs.IPIP, entry.GRE: ipvs.GRE, entry.GUE: ipvs.GUE}

// destinations are the servers that may have flows; those that get new ones weigh what part
// of the slots they have.
func destinations(p entry.Point, family ipvs.AddressFamily) map[netip.Addr]ipvs.Destination {
	slots := make([]uint32, len(p.Servers))
	for _, n := range p.Table.Slots {
		slots[n]++
	}
	like := ipvs.Destination{FwdMethod: ipvs.DirectRoute, Family: family}
	if p.Tunnel.Kind != "" {
		like.FwdMethod, like.TunnelType, like.TunnelPort = ipvs.Tunnel, tunnels[p.Tunnel.Kind], p.Tunnel.Port
	}
	out := map[netip.Addr]ipvs.Destination{}
	for i, a := range p.Servers {
		if slots[i] > 0 || p.Table.Stay[i] && i < len(p.Table.Stay) {
			d := like
			d.Address, d.Weight = a.Addr(), slots[i]
			out[d.Address] = d
		}
	}
	return out
}
