package identity

import (
	"bytes"
	"cmp"
	"fmt"
	"hash/fnv"
	"strconv"
	"strings"

	"understudy/vrrp"
)

// Device is a link of ours that carries the addresses of one virtual router
// under a MAC that moves with them. It sits on an interface, its parent. Names
// of devices are our mark: see [NewDevice].
type Device struct {
	Name   string
	Parent string
	MAC    [6]byte // in the order of transmission
}

// NewDevice returns the device of a virtual router. family is 4 or 6.
//
// The name is "us4-51-lan0", made of family, VRID and parent. What does not fit
// into the kernel's 15 characters is told by four letters that stand for the
// parent's whole name, before its end: "us4-51-k3xqth0".
func NewDevice(parent string, vrid, family uint8) Device {
	name := fmt.Sprintf("%s%d-%d-", deviceMark, family, vrid)
	if len(name)+len(parent) <= longestName {
		name += parent
	} else {
		name += digest(parent) + parent[len(parent)-(longestName-len(name)-digestLen):]
	}
	return Device{Name: name, Parent: parent, MAC: vrrp.VirtualMAC(family, vrid)}
}

const (
	deviceMark  = "us"
	longestName = 15 // IFNAMSIZ less the final zero byte
	digestLen   = 4
)

// digest is 20 bits of the name's hash, as letters and digits.
func digest(name string) string {
	const alphabet = "abcdefghijkmnpqrstuvwxyz23456789"
	h := fnv.New32a()
	h.Write([]byte(name))
	sum := h.Sum32()
	var out [digestLen]byte
	for i := range out {
		out[i] = alphabet[sum%32]
		sum /= 32
	}
	return string(out[:])
}

// Ours reports whether a link of this name and MAC is one of our devices,
// whatever its parent: the name says which MAC it must have.
func (d Device) Ours() bool {
	family, vrid, ok := parseName(d.Name)
	return ok && d.MAC == vrrp.VirtualMAC(family, vrid)
}

// Family is 4 or 6; 0 if the name is not that of a device.
func (d Device) Family() uint8 {
	family, _, _ := parseName(d.Name)
	return family
}

func parseName(name string) (family, vrid uint8, ok bool) {
	rest, ok := strings.CutPrefix(name, deviceMark)
	if !ok {
		return 0, 0, false
	}
	fam, rest, _ := strings.Cut(rest, "-")
	number, parent, _ := strings.Cut(rest, "-")
	n, err := strconv.ParseUint(number, 10, 8)
	switch {
	case err != nil || n == 0 || parent == "" || strconv.FormatUint(n, 10) != number:
		return 0, 0, false
	case fam == "4":
		return 4, uint8(n), true
	case fam == "6":
		return 6, uint8(n), true
	}
	return 0, 0, false
}

// String returns the device for a log line, as
// "us4-51-lan0 on lan0 mac 00:00:5e:00:01:33".
func (d Device) String() string {
	m := d.MAC
	return fmt.Sprintf("%s on %s mac %02x:%02x:%02x:%02x:%02x:%02x", d.Name, d.Parent, m[0], m[1], m[2], m[3], m[4], m[5])
}

// Compare orders by name.
func (d Device) Compare(o Device) int {
	return cmp.Or(strings.Compare(d.Name, o.Name), strings.Compare(d.Parent, o.Parent), bytes.Compare(d.MAC[:], o.MAC[:]))
}
