package nft

import (
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"
)

// OpenGate lets in what is addressed to addrs or enters by devices, all in one
// transaction: those of the groups that become Active here. Opening what is open
// is no error.
func (a *Applier) OpenGate(addrs []netip.Addr, devices ...string) error {
	return a.gate("open", gateSets(addrs, devices), func(t *transaction, s set) error {
		// Deleting what is not there would fail, and looking first would take a
		// second request at the worst moment: so each is added before it is deleted.
		if err := t.addElements(s.Set, s.elements); err != nil {
			return err
		}
		return t.deleteElements(s.Set, s.elements)
	})
}

// CloseGate drops what is addressed to addrs or enters by devices, all in one
// transaction. Closing what is closed is no error.
func (a *Applier) CloseGate(addrs []netip.Addr, devices ...string) error {
	return a.gate("close", gateSets(addrs, devices), func(t *transaction, s set) error {
		return t.addElements(s.Set, s.elements)
	})
}

// gateSets are the elements that shut the gates, by set.
func gateSets(addrs []netip.Addr, devices []string) []set {
	var out []set
	for _, k := range kinds() {
		out = append(out, set{k.set(k.closed), k.elements(addrs)})
	}
	return append(out, set{deviceSet(setClosedDevices), closedDevices(devices)})
}

func (a *Applier) gate(verb string, sets []set, queue func(*transaction, set) error) error {
	a.lockAtOnce()
	defer a.mu.Unlock()
	c, err := a.link.conn()
	if err != nil {
		return fmt.Errorf("nft: %s gate: %w", verb, err)
	}
	t := &transaction{c: c}
	for _, s := range sets {
		if err := queue(t, s); err != nil {
			return fmt.Errorf("nft: %s gate: %w", verb, err)
		}
	}
	if err := a.link.commit(t); err != nil {
		return fmt.Errorf("nft: %s gate: %w", verb, err)
	}
	return nil
}

// Gates returns the groups in the kernel and the state of their gates, sorted by
// name. A process that was restarted learns from it what its predecessor had open.
func (a *Applier) Gates() ([]GateState, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s, err := a.read()
	if err != nil {
		return nil, fmt.Errorf("nft: %w", err)
	}
	open := s.open()
	out := make([]GateState, 0, len(open))
	for _, g := range slices.Sorted(maps.Keys(open)) {
		out = append(out, GateState{g, open[g]})
	}
	return out, nil
}

// GateCloseMessage returns one complete nfnetlink batch (linux/netfilter/nfnetlink.h)
// that shuts the gates of addrs and devices: to be sent as it is, in one sendto, on any
// NETLINK_NETFILTER socket of the network namespace, by whoever has to close them
// when nobody else can. Shutting what is shut is no error. Without either it
// is nil.
//
// Only the middle messages ask to be acknowledged, one each; they are numbered
// from 1. The batch fails as a whole, with ENOENT, if the table is not there.
func GateCloseMessage(addrs []netip.Addr, devices ...string) []byte {
	if len(addrs)+len(devices) == 0 {
		return nil
	}
	out := gateMessage(nil, unix.NFNL_MSG_BATCH_BEGIN, 0, 0, nil)
	var seq uint32
	for _, s := range gateSets(addrs, devices) {
		for es := s.elements; len(es) > 0; seq++ {
			n := min(len(es), chunk/es[0].size())
			out = gateMessage(out, unix.NFNL_SUBSYS_NFTABLES<<8|unix.NFT_MSG_NEWSETELEM, netlink.Acknowledge|netlink.Create, seq+1, closeAttributes(s.Name, es[:n]))
			es = es[n:]
		}
	}
	return gateMessage(out, unix.NFNL_MSG_BATCH_END, 0, seq+1, nil)
}

// gateMessage appends a netlink message with its nfnetlink header. The netlink
// header is in host byte order, all below it in network byte order.
func gateMessage(b []byte, kind uint16, flags netlink.HeaderFlags, seq uint32, attributes []byte) []byte {
	n := binary.NativeEndian
	b = n.AppendUint32(b, uint32(unix.NLMSG_HDRLEN+4+len(attributes)))
	b = n.AppendUint16(b, kind)
	b = n.AppendUint16(b, uint16(netlink.Request|flags))
	b = n.AppendUint32(b, seq)
	b = n.AppendUint32(b, 0) // port: the kernel's
	family, resource := byte(nftables.TableFamilyINet), uint16(0)
	if kind < unix.NLMSG_MIN_TYPE+2 { // batch marks name the subsystem instead
		family, resource = unix.AF_UNSPEC, unix.NFNL_SUBSYS_NFTABLES
	}
	b = append(b, family, unix.NFNETLINK_V0)
	b = binary.BigEndian.AppendUint16(b, resource)
	return append(b, attributes...)
}

func closeAttributes(set string, es []element) []byte {
	a := netlink.NewAttributeEncoder()
	a.ByteOrder = binary.BigEndian
	a.String(unix.NFTA_SET_ELEM_LIST_TABLE, Table)
	a.String(unix.NFTA_SET_ELEM_LIST_SET, set)
	a.Nested(unix.NFTA_SET_ELEM_LIST_ELEMENTS, func(list *netlink.AttributeEncoder) error {
		for _, e := range es {
			list.Nested(unix.NFTA_LIST_ELEM, func(elem *netlink.AttributeEncoder) error {
				elem.Nested(unix.NFTA_SET_ELEM_KEY, func(key *netlink.AttributeEncoder) error {
					key.Bytes(unix.NFTA_DATA_VALUE, []byte(e.key))
					return nil
				})
				return nil
			})
		}
		return nil
	})
	b, err := a.Encode()
	if err != nil {
		panic("nft: encode fixed attributes: " + err.Error()) // only a value over 64 KiB can fail, and chunk bounds it
	}
	return b
}
