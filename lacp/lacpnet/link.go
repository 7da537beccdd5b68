package lacpnet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// Attributes that package unix does not have.
const (
	infoKind      = 1 // IFLA_INFO_KIND and so on
	infoData      = 2
	infoSlaveKind = 4
	infoSlaveData = 5

	ifinfomsgLen = 16
)

// link is what a message of rtnetlink says of an interface, as far as it matters
// to aggregates.
type link struct {
	name    string
	index   int
	mac     lacp.MAC
	carrier bool
	master  int // interface index; 0: none
	kind    string
	of      string // kind of what it is a member of

	bond   lacp.Bond // kind "bond": all but its members
	active int       // active-backup: interface index of the active member; 0: none
	member lacp.Member
}

// parseLink reads an RTM_NEWLINK message from behind its netlink header.
func parseLink(b []byte) (l link, err error) {
	if len(b) < ifinfomsgLen {
		return l, errors.New("lacpnet: a link message is too short")
	}
	l.index = int(int32(binary.NativeEndian.Uint32(b[4:])))
	// Up by administration, and with a carrier: the kernel shows the flag then only.
	l.carrier = binary.NativeEndian.Uint32(b[8:])&unix.IFF_LOWER_UP != 0
	ad, err := netlink.NewAttributeDecoder(b[ifinfomsgLen:])
	if err != nil {
		return l, fmt.Errorf("lacpnet: link: %w", err)
	}
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_IFNAME:
			l.name = ad.String()
		case unix.IFLA_ADDRESS:
			copy(l.mac[:], ad.Bytes())
		case unix.IFLA_MASTER:
			l.master = int(ad.Uint32())
		case unix.IFLA_LINKINFO:
			ad.Nested(l.info)
		}
	}
	if err := ad.Err(); err != nil {
		return l, fmt.Errorf("lacpnet: link %s: %w", l.name, err)
	}
	l.member.Interface, l.member.Carrier = l.name, l.carrier
	l.bond.Carrier = l.carrier
	if l.bond.System == (lacp.MAC{}) {
		l.bond.System = l.mac
	}
	return l, nil
}

// info reads IFLA_LINKINFO: the kinds come before their data.
func (l *link) info(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case infoKind:
			l.kind = ad.String()
		case infoData:
			if l.kind == kindBond {
				ad.Nested(l.bondData)
			}
		case infoSlaveKind:
			l.of = ad.String()
		case infoSlaveData:
			if l.of == kindBond {
				ad.Nested(l.memberData)
			}
		}
	}
	return nil
}

// The kinds of aggregates.
const (
	kindBond = "bond"
	kindTeam = "team"
)

func (l *link) bondData(ad *netlink.AttributeDecoder) error {
	b := &l.bond
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_BOND_MODE:
			b.Mode = bondMode(ad.Uint8())
		case unix.IFLA_BOND_ACTIVE_SLAVE:
			l.active = int(ad.Uint32())
		case unix.IFLA_BOND_MIN_LINKS:
			b.MinLinks = int(ad.Uint32())
		case unix.IFLA_BOND_AD_LACP_RATE:
			b.Rate = lacp.RateSlow
			if ad.Uint8() != 0 {
				b.Rate = lacp.RateFast
			}
		case unix.IFLA_BOND_AD_ACTOR_SYSTEM: // zero: as the bond's own address
			copy(b.System[:], ad.Bytes())
		case unix.IFLA_BOND_AD_INFO: // not there without an active aggregator
			ad.Nested(l.aggregator)
		}
	}
	return nil
}

// bondMode is what the driver's number of a mode means to us.
func bondMode(n uint8) lacp.Mode {
	switch n {
	case 1:
		return lacp.ModeActiveBackup
	case 4:
		return lacp.ModeLACP
	case 0, 2, 3, 5, 6: // balance-rr, balance-xor, broadcast, balance-tlb, balance-alb
		return lacp.ModeBalance
	}
	return lacp.ModeUnknown
}

func (l *link) aggregator(ad *netlink.AttributeDecoder) error {
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_BOND_AD_INFO_AGGREGATOR:
			l.bond.Aggregator = ad.Uint16()
		case unix.IFLA_BOND_AD_INFO_PARTNER_KEY:
			l.bond.PartnerKey = ad.Uint16()
		case unix.IFLA_BOND_AD_INFO_PARTNER_MAC:
			copy(l.bond.PartnerMAC[:], ad.Bytes())
		}
	}
	return nil
}

func (l *link) memberData(ad *netlink.AttributeDecoder) error {
	m := &l.member
	for ad.Next() {
		switch ad.Type() {
		case unix.IFLA_BOND_SLAVE_STATE:
			m.Active = ad.Uint8() == 0
		case unix.IFLA_BOND_SLAVE_MII_STATUS:
			m.MII = lacp.MIIUp + lacp.MII(ad.Uint8())
		case unix.IFLA_BOND_SLAVE_LINK_FAILURE_COUNT:
			m.LinkFailures = ad.Uint32()
		case unix.IFLA_BOND_SLAVE_AD_AGGREGATOR_ID:
			m.Aggregator = ad.Uint16()
		case unix.IFLA_BOND_SLAVE_AD_ACTOR_OPER_PORT_STATE:
			m.Actor.State, m.HasStates = lacp.State(ad.Uint8()), true
		case unix.IFLA_BOND_SLAVE_AD_PARTNER_OPER_PORT_STATE: // two octets, though the other one has one
			m.Partner.State = lacp.State(ad.Uint16())
		}
	}
	return nil
}
