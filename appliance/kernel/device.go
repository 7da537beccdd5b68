package kernel

import (
	"encoding/binary"
	"strings"

	"github.com/vishvananda/netlink/nl"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// deviceGroup is the link group of our devices: "us". It lets the kernel remove
// them all at once, which takes no longer than removing one. With the name it is
// our mark: see [device.ours].
const deviceGroup = 'u'<<8 | 's'

// device is a link as far as it matters whether it is one of our devices.
type device struct {
	identity.Device // but for the parent's name
	index, parent   int
	kind            string
	bridge          bool // macvlan in bridge mode
	up              bool
	group           uint32
}

// ours tells whether the link is a device that we made. Somebody may have changed
// its MAC or its group, not both.
func (d device) ours() bool {
	return d.kind == "macvlan" && d.Family() != 0 && (d.Ours() || d.group == deviceGroup)
}

// is tells whether the link is as want, on the parent with this index.
func (d device) is(want identity.Device, parent int) bool {
	return d.kind == "macvlan" && d.bridge && d.Name == want.Name && d.MAC == want.MAC && d.parent == parent
}

// parseDevice reads an RTM_NEWLINK.
func parseDevice(b []byte) (d device, ok bool) {
	l, ok := parseLink(b)
	if !ok {
		return d, false
	}
	d = device{Device: identity.Device{Name: l.Name, MAC: l.MAC}, index: l.Index, up: l.Up}
	for typ, v := range attributes(b[unix.SizeofIfInfomsg:]) {
		switch {
		case typ == unix.IFLA_LINK && len(v) == 4:
			d.parent = int(binary.NativeEndian.Uint32(v))
		case typ == unix.IFLA_GROUP && len(v) == 4:
			d.group = binary.NativeEndian.Uint32(v)
		case typ == unix.IFLA_LINKINFO:
			d.parseInfo(v)
		}
	}
	return d, true
}

func (d *device) parseInfo(b []byte) {
	for typ, v := range attributes(b) {
		switch typ {
		case nl.IFLA_INFO_KIND:
			d.kind = strings.TrimRight(string(v), "\x00")
		case nl.IFLA_INFO_DATA:
			for typ, v := range attributes(v) {
				if typ == nl.IFLA_MACVLAN_MODE && len(v) == 4 {
					d.bridge = binary.NativeEndian.Uint32(v) == nl.MACVLAN_MODE_BRIDGE
				}
			}
		}
	}
}

// devices reads all links, by name.
func (s *socket) devices() (all map[string]device, err error) {
	build := func(seq uint32) []byte {
		return dump(unix.RTM_GETLINK, seq, nl.NewIfInfomsg(unix.AF_UNSPEC))
	}
	err = s.request(unix.RTM_NEWLINK, build, func() { all = make(map[string]device) }, func(m message) {
		if d, ok := parseDevice(m.data); ok {
			all[d.Name] = d
		}
	})
	return all, err
}

// linkChange is something to be done to a link.
type linkChange struct {
	verb   linkVerb
	index  int             // of the link, but for makeDevice and removeGroup
	device identity.Device // for makeDevice
	parent int             // for makeDevice: index
}

type linkVerb uint8

const (
	makeDevice linkVerb = iota
	raise
	lower
	removeLink
	removeGroup // every link of deviceGroup, in one go
)

// message returns the netlink message of the change.
func (c linkChange) message(flags int, seq uint32) []byte {
	typ := unix.RTM_NEWLINK
	head := nl.NewIfInfomsg(unix.AF_UNSPEC)
	head.Index = int32(c.index)
	var data []nl.NetlinkRequestData
	switch c.verb {
	case makeDevice:
		flags |= unix.NLM_F_CREATE | unix.NLM_F_EXCL
		// Bridge mode: in the others a frame whose source is the virtual MAC, such
		// as a rival's advert, never reaches the parent.
		info := nl.NewRtAttr(unix.IFLA_LINKINFO, nil)
		info.AddRtAttr(nl.IFLA_INFO_KIND, nl.NonZeroTerminated("macvlan"))
		info.AddRtAttr(nl.IFLA_INFO_DATA, nil).AddRtAttr(nl.IFLA_MACVLAN_MODE, nl.Uint32Attr(nl.MACVLAN_MODE_BRIDGE))
		data = append(data,
			nl.NewRtAttr(unix.IFLA_IFNAME, nl.ZeroTerminated(c.device.Name)),
			nl.NewRtAttr(unix.IFLA_LINK, nl.Uint32Attr(uint32(c.parent))),
			nl.NewRtAttr(unix.IFLA_ADDRESS, c.device.MAC[:]),
			nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(deviceGroup)),
			info)
	case raise:
		head.Flags, head.Change = unix.IFF_UP, unix.IFF_UP
	case lower:
		head.Change = unix.IFF_UP
	case removeLink:
		typ = unix.RTM_DELLINK
	case removeGroup:
		typ = unix.RTM_DELLINK
		data = append(data, nl.NewRtAttr(unix.IFLA_GROUP, nl.Uint32Attr(deviceGroup)))
	}
	req := nl.NetlinkRequest{NlMsghdr: unix.NlMsghdr{Type: uint16(typ), Flags: uint16(flags | unix.NLM_F_REQUEST), Seq: seq}}
	req.AddData(head)
	for _, d := range data {
		req.AddData(d)
	}
	return req.Serialize()
}

// isUp asks for one link. An ioctl, for the same reason as [socket.index].
func (s *socket) isUp(name string) (bool, error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return false, ErrNoInterface
	}
	if err := unix.IoctlIfreq(s.fd, unix.SIOCGIFFLAGS, ifr); err != nil {
		return false, noInterface(err)
	}
	return ifr.Uint16()&unix.IFF_UP != 0, nil
}
