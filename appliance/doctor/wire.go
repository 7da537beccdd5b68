package doctor

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mdlayher/packet"
	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/vrrp"
)

// speaker is somebody who sends adverts.
type speaker struct {
	iface     string
	family    uint8
	vrid      uint8
	src       netip.Addr
	priority  uint8
	version   uint8
	interval  time.Duration
	addresses []netip.Addr
	refused   vrrp.Reason
	heard     int
}

// vrids listens for as long as a Backup would, and says who else speaks.
func (x *exam) vrids(ctx context.Context) (out []Finding) {
	names, routers := x.interfaces()
	wait := x.wait()
	var wg sync.WaitGroup
	var mu sync.Mutex
	var all []speaker
	for _, name := range names {
		for _, family := range []uint8{4, 6} {
			if !slices.ContainsFunc(routers[name], func(r config.Router) bool { return r.Family == family }) {
				continue
			}
			wg.Go(func() {
				heard, err := listen(ctx, name, family, wait)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, heard...)
				if err != nil {
					out = append(out, Finding{Severity: Unknown, Subject: name, Text: "cannot be listened at: " + err.Error()})
				}
			})
		}
	}
	wg.Wait()
	slices.SortFunc(all, func(a, b speaker) int {
		return strings.Compare(fmt.Sprint(a.iface, a.family, a.vrid, a.src), fmt.Sprint(b.iface, b.family, b.vrid, b.src))
	})
	for _, r := range x.cfg.Routers {
		out = append(out, x.rivals(r, all, wait)...)
	}
	for _, s := range all {
		if !slices.ContainsFunc(x.cfg.Routers, func(r config.Router) bool { return r.Interface == s.iface && r.Family == s.family && r.VRID == s.vrid }) {
			out = append(out, Finding{Severity: Info, Subject: s.iface, Text: fmt.Sprintf("VRID %d is in use here by %s: not for a router of this node", s.vrid, s.src), Evidence: []string{s.String()}})
		}
	}
	return out
}

func (s *speaker) String() string {
	return fmt.Sprintf("%s: %d adverts, version %d, VRID %d, priority %d, each %v, addresses %v", s.src, s.heard, s.version, s.vrid, s.priority, s.interval, s.addresses)
}

// rivals says who else speaks for a router.
func (x *exam) rivals(r config.Router, all []speaker, wait time.Duration) (out []Finding) {
	var active []string
	for _, s := range all {
		if s.iface != r.Interface || s.family != r.Family || s.vrid != r.VRID {
			continue
		}
		var own []netip.Addr
		for _, p := range r.Addresses {
			own = append(own, p.Addr())
		}
		sameAddresses := slices.Equal(sorted(own), sorted(s.addresses))
		switch {
		case s.refused != vrrp.ReasonNone:
			out = append(out, Finding{Severity: Warning, Subject: r.Name, Text: fmt.Sprintf("adverts of %s for VRID %d are refused: %s", s.src, s.vrid, s.refused), Evidence: []string{s.String()},
				Fix: "make version, authentication and interval alike on all nodes; understudy decode says more of a capture"})
			continue
		case !sameAddresses:
			out = append(out, Finding{Severity: Error, Subject: r.Name, Text: fmt.Sprintf("VRID %d is used by somebody else on %s: %s has other addresses with it. Both will take the adverts of the other for their own", r.VRID, r.Interface, s.src),
				Evidence: []string{s.String(), fmt.Sprintf("this router: addresses %v", own)}, Fix: "another vrid for one of the two, on all of its nodes; if it is the same router, make the lists of addresses equal"})
		}
		if s.priority > 0 {
			active = append(active, s.String())
		}
		if s.version == 3 && s.interval != r.Advertise || s.version != r.Version {
			out = append(out, Finding{Severity: Warning, Subject: r.Name, Text: fmt.Sprintf("%s advertises otherwise than this router is configured", s.src), Evidence: []string{s.String(), fmt.Sprintf("this router: version %d, each %v", r.Version, r.Advertise)},
				Fix: "the same version and advertise on all nodes"})
		}
	}
	here := x.Status != nil && slices.ContainsFunc(x.Status.Groups, func(g appliance.GroupStatus) bool { return g.State == "active" && slices.Contains(g.Members, r.Name) })
	switch {
	case len(active) > 1 || here && len(active) > 0:
		f := Finding{Severity: Error, Subject: r.Name, Text: fmt.Sprintf("several are active for VRID %d on %s", r.VRID, r.Interface), Evidence: active,
			Fix: "two nodes that do not hear each other (a switch that drops multicast, a packet filter), or a duplicate VRID: docs/split-brain.md"}
		if here {
			f.Evidence = append(f.Evidence, "this node is active, too")
		}
		out = append(out, f)
	case len(out) > 0:
	case len(active) == 1:
		out = append(out, Finding{Severity: OK, Subject: r.Name, Text: "one active was heard", Evidence: active})
	case here:
		out = append(out, Finding{Severity: OK, Subject: r.Name, Text: fmt.Sprintf("nobody else was heard for VRID %d within %v", r.VRID, wait.Round(time.Millisecond))})
	default:
		out = append(out, Finding{Severity: Info, Subject: r.Name, Text: fmt.Sprintf("no advert for VRID %d was heard within %v: no node is active, or its adverts do not get here", r.VRID, wait.Round(time.Millisecond)),
			Fix: "if one is active: switches with IGMP snooping need a querier; in clouds and across routers multicast does not pass at all: router.unicast"})
	}
	return out
}

func sorted(a []netip.Addr) []netip.Addr {
	a = slices.Clone(a)
	slices.SortFunc(a, netip.Addr.Compare)
	return a
}

// listen hears what comes in on an interface.
func listen(ctx context.Context, name string, family uint8, wait time.Duration) (out []speaker, err error) {
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, err
	}
	proto, group := unix.ETH_P_IP, net.HardwareAddr{0x01, 0x00, 0x5e, 0x00, 0x00, 0x12}
	if family == 6 {
		proto, group = unix.ETH_P_IPV6, net.HardwareAddr{0x33, 0x33, 0x00, 0x00, 0x00, 0x12}
	}
	c, err := packet.Listen(ifi, packet.Datagram, proto, nil)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if err := c.JoinGroup(group); err != nil {
		return nil, err
	}
	defer context.AfterFunc(ctx, func() { c.SetReadDeadline(time.Unix(1, 0)) })()
	if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
		return nil, err
	}
	b := make([]byte, 2048)
	for {
		n, _, err := c.ReadFrom(b)
		if err != nil {
			return out, nil // the time is over
		}
		d, reason := vrrp.ParseDatagram(b[:n])
		if reason != vrrp.ReasonNone || d.Protocol != protocolVRRP {
			continue
		}
		s := speaker{iface: name, family: family, src: d.Src}
		var a vrrp.Advert
		s.refused = vrrp.ParseAdvert(d, &a)
		s.vrid, s.priority, s.version, s.interval = a.VRID, a.Priority, a.Version, a.Interval
		if s.refused == vrrp.ReasonNone {
			s.addresses = a.AppendAddresses(nil)
		}
		i := slices.IndexFunc(out, func(o speaker) bool { return o.src == s.src && o.vrid == s.vrid })
		if i < 0 {
			out = append(out, s)
			i = len(out) - 1
		}
		s.heard = out[i].heard + 1
		out[i] = s // as it was heard last
	}
}
