package lacpnet

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"strconv"
	"strings"

	"understudy/lacp"
)

// readProc adds what only the driver's text file knows: identities of both ends,
// and the speed of links. Without the file, or without the right to see its
// details, that is just not known.
func readProc(file string, b *lacp.Bond) error {
	f, err := os.Open(file)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("lacpnet: %w", err)
	}
	defer f.Close()
	if err := parseProc(f, b); err != nil {
		return fmt.Errorf("lacpnet: %s: %w", file, err)
	}
	return nil
}

// parseProc reads the file into the members that b has already. Lines that it does
// not know it passes over.
func parseProc(r io.Reader, b *lacp.Bond) error {
	var m *lacp.Member
	var info *lacp.Info // whose details follow
	var seen [2]bool    // details of the actor, of the partner
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		key, value, ok := strings.Cut(strings.TrimSpace(lines.Text()), ":")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		if key == "Slave Interface" {
			m, info, seen = memberOf(b, value), nil, [2]bool{}
			continue
		}
		if m == nil {
			continue
		}
		switch key {
		case "Speed": // "10000 Mbps", or "Unknown"
			number, _, _ := strings.Cut(value, " ")
			m.Speed = uint32(number64(number, 32))
		case "Duplex":
			m.HalfDuplex = value == "half"
		case "details actor lacp pdu":
			info, seen[0] = &m.Actor, true
		case "details partner lacp pdu":
			info, seen[1] = &m.Partner, true
			m.HasIdentities = seen[0]
		default:
			if info != nil {
				detail(info, key, value)
			}
		}
	}
	return lines.Err()
}

func memberOf(b *lacp.Bond, name string) *lacp.Member {
	for i := range b.Members {
		if b.Members[i].Interface == name {
			return &b.Members[i]
		}
	}
	return nil // it came after the rest was read
}

// detail reads a line of "details … lacp pdu". The state is not among what is
// taken: netlink has told it already, and it may have changed since.
func detail(info *lacp.Info, key, value string) {
	switch key {
	case "system priority":
		info.SystemPriority = uint16(number64(value, 16))
	case "system mac address":
		if mac, err := net.ParseMAC(value); err == nil && len(mac) == len(info.System) {
			info.System = lacp.MAC(mac)
		}
	case "port key", "oper key":
		info.Key = uint16(number64(value, 16))
	case "port priority":
		info.PortPriority = uint16(number64(value, 16))
	case "port number":
		info.Port = uint16(number64(value, 16))
	}
}

// number64 is 0 where there is no number.
func number64(s string, bits int) uint64 {
	n, err := strconv.ParseUint(s, 10, bits)
	if err != nil {
		return 0
	}
	return n
}
