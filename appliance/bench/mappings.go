package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/nat"
	"understudy/nat/nft"
)

// MappingsOptions sets [RunMappings] up. The zero value measures 1, 1,000, 10,000 and
// 100,000 mappings, five times.
type MappingsOptions struct {
	Mappings []int
	Runs     int
	Flows    int // for each rate; 0: 20,000

	Progress io.Writer // a line for each result; nil: nobody
}

func (o MappingsOptions) withDefaults() MappingsOptions {
	if len(o.Mappings) == 0 {
		o.Mappings = []int{1, 1_000, 10_000, 100_000}
	}
	if o.Runs <= 0 {
		o.Runs = 5
	}
	if o.Flows <= 0 {
		o.Flows = 20_000
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	return o
}

// MappingsReport is what [RunMappings] found. Its JSON form is a contract: keys may be
// added, never removed.
type MappingsReport struct {
	Machine Machine `json:"machine"`
	// Programs are what is compared with, as each calls itself.
	Programs []string      `json:"programs"`
	Rows     []MappingsRow `json:"rows"` // by number, ours first
}

// MappingsRow is one way to map, with one number of mappings. Times are of a program's
// whole run, for ours of the call.
type MappingsRow struct {
	Kind     string `json:"kind"`
	Mappings int    `json:"mappings"`
	// LoadMS is from nothing to all of it, in one transaction.
	LoadMS Summary `json:"load_ms"`
	// ChangeMS is another target for one mapping: ours as a reload does it, rules by a
	// file that has all of them.
	ChangeMS Summary `json:"change_ms"`
	// OneMS is the same by hand: one rule, by its handle or number. Ours has no other way.
	OneMS Summary `json:"one_ms,omitzero"`
	// ReadMS is what it takes to read everything back from the kernel and find that nothing
	// is to be done: ours, as it is done now and then.
	ReadMS Summary `json:"read_ms,omitzero"`
	// First and Last are new flows a second through the first mapping and the last.
	First Summary `json:"first_flows"`
	Last  Summary `json:"last_flows"`
	Flows int     `json:"flows"` // of each rate
}

// mapper is a way to map that is measured.
type mapper interface {
	name() string
	load(n int) (time.Duration, error)        // n mappings, from nothing
	change(n, run int) (time.Duration, error) // one of them leads elsewhere, in each run
	one(n, run int) (time.Duration, error)    // the same by hand; 0: there is no such way
	read(n, run int) (time.Duration, error)   // compares all with what the kernel has; 0: there is no such way
	called(i int) netip.Addr                  // the i-th public address
}

// The bed of the measurement: frames come in by wan0 as from a router, to public
// addresses of 20.0.0.0/8; what is translated leaves by lan0 to a host that there is not,
// so that nobody answers and nothing else is paid for.
//
//	source --- wan0 [gateway] lan0 --- (10.64.0.0/10 by 10.1.0.9)
const (
	mappingsPort   = 53
	mappingsPublic = 20 << 24
	mappingsInside = 10<<24 | 64<<16
)

type mappingsBed struct {
	*lab.Net
	gateway, source *lab.Node
	wanMAC          [6]byte
}

func ipv4Of(n uint32) netip.Addr {
	return netip.AddrFrom4([4]byte{byte(n >> 24), byte(n >> 16), byte(n >> 8), byte(n)})
}

// target is where the i-th mapping leads to, or one that was moved in a run.
func target(i int, moved bool, run int) netip.Addr {
	if moved {
		return ipv4Of(mappingsInside + 1<<21 + uint32(run))
	}
	return ipv4Of(mappingsInside + uint32(i))
}

func newMappingsBed() (_ *mappingsBed, err error) {
	b := &mappingsBed{Net: lab.New()}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	if b.gateway, err = b.Node("gateway"); err != nil {
		return nil, err
	}
	if b.source, err = b.Node("source"); err != nil {
		return nil, err
	}
	for _, n := range []*lab.Node{b.gateway, b.source} { // which has things to say of itself
		if err = n.Sysctl("ipv6/conf/default/disable_ipv6", "1"); err != nil {
			return nil, err
		}
	}
	wan, err := b.Segment("wan0")
	if err != nil {
		return nil, err
	}
	lan, err := b.Segment("lan0")
	if err != nil {
		return nil, err
	}
	if _, err = b.gateway.Join(wan, "wan0", "203.0.113.1/24"); err != nil {
		return nil, err
	}
	if _, err = b.gateway.Join(lan, "lan0", "10.1.0.1/24"); err != nil {
		return nil, err
	}
	if _, err = b.source.Join(wan, "eth0"); err != nil {
		return nil, err
	}
	if err = b.gateway.Sysctl("ipv4/ip_forward", "1"); err != nil {
		return nil, err
	}
	h := b.gateway.Netlink()
	for name, ip := range map[string]string{"lan0": "10.1.0.9", "wan0": "203.0.113.254"} {
		l, err := h.LinkByName(name)
		if err != nil {
			return nil, err
		}
		if name == "wan0" {
			copy(b.wanMAC[:], l.Attrs().HardwareAddr)
		}
		if err := h.NeighSet(&netlink.Neigh{LinkIndex: l.Attrs().Index, IP: net.ParseIP(ip), HardwareAddr: net.HardwareAddr{2, 0, 0, 0, 0, 9}, State: netlink.NUD_PERMANENT}); err != nil {
			return nil, fmt.Errorf("bench: neighbour on %s: %w", name, err)
		}
	}
	return b, errors.Join(b.gateway.Route("10.64.0.0/10", "10.1.0.9"), b.gateway.Route("default", "203.0.113.254"))
}

// rate sends the first packets of n flows to an address and tells how many a second got
// through; all must.
func (b *mappingsBed) rate(to netip.Addr, n, run int) (float64, error) {
	return b.rateWithin(to, n, run, patience)
}

func (b *mappingsBed) rateWithin(to netip.Addr, n, run int, within time.Duration) (float64, error) {
	h := b.gateway.Netlink()
	frames := make([][]byte, n)
	for i := range frames {
		from := ipv4Of(198<<24 | 18<<16 | uint32(run&0xff)<<8 | uint32(i>>14))
		frames[i] = ipv4Frame(b.wanMAC, [6]byte{2, 0, 0, 0, 0, 8}, 64, unix.IPPROTO_UDP, from, to, udp(uint16(1024+i&0x3fff), mappingsPort, make([]byte, 18)))
	}
	v, err := openVolley(b.source, "eth0", frames)
	if err != nil {
		return 0, err
	}
	defer v.close()
	before, err := b.warm(v, to, within)
	if err != nil {
		return 0, err
	}
	v.next = 0
	if err := h.ConntrackTableFlush(netlink.ConntrackTable); err != nil {
		return 0, fmt.Errorf("bench: flush connections: %w", err)
	}
	began := time.Now()
	err = urgently(func() error { return v.send(n) })
	took := time.Since(began)
	if err != nil {
		return 0, err
	}
	// The last may still be on their way, on another processor.
	for end := time.Now().Add(within); ; nap(time.Millisecond) {
		after, err := sentBy(h, "lan0")
		if err != nil {
			return 0, err
		}
		if after-before >= uint64(n) {
			return float64(n) / took.Seconds(), nil
		}
		if time.Now().After(end) {
			return 0, fmt.Errorf("bench: of %d flows to %v %d were translated", n, to, after-before)
		}
	}
}

// warm sends until something gets through: links that were just made lose what is sent
// first. It returns how many packets have left once all of that is through.
func (b *mappingsBed) warm(v *volley, to netip.Addr, within time.Duration) (uint64, error) {
	first, err := sentBy(b.gateway.Netlink(), "lan0")
	if err != nil {
		return 0, err
	}
	for end := time.Now().Add(within); time.Now().Before(end); nap(5 * time.Millisecond) {
		if err := v.send(1); err != nil {
			return 0, err
		}
		nap(5 * time.Millisecond)
		now, err := sentBy(b.gateway.Netlink(), "lan0")
		if err != nil {
			return 0, err
		}
		if now > first {
			nap(20 * time.Millisecond)
			return sentBy(b.gateway.Netlink(), "lan0")
		}
	}
	return 0, fmt.Errorf("bench: of flows to %v 0 were translated", to)
}

// sentBy is how many packets an interface has sent.
func sentBy(h *netlink.Handle, name string) (uint64, error) {
	l, err := h.LinkByName(name)
	if err != nil {
		return 0, err
	}
	return l.Attrs().Statistics.TxPackets, nil
}

// ourMapper is the program's own edge to the kernel.
type ourMapper struct {
	bed  *mappingsBed
	kind string // forward, static or network
	a    *nft.Applier
}

func (m *ourMapper) name() string { return "understudy, " + m.kind }

func (m *ourMapper) called(i int) netip.Addr {
	if m.kind == kindNetwork {
		return ipv4Of(mappingsPublic + 4*uint32(i) + 1)
	}
	return ipv4Of(mappingsPublic + uint32(i))
}

const (
	kindForward = "a port each"
	kindStatic  = "an address each"
	kindNetwork = "a network each"
)

func (m *ourMapper) plan(n, run int) (nat.Plan, error) {
	c := nat.Config{Groups: []nat.Group{{Name: "gateway", Addresses: []netip.Addr{netip.MustParseAddr("203.0.113.1")}, Blocks: []netip.Prefix{netip.MustParsePrefix("20.0.0.0/8")}}}}
	for i := range n {
		to := target(i, run > 0 && i == n/2, run)
		switch m.kind {
		case kindForward:
			c.Forwards = append(c.Forwards, nat.Forward{Address: m.called(i), Proto: nat.UDP, Port: mappingsPort, To: netip.AddrPortFrom(to, mappingsPort)})
		case kindStatic:
			c.Statics = append(c.Statics, nat.Static{Public: netip.PrefixFrom(m.called(i), 32), Private: netip.PrefixFrom(to, 32), Out: "wan0"})
		default:
			inside := mappingsInside + 4*uint32(i)
			if run > 0 && i == n/2 {
				inside = mappingsInside + 1<<21 + 4*uint32(run)
			}
			c.Statics = append(c.Statics, nat.Static{Public: netip.PrefixFrom(ipv4Of(mappingsPublic+4*uint32(i)), 30), Private: netip.PrefixFrom(ipv4Of(inside), 30), Out: "wan0"})
		}
	}
	return nat.New(c)
}

func (m *ourMapper) apply(n, run int, how func(*nft.Applier, nat.Plan) (nft.Report, error)) (took time.Duration, err error) {
	p, err := m.plan(n, run)
	if err != nil {
		return 0, err
	}
	err = m.bed.gateway.Do(func() error {
		began := time.Now()
		_, err := how(m.a, p)
		took = time.Since(began)
		if err != nil {
			return err
		}
		return m.a.OpenGate(p.Group("gateway"), p.GroupDevices("gateway")...)
	})
	return took, err
}

func (m *ourMapper) load(n int) (time.Duration, error) {
	err := m.bed.gateway.Do(func() (err error) {
		if m.a == nil {
			if m.a, err = nft.Open(nft.Config{}); err != nil {
				return err
			}
		}
		return m.a.Clean()
	})
	if err != nil {
		return 0, err
	}
	return m.apply(n, 0, (*nft.Applier).Apply)
}

func (m *ourMapper) change(n, run int) (time.Duration, error) {
	return m.apply(n, run, func(a *nft.Applier, p nat.Plan) (nft.Report, error) {
		r, err := a.Change(p)
		if err == nil && r.Added > 2 {
			err = fmt.Errorf("bench: one of %d mappings: wrote %d elements", n, r.Added)
		}
		return r, err
	})
}

func (m *ourMapper) one(int, int) (time.Duration, error) { return 0, nil }

func (m *ourMapper) read(n, run int) (time.Duration, error) {
	return m.apply(n, run, (*nft.Applier).Apply)
}

func (m *ourMapper) close() error {
	if m.a == nil {
		return nil
	}
	return m.a.Close()
}

func mappingAddress(i int) netip.Addr { return ipv4Of(mappingsPublic + uint32(i)) }

// tool runs a program on the gateway.
func (b *mappingsBed) tool(in string, args ...string) (took time.Duration, out string, err error) {
	err = b.gateway.Do(func() error {
		cmd := exec.Command(args[0], args[1:]...)
		cmd.Stdin = strings.NewReader(in)
		began := time.Now()
		b, err := cmd.CombinedOutput()
		took, out = time.Since(began), string(b)
		if err != nil {
			return fmt.Errorf("bench: %s: %w: %.500s", args[0], err, b)
		}
		return nil
	})
	return took, out, err
}

// nftMapper has a rule a mapping, loaded by nft -f.
type nftMapper struct{ bed *mappingsBed }

func (nftMapper) name() string            { return "nft -f, a rule each" }
func (nftMapper) called(i int) netip.Addr { return mappingAddress(i) }

func nftRule(to, target netip.Addr) string {
	return fmt.Sprintf("ip daddr %s udp dport %d dnat to %s:%d", to, mappingsPort, target, mappingsPort)
}

func (m nftMapper) file(n, run int) string {
	var s strings.Builder
	s.WriteString("table ip bench\nflush table ip bench\ntable ip bench { chain in { type nat hook prerouting priority dstnat;\n")
	for i := range n {
		s.WriteString(nftRule(mappingAddress(i), target(i, run > 0 && i == n/2, run)) + "\n")
	}
	s.WriteString("}\n}\n")
	return s.String()
}

func (m nftMapper) load(n int) (time.Duration, error) {
	if _, _, err := m.bed.tool("", "nft", "flush", "ruleset"); err != nil {
		return 0, err
	}
	return m.change(n, 0)
}

func (m nftMapper) change(n, run int) (time.Duration, error) {
	took, _, err := m.bed.tool(m.file(n, run), "nft", "-f", "-")
	return took, err
}

// one replaces a rule whose handle is known.
func (m nftMapper) one(n, run int) (time.Duration, error) {
	_, out, err := m.bed.tool("", "nft", "-a", "list", "chain", "ip", "bench", "in")
	if err != nil {
		return 0, err
	}
	handle := ""
	for line := range strings.Lines(out) {
		if strings.Contains(line, "ip daddr "+mappingAddress(n/2).String()+" ") {
			_, handle, _ = strings.Cut(strings.TrimSpace(line), "# handle ")
		}
	}
	if handle == "" {
		return 0, fmt.Errorf("bench: nft does not list the rule of %v", mappingAddress(n/2))
	}
	took, _, err := m.bed.tool("replace rule ip bench in handle "+handle+" "+nftRule(mappingAddress(n/2), target(0, true, 1000+run))+"\n", "nft", "-f", "-")
	return took, err
}

func (nftMapper) read(int, int) (time.Duration, error)      { return 0, nil }
func (iptablesMapper) read(int, int) (time.Duration, error) { return 0, nil }

// iptablesMapper has a rule a mapping, loaded by iptables-restore.
type iptablesMapper struct{ bed *mappingsBed }

func (iptablesMapper) name() string            { return "iptables-restore" }
func (iptablesMapper) called(i int) netip.Addr { return mappingAddress(i) }

func iptablesRule(to, target netip.Addr) string {
	return fmt.Sprintf("-d %s/32 -p udp -m udp --dport %d -j DNAT --to-destination %s:%d", to, mappingsPort, target, mappingsPort)
}

func (m iptablesMapper) load(n int) (time.Duration, error) {
	if _, _, err := m.bed.tool("", "nft", "flush", "ruleset"); err != nil {
		return 0, err
	}
	return m.change(n, 0)
}

func (m iptablesMapper) change(n, run int) (time.Duration, error) {
	var s strings.Builder
	s.WriteString("*nat\n:PREROUTING ACCEPT [0:0]\n")
	for i := range n {
		s.WriteString("-A PREROUTING " + iptablesRule(mappingAddress(i), target(i, run > 0 && i == n/2, run)) + "\n")
	}
	s.WriteString("COMMIT\n")
	took, _, err := m.bed.tool(s.String(), "iptables-restore")
	return took, err
}

// one replaces a rule whose number is known.
func (m iptablesMapper) one(n, run int) (time.Duration, error) {
	args := append([]string{"iptables", "-t", "nat", "-R", "PREROUTING", fmt.Sprint(n/2 + 1)}, strings.Fields(iptablesRule(mappingAddress(n/2), target(0, true, 1000+run)))...)
	took, _, err := m.bed.tool("", args...)
	return took, err
}

// RunMappings measures what mappings cost to load, to change, and to the flows that go
// through them, as elements of maps and as rules. When it returns, nothing of what it
// started is left.
func RunMappings(ctx context.Context, opt MappingsOptions) (*MappingsReport, error) {
	opt = opt.withDefaults()
	r := &MappingsReport{Machine: thisMachine(time.Now())}
	for _, tool := range [][]string{{"nft", "--version"}, {"iptables-restore", "--version"}} {
		out, err := exec.CommandContext(ctx, tool[0], tool[1:]...).CombinedOutput()
		if err != nil {
			return nil, fmt.Errorf("bench: %s is what is compared with (packages nftables and iptables): %w", tool[0], err)
		}
		line, _, _ := strings.Cut(string(out), "\n")
		r.Programs = append(r.Programs, strings.TrimSpace(line))
	}
	for _, n := range opt.Mappings {
		for _, make := range []func(*mappingsBed) mapper{
			func(b *mappingsBed) mapper { return &ourMapper{bed: b, kind: kindForward} },
			func(b *mappingsBed) mapper { return &ourMapper{bed: b, kind: kindStatic} },
			func(b *mappingsBed) mapper { return &ourMapper{bed: b, kind: kindNetwork} },
			func(b *mappingsBed) mapper { return nftMapper{b} },
			func(b *mappingsBed) mapper { return iptablesMapper{b} },
		} {
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			row, err := measureMappings(ctx, opt, n, make)
			if err != nil {
				return nil, fmt.Errorf("bench: %d mappings: %w", n, err)
			}
			r.Rows = append(r.Rows, row)
			fmt.Fprintf(opt.Progress, "%s, %d: loaded in %s ms, one changed in %s ms, new flows a second %s by the first and %s by the last\n",
				row.Kind, n, number(row.LoadMS.Median), number(row.ChangeMS.Median), number(row.First.Median), number(row.Last.Median))
		}
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

func measureMappings(ctx context.Context, opt MappingsOptions, n int, make func(*mappingsBed) mapper) (row MappingsRow, err error) {
	bed, err := newMappingsBed()
	if err != nil {
		return row, err
	}
	defer func() { err = errors.Join(err, bed.Close()) }()
	m := make(bed)
	if o, ok := m.(*ourMapper); ok {
		defer func() { err = errors.Join(err, o.close()) }()
	}
	row = MappingsRow{Kind: m.name(), Mappings: n, Flows: opt.Flows}
	if _, rules := m.(*ourMapper); !rules {
		// Rules are tried one after the other: so many flows that it ends.
		row.Flows = min(opt.Flows, max(500, 100_000_000/n))
	}
	var loads, changes, ones, reads, first, last []float64
	add := func(to *[]float64, took time.Duration, err error) error {
		if err == nil && took > 0 {
			*to = append(*to, ms(took))
		}
		return err
	}
	for run := range opt.Runs {
		if err := ctx.Err(); err != nil {
			return row, err
		}
		took, err := m.load(n)
		if err := add(&loads, took, err); err != nil {
			return row, err
		}
		for _, one := range []struct {
			to *[]float64
			i  int
		}{{&first, 0}, {&last, n - 1}} {
			to, i := one.to, one.i
			rate, err := bed.rate(m.called(i), row.Flows, run)
			if err != nil {
				return row, fmt.Errorf("%s: %w", m.name(), err)
			}
			*to = append(*to, rate)
		}
		took, err = m.change(n, run+1)
		if err := add(&changes, took, err); err != nil {
			return row, err
		}
		took, err = m.one(n, run)
		if err := add(&ones, took, err); err != nil {
			return row, err
		}
		took, err = m.read(n, run+1)
		if err := add(&reads, took, err); err != nil {
			return row, err
		}
	}
	row.LoadMS, row.ChangeMS, row.OneMS, row.ReadMS = summarize(loads), summarize(changes), summarize(ones), summarize(reads)
	row.First, row.Last = summarize(first), summarize(last)
	return row, nil
}
