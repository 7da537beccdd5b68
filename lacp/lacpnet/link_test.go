package lacpnet

import (
	"encoding/binary"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// linkMessage makes what the kernel would send.
func linkMessage(t testing.TB, index int, flags uint32, fill func(*netlink.AttributeEncoder)) []byte {
	t.Helper()
	ae := netlink.NewAttributeEncoder()
	fill(ae)
	attrs, err := ae.Encode()
	if err != nil {
		t.Fatal(err)
	}
	b := make([]byte, ifinfomsgLen)
	binary.NativeEndian.PutUint32(b[4:], uint32(index))
	binary.NativeEndian.PutUint32(b[8:], flags)
	return append(b, attrs...)
}

func nested(ae *netlink.AttributeEncoder, typ uint16, fill func(*netlink.AttributeEncoder)) {
	ae.Nested(typ, func(nae *netlink.AttributeEncoder) error { fill(nae); return nil })
}

func bondMessage(t testing.TB) []byte {
	return linkMessage(t, 7, unix.IFF_UP|unix.IFF_LOWER_UP, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, "bond0")
		ae.Bytes(unix.IFLA_ADDRESS, []byte{2, 0, 0, 0, 0, 1})
		nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
			ae.String(infoKind, "bond")
			nested(ae, infoData, func(ae *netlink.AttributeEncoder) {
				ae.Uint8(unix.IFLA_BOND_MODE, 4)
				ae.Uint32(unix.IFLA_BOND_MIN_LINKS, 2)
				ae.Uint8(unix.IFLA_BOND_AD_LACP_RATE, 1)
				ae.Bytes(unix.IFLA_BOND_AD_ACTOR_SYSTEM, make([]byte, 6))
				nested(ae, unix.IFLA_BOND_AD_INFO, func(ae *netlink.AttributeEncoder) {
					ae.Uint16(unix.IFLA_BOND_AD_INFO_AGGREGATOR, 3)
					ae.Uint16(unix.IFLA_BOND_AD_INFO_PARTNER_KEY, 17)
					ae.Bytes(unix.IFLA_BOND_AD_INFO_PARTNER_MAC, []byte{0, 0x1c, 0x73, 0xaa, 0, 1})
				})
			})
		})
	})
}

func memberMessage(t testing.TB) []byte {
	return linkMessage(t, 8, unix.IFF_UP, func(ae *netlink.AttributeEncoder) {
		ae.String(unix.IFLA_IFNAME, "eth1")
		ae.Uint32(unix.IFLA_MASTER, 7)
		nested(ae, unix.IFLA_LINKINFO, func(ae *netlink.AttributeEncoder) {
			ae.String(infoSlaveKind, "bond")
			nested(ae, infoSlaveData, func(ae *netlink.AttributeEncoder) {
				ae.Uint8(unix.IFLA_BOND_SLAVE_STATE, 1)
				ae.Uint8(unix.IFLA_BOND_SLAVE_MII_STATUS, 2)
				ae.Uint32(unix.IFLA_BOND_SLAVE_LINK_FAILURE_COUNT, 5)
				ae.Uint16(unix.IFLA_BOND_SLAVE_AD_AGGREGATOR_ID, 4)
				ae.Uint8(unix.IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE, 0x47)
				ae.Uint16(unix.IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE, 0x3d) // two octets: so it is
			})
		})
	})
}

func TestParseLink(t *testing.T) {
	bond, err := parseLink(bondMessage(t))
	if err != nil {
		t.Fatal(err)
	}
	want := lacp.Bond{Mode: lacp.ModeLACP, Carrier: true, System: lacp.MAC{2, 0, 0, 0, 0, 1}, Aggregator: 3,
		PartnerMAC: lacp.MAC{0, 0x1c, 0x73, 0xaa, 0, 1}, PartnerKey: 17, MinLinks: 2, Rate: lacp.RateFast}
	if diff := cmp.Diff(want, bond.bond); diff != "" || bond.kind != "bond" || bond.index != 7 || bond.name != "bond0" {
		t.Errorf("%+v\n-want +got:\n%s", bond, diff)
	}
	member, err := parseLink(memberMessage(t))
	if err != nil {
		t.Fatal(err)
	}
	wantMember := lacp.Member{Interface: "eth1", MII: lacp.MIIDown, LinkFailures: 5, Aggregator: 4, HasStates: true,
		Actor: lacp.Info{State: 0x47}, Partner: lacp.Info{State: 0x3d}}
	if diff := cmp.Diff(wantMember, member.member); diff != "" || member.master != 7 {
		t.Errorf("master %d\n-want +got:\n%s", member.master, diff)
	}
}

// Of what may come nothing is believed but what is whole.
func FuzzParseLink(f *testing.F) {
	f.Add(bondMessage(f))
	f.Add(memberMessage(f))
	f.Fuzz(func(t *testing.T, b []byte) { _, _ = parseLink(b) })
}

// A team's options and ports, as its driver sends them.
func TestTeamItems(t *testing.T) {
	a := Aggregate{Team: true, Indexes: []int{11, 12}, Bond: lacp.Bond{Members: []lacp.Member{{Interface: "eth1"}, {Interface: "eth2"}}}}
	message := func(list uint16, all ...func(*netlink.AttributeEncoder)) []byte {
		ae := netlink.NewAttributeEncoder()
		nested(ae, list, func(ae *netlink.AttributeEncoder) {
			for _, one := range all {
				nested(ae, teamItem, one)
			}
		})
		b, err := ae.Encode()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	options := message(teamOptions,
		func(ae *netlink.AttributeEncoder) {
			ae.String(optionName, "mode")
			ae.String(optionData, "activebackup")
		},
		func(ae *netlink.AttributeEncoder) { ae.String(optionName, "activeport"); ae.Uint32(optionData, 12) },
		func(ae *netlink.AttributeEncoder) {
			ae.String(optionName, "enabled")
			ae.Uint32(optionPort, 12)
			ae.Flag(optionData, true)
		},
		func(ae *netlink.AttributeEncoder) { ae.String(optionName, "enabled"); ae.Uint32(optionPort, 11) },
	)
	ports := message(teamPorts,
		func(ae *netlink.AttributeEncoder) {
			ae.Uint32(portIfindex, 12)
			ae.Flag(portLinkUp, true)
			ae.Uint32(portSpeed, 1000)
			ae.Uint8(portDuplex, 1)
		},
		func(ae *netlink.AttributeEncoder) { ae.Uint32(portIfindex, 11); ae.Uint32(portSpeed, 1<<32-1) },
		func(ae *netlink.AttributeEncoder) { ae.Uint32(portIfindex, 99); ae.Flag(portLinkUp, true) }, // gone meanwhile
	)
	if err := items(options, teamOptions, a.teamOption); err != nil {
		t.Fatal(err)
	}
	if err := items(ports, teamPorts, a.teamPort); err != nil {
		t.Fatal(err)
	}
	want := lacp.Bond{Mode: lacp.ModeActiveBackup, ActiveSlave: "eth2", Members: []lacp.Member{
		{Interface: "eth1", MII: lacp.MIIDown},
		{Interface: "eth2", MII: lacp.MIIUp, Active: true, Speed: 1000},
	}}
	if diff := cmp.Diff(want, a.Bond); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}
