package election

import (
	"errors"
	"net/netip"
	"testing"

	"github.com/google/nftables"
	nlmsg "github.com/mdlayher/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// A gate as the daemon has it: a set of addresses that are shut.
func gate() (*nftables.Table, *nftables.Set) {
	t := &nftables.Table{Name: "gate", Family: nftables.TableFamilyINet}
	return t, &nftables.Set{Table: t, Name: "closed", KeyType: nftables.TypeIPAddr}
}

func makeGate() error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	t, s := gate()
	c.AddTable(t)
	if err := c.AddSet(s, nil); err != nil {
		return err
	}
	return c.Flush()
}

func openGate(a netip.Addr) error {
	c, err := nftables.New()
	if err != nil {
		return err
	}
	_, s := gate()
	c.FlushSet(s)
	return c.Flush()
}

// closeGateBatch is the prepared transaction that shuts a.
func closeGateBatch(a netip.Addr) NetlinkBatch {
	b := NetlinkBatch{Family: unix.NETLINK_NETFILTER}
	c, _ := nftables.New(nftables.WithTestDial(func(req []nlmsg.Message) ([]nlmsg.Message, error) {
		for _, m := range req {
			m.Header.Length = uint32(unix.NLMSG_HDRLEN + len(m.Data))
			raw, err := m.MarshalBinary()
			if err != nil {
				return nil, err
			}
			b.Bytes = append(b.Bytes, raw...)
		}
		return nil, nil
	}))
	_, s := gate()
	_ = c.SetAddElements(s, []nftables.SetElement{{Key: a.AsSlice()}})
	_ = c.Flush()
	return b
}

// gateClosed reads the kernel back.
func gateClosed(ns netns.NsHandle, a netip.Addr) (closed bool) {
	within(ns, func() {
		c, err := nftables.New()
		if err != nil {
			return
		}
		_, s := gate()
		elements, err := c.GetSetElements(s)
		for errors.Is(err, unix.EINTR) { // somebody changed something meanwhile
			elements, err = c.GetSetElements(s)
		}
		for _, e := range elements {
			if k, _ := netip.AddrFromSlice(e.Key); k == a {
				closed = true
			}
		}
	})
	return closed
}

func TestExecutor(t *testing.T) {
	c := newCable(t)
	var e *Executor
	var index int
	vip := netip.MustParseAddr("10.0.0.1")
	within(c[0], func() {
		var err error
		if e, err = NewExecutor(); err != nil {
			t.Error(err)
			return
		}
		if err := makeGate(); err != nil {
			t.Error(err)
		}
		index = interfaceIndex("lan0")
	})
	if t.Failed() {
		t.FailNow()
	}
	t.Cleanup(e.Close)
	batch := func(kind uint16, n int) (b NetlinkBatch) {
		b.Family = unix.NETLINK_ROUTE
		for i := range n {
			a := netip.AddrFrom4([4]byte{10, 1, byte(i >> 8), byte(i)})
			b.Bytes = append(b.Bytes, addressMessage(kind, index, netip.PrefixFrom(a, 32))...)
		}
		return b
	}
	check := func(what string, b NetlinkBatch, want Result) {
		t.Helper()
		got := e.Run([]NetlinkBatch{b})
		if (got.Err == nil) != (want.Failed == 0) {
			t.Errorf("%s: %v", what, got.Err)
		}
		got.Err = nil
		if got != want {
			t.Errorf("%s: %+v, want %+v", what, got, want)
		}
	}
	check("add", batch(unix.RTM_NEWADDR, 1000), Result{Messages: 1000})
	if n := c.addresses(0); n != 1000 {
		t.Errorf("%d addresses, want 1000", n)
	}
	check("remove", batch(unix.RTM_DELADDR, 1000), Result{Messages: 1000})
	check("remove what is not there", batch(unix.RTM_DELADDR, 1000), Result{Messages: 1000, Absent: 1000})
	if n := c.addresses(0); n != 0 {
		t.Errorf("%d addresses, want none", n)
	}
	bad := batch(unix.RTM_NEWADDR, 1)
	bad.Bytes[16+1] = 77 // a prefix longer than an address
	check("nonsense", bad, Result{Messages: 1, Failed: 1})
	check("cut short", NetlinkBatch{Family: unix.NETLINK_ROUTE, Bytes: bad.Bytes[:20]}, Result{Failed: 1})

	shut := closeGateBatch(vip)
	check("close", shut, Result{Messages: 3})
	if !gateClosed(c[0], vip) {
		t.Error("the gate is open")
	}
	check("close again", shut, Result{Messages: 3})
	within(c[0], func() {
		nft, _ := nftables.New()
		table, _ := gate()
		nft.DelTable(table)
		_ = nft.Flush()
	})
	check("no gate", shut, Result{Messages: 3, Failed: 1})
}
