package kernel

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// Link is what a gateway needs to know of an interface.
type Link struct {
	Name  string
	Index int
	MAC   [6]byte // zero unless Ethernet
	// Up is the operator's wish (IFF_UP). Running says that frames can pass:
	// also carrier and operational state are good.
	Up, Running bool
	// Primary is the IPv4 address adverts are sent from: the first that is not
	// one of ours, a primary one before a secondary. Invalid if there is none.
	Primary netip.Addr
	// LinkLocal is the first IPv6 link-local address that is not one of ours.
	LinkLocal netip.Addr
}

// HardwareAddr returns the MAC as the standard library's type.
func (l Link) HardwareAddr() net.HardwareAddr { return l.MAC[:] }

// Link returns the present state of the interface; the error wraps
// [ErrNoInterface] if there is none of the name.
func (a *Applier) Link(name string) (Link, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l, err := a.s.link(0, name)
	if err != nil {
		return Link{}, fmt.Errorf("kernel: %s: %w", name, err)
	}
	return l, nil
}

// Held returns what has our mark in the kernel now, in the form in which it has
// it, and the devices of ours that are up. After a restart this is what the
// predecessor held.
func (a *Applier) Held() (identity.Identity, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	have, err := a.s.addresses(0)
	if err != nil {
		return identity.Identity{}, fmt.Errorf("kernel: reading addresses: %w", err)
	}
	links, err := a.s.devices()
	if err != nil {
		return identity.Identity{}, fmt.Errorf("kernel: reading links: %w", err)
	}
	names := make(map[int]string, len(links))
	for name, l := range links {
		names[l.index] = name
	}
	var out []identity.Address
	for _, h := range have {
		if name, ok := names[h.index]; ok && h.ours {
			out = append(out, identity.Address{Interface: name, Prefix: h.prefix})
		}
	}
	var up []identity.Device
	for _, l := range links {
		if l.ours() && l.up {
			l.Parent = names[l.parent]
			up = append(up, l.Device)
		}
	}
	routes, rules, err := a.s.routing()
	if err != nil {
		return identity.Identity{}, err
	}
	var held []identity.Route
	for _, r := range routes {
		held = append(held, r.with(names))
	}
	var asked []identity.Rule
	for _, r := range rules {
		if r.ours() {
			asked = append(asked, r.Rule)
		}
	}
	return identity.New(out...).With(up...).WithRoutes(held...).WithRules(asked...), nil
}

// link reads one link by index or, if that is 0, by name, and its addresses.
func (s *socket) link(index int, name string) (l Link, err error) {
	build := func(seq uint32) []byte {
		head := nl.NewIfInfomsg(unix.AF_UNSPEC)
		head.Index = int32(index)
		req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: unix.RTM_GETLINK, Flags: unix.NLM_F_REQUEST, Seq: seq}}
		req.AddData(head)
		if index == 0 {
			req.AddData(nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(name)))
		}
		return req.Serialize()
	}
	err = s.request(unix.RTM_NEWLINK, build, func() {}, func(m message) { l, _ = parseLink(m.data) })
	if err != nil {
		return Link{}, noInterface(err)
	}
	have, err := s.addresses(l.Index)
	if err != nil {
		return Link{}, noInterface(err)
	}
	l.Primary, l.LinkLocal = sources(have)
	return l, nil
}

// links reads all links, without their addresses.
func (s *socket) links() (all map[int]Link, err error) {
	build := func(seq uint32) []byte {
		return dump(unix.RTM_GETLINK, seq, nl.NewIfInfomsg(unix.AF_UNSPEC))
	}
	err = s.request(unix.RTM_NEWLINK, build, func() { all = make(map[int]Link) }, func(m message) {
		if l, ok := parseLink(m.data); ok {
			all[l.Index] = l
		}
	})
	return all, err
}

// indexes looks up the interfaces of the addresses, and under each of them that
// is a device its parent; those that do not exist are left out.
func (s *socket) indexes(id identity.Identity) (index map[string]int, under map[int]int, err error) {
	index = make(map[string]int)
	look := func(name string) error {
		if _, ok := index[name]; ok {
			return nil
		}
		switch n, err := s.index(name); {
		case err == nil:
			index[name] = n
		case !errors.Is(err, ErrNoInterface):
			return fmt.Errorf("%s: %w", name, err)
		}
		return nil
	}
	for i, a := range id.Addresses {
		if i > 0 && id.Addresses[i-1].Interface == a.Interface {
			continue
		}
		if err := look(a.Interface); err != nil {
			return nil, nil, err
		}
	}
	for _, d := range id.Devices {
		if err := errors.Join(look(d.Name), look(d.Parent)); err != nil {
			return nil, nil, err
		}
		if n, ok := index[d.Name]; ok {
			if under == nil {
				under = make(map[int]int)
			}
			under[n] = index[d.Parent]
		}
	}
	return index, under, nil
}

// index looks up one interface. An ioctl, because it costs a fiftieth of the
// netlink message with all its statistics; any socket will do.
func (s *socket) index(name string) (int, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, ErrNoInterface // no interface can have such a name
	}
	if err := unix.IoctlIfreq(s.fd, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, noInterface(os.NewSyscallError("ioctl SIOCGIFINDEX", err))
	}
	return int(ifr.Uint32()), nil
}

func noInterface(err error) error {
	if errors.Is(err, unix.ENODEV) {
		return ErrNoInterface
	}
	return err
}

// parseLink reads an RTM_NEWLINK or RTM_DELLINK of the link itself; the
// bridge's notifications about its ports have the same type.
func parseLink(b []byte) (l Link, ok bool) {
	if len(b) < unix.SizeofIfInfomsg || b[0] != unix.AF_UNSPEC {
		return l, false
	}
	ethernet := binary.NativeEndian.Uint16(b[2:]) == unix.ARPHRD_ETHER
	l.Index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	const passing = unix.IFF_RUNNING | unix.IFF_LOWER_UP
	flags := binary.NativeEndian.Uint32(b[8:])
	l.Up = flags&unix.IFF_UP != 0
	l.Running = l.Up && flags&passing == passing
	for typ, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch typ {
		case unix.IFLA_IFNAME:
			l.Name = string(bytes.TrimRight(v, "\x00"))
		case unix.IFLA_ADDRESS:
			if ethernet && len(v) == 6 {
				l.MAC = [6]byte(v)
			}
		}
	}
	return l, true
}

// sources picks the addresses adverts are sent from.
func sources(have []holding) (primary, linkLocal netip.Addr) {
	var second netip.Addr
	for _, h := range have {
		addr := h.prefix.Addr()
		switch {
		case h.ours:
		case addr.Is6():
			if addr.IsLinkLocalUnicast() && !linkLocal.IsValid() {
				linkLocal = addr
			}
		case h.secondary:
			if !second.IsValid() {
				second = addr
			}
		case !primary.IsValid():
			primary = addr
		}
	}
	if !primary.IsValid() {
		primary = second
	}
	return primary, linkLocal
}
