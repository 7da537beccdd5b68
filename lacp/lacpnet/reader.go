package lacpnet

import (
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"understudy/lacp"
)

// Reader reads how aggregates stand. It is for one goroutine, and for the network
// namespace that it was opened in.
type Reader struct {
	route *netlink.Conn
	teams *teams // nil until a team is asked for
	proc  string // directory of the bonding driver's files
}

// procBonding is the bonding driver's directory in the namespace of the thread
// that opens it.
const procBonding = "/proc/thread-self/net/bonding"

// OpenReader opens a reader.
func OpenReader() (*Reader, error) {
	conn, err := netlink.Dial(unix.NETLINK_ROUTE, nil)
	if err != nil {
		return nil, fmt.Errorf("lacpnet: rtnetlink: %w", err)
	}
	return &Reader{route: conn, proc: procBonding}, nil
}

// Close closes it.
func (r *Reader) Close() error {
	var err error
	if r.teams != nil {
		err = r.teams.close()
	}
	return errors.Join(err, r.route.Close())
}

// Aggregate is a bond or a team as the kernel shows it.
type Aggregate struct {
	lacp.Bond
	Index   int
	Team    bool
	Indexes []int // of the members, in their order
}

// Read returns the aggregate of that name; ok is false if there is none, be it
// that there is no such interface or that it is something else.
func (r *Reader) Read(name string) (a Aggregate, ok bool, err error) {
	top, ok, err := r.link(name)
	if err != nil || !ok || top.kind != kindBond && top.kind != kindTeam {
		return Aggregate{}, false, err
	}
	a = Aggregate{Bond: top.bond, Index: top.index, Team: top.kind == kindTeam}
	links, err := r.membersOf(top.index)
	if err != nil {
		return Aggregate{}, false, err
	}
	for _, l := range links {
		if l.index == top.active {
			a.ActiveSlave = l.name
		}
		a.Members = append(a.Members, l.member)
		a.Indexes = append(a.Indexes, l.index)
	}
	if a.Team {
		return a, true, r.team(&a)
	}
	return a, true, readProc(r.proc+"/"+name, &a.Bond)
}

// link asks for one interface; ok is false if there is none of that name.
func (r *Reader) link(name string) (link, bool, error) {
	if name == "" || len(name) >= unix.IFNAMSIZ {
		return link{}, false, nil
	}
	ae := netlink.NewAttributeEncoder()
	ae.String(unix.IFLA_IFNAME, name)
	ae.Uint32(unix.IFLA_EXT_MASK, skipStatistics)
	msgs, err := r.ask(0, ae)
	if errors.Is(err, unix.ENODEV) {
		return link{}, false, nil
	}
	if err != nil || len(msgs) == 0 {
		return link{}, false, err
	}
	l, err := parseLink(msgs[0].Data)
	return l, err == nil, err
}

// skipStatistics is RTEXT_FILTER_SKIP_STATS: counters are the most of an answer,
// and the dearest of it.
const skipStatistics = 1 << 3

// membersOf asks for the interfaces with that master, sorted by name.
func (r *Reader) membersOf(master int) ([]link, error) {
	ae := netlink.NewAttributeEncoder()
	ae.Uint32(unix.IFLA_EXT_MASK, skipStatistics)
	ae.Uint32(unix.IFLA_MASTER, uint32(master)) // the kernel filters; one that does not costs time alone
	msgs, err := r.ask(netlink.Dump, ae)
	if err != nil {
		return nil, err
	}
	var links []link
	for _, m := range msgs {
		l, err := parseLink(m.Data)
		if err != nil {
			return nil, err
		}
		if l.master == master {
			links = append(links, l)
		}
	}
	slices.SortFunc(links, func(a, b link) int { return strings.Compare(a.name, b.name) })
	return links, nil
}

func (r *Reader) ask(flags netlink.HeaderFlags, ae *netlink.AttributeEncoder) ([]netlink.Message, error) {
	attrs, err := ae.Encode()
	if err != nil {
		return nil, fmt.Errorf("lacpnet: rtnetlink: %w", err)
	}
	body := make([]byte, ifinfomsgLen, ifinfomsgLen+len(attrs))
	msgs, err := r.route.Execute(netlink.Message{
		Header: netlink.Header{Type: unix.RTM_GETLINK, Flags: netlink.Request | flags},
		Data:   append(body, attrs...),
	})
	if err != nil {
		return nil, fmt.Errorf("lacpnet: rtnetlink: %w", err)
	}
	for _, m := range msgs {
		// Links came or went while the kernel was at it: somebody will look again.
		if m.Header.Flags&netlink.DumpInterrupted != 0 {
			return nil, errInterrupted
		}
	}
	return msgs, nil
}

// errInterrupted: what was read is half of one picture and half of another.
var errInterrupted = errors.New("lacpnet: links changed while they were read")

// indexOf is the interface that a notice of rtnetlink is about, and what it is a
// member of; ok is false for messages of other kinds.
func indexOf(m netlink.Message) (index, master int, ok bool) {
	if m.Header.Type != unix.RTM_NEWLINK && m.Header.Type != unix.RTM_DELLINK || len(m.Data) < ifinfomsgLen {
		return 0, 0, false
	}
	index = int(int32(binary.NativeEndian.Uint32(m.Data[4:])))
	ad, err := netlink.NewAttributeDecoder(m.Data[ifinfomsgLen:])
	if err != nil {
		return index, 0, true
	}
	for ad.Next() {
		if ad.Type() == unix.IFLA_MASTER {
			master = int(ad.Uint32())
		}
	}
	return index, master, true
}
