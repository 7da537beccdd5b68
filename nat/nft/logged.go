package nft

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// LoggedTable is the name of the table that has connections logged byte for byte, in the netdev
// family: on each device towards servers
//
//	ingress   from a protected server: a copy to the side device
//	egress    to a protected server: a copy to the side device
//
// and, so that copies end there, on the side device's other end a drop. Both ways are taken where
// the server is: what it hears and says is what another one has to hear and to say, in its own
// addresses and sequence numbers.
const LoggedTable = "understudy_logged"

const (
	prefixFrom    = "from_" // and the device
	prefixTowards = "towards_"
	chainEnd      = "end"
)

// Side is the device that copies leave by: its number, and the name of its other end.
type Side struct {
	Index int
	Peer  string
}

// Logged brings the table into the kernel. Its methods may be called from several goroutines; they
// run one after the other.
type Logged struct {
	mu   sync.Mutex
	link link
}

// OpenLogged makes a Logged. It changes nothing in the kernel.
func OpenLogged(c Config) (*Logged, error) {
	m := &Logged{link: link{netns: c.NetNS}}
	if _, err := m.link.conn(); err != nil {
		return nil, fmt.Errorf("nft: log: %w", err)
	}
	return m, nil
}

// Close gives the socket back. What was applied stays in the kernel.
func (m *Logged) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.link.close()
}

func loggedTable() *nftables.Table {
	return &nftables.Table{Name: LoggedTable, Family: nftables.TableFamilyNetdev}
}

// Apply has packets from and to these servers be copied to the side device from now on, on these
// devices, which have to be there, and no others. Without servers there is no table. It tells
// whether it had to change something: packets may have been missed then.
func (m *Logged) Apply(servers []netip.AddrPort, devices []string, side Side) (changed bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if changed, err = m.apply(servers, devices, side); err != nil {
		_ = m.link.close() // with what is queued in it
		return changed, fmt.Errorf("nft: log: %w", err)
	}
	return changed, nil
}

func (m *Logged) apply(servers []netip.AddrPort, devices []string, side Side) (changed bool, err error) {
	c, err := m.link.conn()
	if err != nil {
		return false, err
	}
	tables, err := c.ListTablesOfFamily(nftables.TableFamilyNetdev)
	if errors.Is(err, unix.EOPNOTSUPP) && len(servers) == 0 {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("read tables of devices: %w", err)
	}
	exists := slices.ContainsFunc(tables, func(t *nftables.Table) bool { return t.Name == LoggedTable })
	hooks, sets := loggedForm(servers, devices, side)
	if len(hooks) == 0 && !exists {
		return false, nil
	}
	if exists && len(hooks) > 0 {
		if same, err := sameHooks(c, m.link.nl, loggedTable(), hooks, sets); same || err != nil {
			return false, err
		}
	}
	t := &transaction{c: c, table: loggedTable()}
	t.addTable()
	t.deleteTable()
	if len(hooks) > 0 {
		t.addTable()
		if err := t.addHooks(hooks, sets); err != nil {
			return false, err
		}
	}
	return true, m.link.commit(t)
}

// loggedForm is the whole table; nothing without servers.
func loggedForm(servers []netip.AddrPort, devices []string, side Side) (hooks []deviceHook, sets []set) {
	if len(servers) == 0 {
		return nil, nil
	}
	var from, to []rule
	for _, f := range bothFamilies() {
		of := protectedSet(f)
		of.Table = loggedTable()
		for _, a := range servers {
			if f.has(a.Addr()) {
				of.elements = append(of.elements, element{key: addressKey(a.Addr()) + port(a.Port()), owner: a})
			}
		}
		if len(of.elements) == 0 {
			continue
		}
		sets = append(sets, of)
		from = append(from, f.loggedRule("a protected server's", side, do(f.saddr(0), sport(f.words()))))
		to = append(to, f.loggedRule("for a protected server", side, do(f.daddr(0), dport(f.words()))))
	}
	for _, d := range devices {
		hooks = append(hooks, deviceHook{prefixFrom + d, d, nftables.ChainHookIngress, priorityCopy, from},
			deviceHook{prefixTowards + d, d, nftables.ChainHookEgress, priorityCopy, to})
	}
	hooks = append(hooks, deviceHook{chainEnd, side.Peer, nftables.ChainHookIngress, -priorityCopy, []rule{say("copies end here", do(drop()))}})
	return hooks, sets
}

// loggedRule copies packets of TCP whose server, which key loads, is protected. It is compared by its
// comment.
func (f family) loggedRule(what string, side Side, key []expr.Any) rule {
	kind := uint16(unix.ETH_P_IP)
	if f.six {
		kind = unix.ETH_P_IPV6
	}
	return say(fmt.Sprintf("%s%s: copy to interface %d", what, f.suffix, side.Index), ethertype(kind), protocol(protoTCP), key,
		do(within(f.name(setProtected)), &expr.Immediate{Register: word(0), Data: binaryutil.NativeEndian.PutUint32(uint32(side.Index))},
			&expr.Dup{RegDev: word(0), IsRegDevSet: true}))
}
