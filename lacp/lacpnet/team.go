package lacpnet

import (
	"encoding/binary"
	"errors"
	"fmt"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// Generic netlink, and its family "team" (linux/if_team.h).
const (
	genlHeaderLen = 4

	teamGetOptions = 2
	teamGetPorts   = 3

	teamIfindex = 1
	teamOptions = 2
	teamPorts   = 3

	teamItem = 1

	optionName = 1
	optionData = 4
	optionPort = 6

	portIfindex = 1
	portLinkUp  = 3
	portSpeed   = 4
	portDuplex  = 5
)

// teams asks the team driver.
type teams struct {
	conn   *netlink.Conn
	family uint16
}

func openTeams() (*teams, error) {
	conn, err := netlink.Dial(unix.NETLINK_GENERIC, nil)
	if err != nil {
		return nil, err
	}
	t := &teams{conn: conn}
	if t.family, err = familyID(conn, "team"); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return t, nil
}

func (t *teams) close() error { return t.conn.Close() }

// familyID asks for the number of a family of generic netlink.
func familyID(conn *netlink.Conn, name string) (uint16, error) {
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.CTRL_ATTR_FAMILY_NAME, name)
	msgs, err := generic(conn, unix.GENL_ID_CTRL, unix.CTRL_CMD_GETFAMILY, ae)
	if err != nil {
		return 0, err
	}
	var id uint16
	for _, b := range msgs {
		ad, err := netlink.NewAttributeDecoder(b)
		if err != nil {
			return 0, err
		}
		for ad.Next() {
			if ad.Type() == unix.CTRL_ATTR_FAMILY_ID {
				id = ad.Uint16()
			}
		}
		if err := ad.Err(); err != nil {
			return 0, err
		}
	}
	if id == 0 {
		return 0, fmt.Errorf("no family %q", name)
	}
	return id, nil
}

// generic sends a request, and returns the answers' attributes.
func generic(conn *netlink.Conn, family uint16, command uint8, ae *netlink.AttributeEncoder) ([][]byte, error) {
	attrs, err := ae.Encode()
	if err != nil {
		return nil, err
	}
	msgs, err := conn.Execute(netlink.Message{
		Header: netlink.Header{Type: netlink.HeaderType(family), Flags: netlink.Request},
		Data:   append([]byte{command, 1, 0, 0}, attrs...),
	})
	if err != nil {
		return nil, err
	}
	var out [][]byte
	for _, m := range msgs {
		if len(m.Data) >= genlHeaderLen {
			out = append(out, m.Data[genlHeaderLen:])
		}
	}
	return out, nil
}

// ask sends a command for one team.
func (t *teams) ask(command uint8, team int) ([][]byte, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Uint32(teamIfindex, uint32(team))
	return generic(t.conn, t.family, command, ae)
}

// team completes what rtnetlink says of a team. LACP is not judged here: whether
// the team has it only the wire shows, see [Watcher].
func (r *Reader) team(a *Aggregate) error {
	if r.teams == nil {
		t, err := openTeams()
		if err != nil {
			return fmt.Errorf("lacpnet: generic netlink: %w", err)
		}
		r.teams = t
	}
	for _, q := range []struct {
		command uint8
		list    uint16
		read    func(*netlink.AttributeDecoder) error
	}{
		{teamGetPorts, teamPorts, a.teamPort},
		{teamGetOptions, teamOptions, a.teamOption},
	} {
		msgs, err := r.teams.ask(q.command, a.Index)
		if err != nil {
			return fmt.Errorf("lacpnet: team: %w", err)
		}
		for _, b := range msgs {
			if err := items(b, q.list, q.read); err != nil {
				return fmt.Errorf("lacpnet: team: %w", err)
			}
		}
	}
	return nil
}

// items calls read for each item of a list in a message.
func items(b []byte, list uint16, read func(*netlink.AttributeDecoder) error) error {
	ad, err := netlink.NewAttributeDecoder(b)
	if err != nil {
		return err
	}
	for ad.Next() {
		if ad.Type() != list {
			continue
		}
		ad.Nested(func(all *netlink.AttributeDecoder) error {
			for all.Next() {
				if all.Type() == teamItem {
					all.Nested(read)
				}
			}
			return nil
		})
	}
	return ad.Err()
}

func (a *Aggregate) memberAt(index uint32) *lacp.Member {
	for i, have := range a.Indexes {
		if have == int(index) {
			return &a.Members[i]
		}
	}
	return nil
}

// teamPort reads one port. Its link is that of teamd's link watcher if it has one:
// it stands where a bond's monitor does.
func (a *Aggregate) teamPort(ad *netlink.AttributeDecoder) error {
	var index, speed uint32
	up, half := false, false
	for ad.Next() {
		switch ad.Type() {
		case portIfindex:
			index = ad.Uint32()
		case portLinkUp:
			up = true
		case portSpeed:
			speed = ad.Uint32()
		case portDuplex:
			half = ad.Uint8() == 0
		}
	}
	m := a.memberAt(index)
	if m == nil {
		return ad.Err()
	}
	m.MII = lacp.MIIDown
	if up {
		m.MII = lacp.MIIUp
	}
	if speed != 0 && speed != 1<<32-1 { // not known
		m.Speed, m.HalfDuplex = speed, half
	}
	return ad.Err()
}

// teamOption reads one option: the mode, which port is active, which are enabled.
func (a *Aggregate) teamOption(ad *netlink.AttributeDecoder) error {
	var name string
	var data []byte
	var port uint32
	flag := false
	for ad.Next() {
		switch ad.Type() {
		case optionName:
			name = ad.String()
		case optionData:
			data, flag = ad.Bytes(), true // a flag that is set has data without content
		case optionPort:
			port = ad.Uint32()
		}
	}
	switch name {
	case "mode":
		a.Mode = teamMode(data)
	case "activeport":
		if len(data) >= 4 {
			if m := a.memberAt(binary.NativeEndian.Uint32(data)); m != nil {
				a.ActiveSlave = m.Interface
			}
		}
	case "enabled":
		if m := a.memberAt(port); m != nil {
			m.Active = flag
		}
	}
	return ad.Err()
}

func teamMode(data []byte) lacp.Mode {
	for len(data) > 0 && data[len(data)-1] == 0 {
		data = data[:len(data)-1]
	}
	switch string(data) {
	case "activebackup":
		return lacp.ModeActiveBackup
	case "loadbalance", "roundrobin", "broadcast", "random":
		return lacp.ModeBalance
	}
	return lacp.ModeUnknown
}
