package bench

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
	"understudy/nat/splice"
)

// What packets of protected connections cost is measured with connections that are made by
// hand, by hosts that nobody is: so what either end says is known beforehand, and no other
// work is done for them on this machine.
var (
	madeClients   = netip.MustParsePrefix("198.18.0.0/15")
	madeProtected = netip.MustParseAddrPort("203.0.113.11:80")
	madePlain     = netip.MustParseAddrPort("203.0.113.12:444")
)

const (
	madeFlows    = 32
	madeSegments = 512 // of each, either way
	madeBytes    = 512 // of each
	// madeBurst are sent without a pause: whoever is told of them must have room for so many.
	madeBurst  = 2048
	madeAtOnce = 32
	madePause  = 20 * time.Millisecond
	madeScale  = 7
)

// packetBed is a gateway with two entry points, of which one is protected; both lead to a
// host that nobody is.
type packetBed struct {
	*pair.Pair
	gateway *pair.Gateway
	kernel  *conntrack.Kernel
	pid     int
}

func newPacketBed(ctx context.Context, o TransportOptions, m transportMode) (_ *packetBed, err error) {
	extra := ""
	for i, e := range []struct {
		at   netip.AddrPort
		keys string
	}{{madeProtected, m.keys}, {madePlain, noMove.keys}} {
		extra += fmt.Sprintf("[[nat.entry]]\nname = \"web%d\"\naddress = \"%s/tcp\"\nsteer = \"primary\"\n%s\nservers = [{ address = \"%s\" }, { address = \"%s\" }]\n", i, e.at, e.keys,
			netip.AddrPortFrom(floodInside, e.at.Port()), netip.AddrPortFrom(floodInside.Next(), e.at.Port()))
	}
	b := &packetBed{}
	if b.Pair, err = pair.New(pair.Options{Binary: o.Binary, Log: o.Log, NoSessions: true, Extra: extra}); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("%w%s", err, b.Logs()), b.close())
		}
	}()
	b.gateway = b.Gateways[0]
	if err := b.gateway.Start(); err != nil {
		return nil, err
	}
	if err := waitUntil(ctx, deathPatience, "the gateway", b.gateway.Is("active")); err != nil {
		return nil, err
	}
	if err := errors.Join(pathsOf(b.gateway), b.gateway.Route(madeClients.String(), floodThere.String())); err != nil {
		return nil, err
	}
	if err := b.gateway.Do(func() (err error) { b.kernel, err = conntrack.OpenKernel(); return err }); err != nil {
		return nil, err
	}
	b.pid, err = daemonOf(b.gateway)
	return b, err
}

func (b *packetBed) close() (err error) {
	if b.kernel != nil {
		err = b.kernel.Close()
	}
	return errors.Join(err, b.gateway.Kill(), b.gateway.FlushConntrack(), b.Close())
}

// byHand is connections of an entry point, and what their ends say.
type byHand struct {
	bed            *packetBed
	keys           []session.Key
	open           [4]*volley // SYN, SYN-ACK, ACK, and one that tells how much room there is
	client, server *volley
}

// frame is what an end says, as it comes to the gateway.
func (b *packetBed) frame(fromClient bool, client, entry netip.AddrPort, s *splice.Segment) []byte {
	from, to, link, own := client, entry, "wan0", floodMACs[1]
	if !fromClient {
		from, to, link, own = netip.AddrPortFrom(floodInside, entry.Port()), client, "lan0", floodMACs[0]
	}
	mac := [6]byte(b.gateway.Link(link).MAC)
	return ipv4Frame(mac, own, 64, unix.IPPROTO_TCP, from.Addr(), to.Addr(), splice.AppendPacket(nil, from, to, s)[20:])
}

func ipv4OfFlow(n int) netip.AddrPort {
	base := binary.BigEndian.Uint32(madeClients.Addr().AsSlice())
	return netip.AddrPortFrom(ipv4Of(base+1+uint32(n/30000)), uint16(20000+n%30000))
}

// byHand prepares connections from the first-th on, on which each end says so many
// segments of so many bytes.
func (b *packetBed) byHand(entry netip.AddrPort, first, flows, segments, asked, answered int) (m *byHand, err error) {
	m = &byHand{bed: b}
	var open [4][][]byte
	var fromClient, fromServer [][]byte
	options := splice.Options{MSS: 1460, SACK: true, Scaled: true, Scale: madeScale}
	question, answer := make([]byte, asked), make([]byte, answered)
	for i := range flows {
		client := ipv4OfFlow(first + i)
		k := key(client.Addr(), client.Port(), entry.Addr(), entry.Port())
		m.keys = append(m.keys, k)
		for j, s := range []splice.Segment{
			{Seq: clientFirst, Flags: splice.SYN, Window: 0xffff, Options: options},
			{Seq: serverFirst, Ack: clientFirst + 1, Flags: splice.SYN | splice.ACK, Window: 0xffff, Options: options},
			{Seq: clientFirst + 1, Ack: serverFirst + 1, Flags: splice.ACK, Window: 0xffff},
			{Seq: serverFirst + 1, Ack: clientFirst + 1, Flags: splice.ACK, Window: 0xffff},
		} {
			open[j] = append(open[j], b.frame(j%2 == 0, client, entry, &s))
		}
	}
	for j := range segments {
		for i := range flows {
			client := ipv4OfFlow(first + i)
			fromClient = append(fromClient, b.frame(true, client, entry, &splice.Segment{Seq: clientFirst + 1 + uint32(j*asked), Ack: serverFirst + 1,
				Flags: splice.ACK | splice.PSH, Window: 0xffff, Data: question}))
			fromServer = append(fromServer, b.frame(false, client, entry, &splice.Segment{Seq: serverFirst + 1 + uint32(j*answered), Ack: clientFirst + 1 + uint32(segments*asked),
				Flags: splice.ACK | splice.PSH, Window: 0xffff, Data: answer}))
		}
	}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	for j := range open {
		node := b.Outside
		if j%2 == 1 {
			node = b.Inside
		}
		if m.open[j], err = openVolley(node, "eth0", open[j]); err != nil {
			return nil, err
		}
	}
	if m.client, err = openVolley(b.Outside, "eth0", fromClient); err != nil {
		return nil, err
	}
	m.server, err = openVolley(b.Inside, "eth0", fromServer)
	return m, err
}

func (m *byHand) close() {
	for _, v := range append(slices.Clone(m.open[:]), m.client, m.server) {
		if v != nil {
			v.close()
		}
	}
}

// forget has the gateway forget them.
func (m *byHand) forget() error {
	return m.bed.kernel.Delete(m.keys, make([]error, len(m.keys)))
}

// begin opens them.
func (m *byHand) begin(ctx context.Context) error {
	for n := len(m.keys); n > 0; n -= madeBurst {
		for _, v := range m.open {
			if err := v.send(min(n, madeBurst)); err != nil {
				return err
			}
		}
		if err := sleep(ctx, madePause); err != nil {
			return err
		}
	}
	for _, k := range []session.Key{m.keys[0], m.keys[len(m.keys)-1]} {
		if r, err := m.bed.kernel.Get(k); err != nil || r.TCP.State != session.TCPEstablished {
			return fmt.Errorf("bench: connection %v: %v, state %d", k, err, r.TCP.State)
		}
	}
	return nil
}

// say has one end say all that it has to, and tells what a packet took. All must get
// through.
func (m *byHand) say(ctx context.Context, v *volley, out string) (ns float64, err error) {
	h := m.bed.gateway.Netlink()
	before, err := sentBy(h, out)
	if err != nil {
		return 0, err
	}
	var took time.Duration
	all := len(v.msgs)
	for n := all; n > 0; n -= madeBurst {
		spent, err := burst(v, min(n, madeBurst))
		if err == nil {
			err = sleep(ctx, madePause)
		}
		if err != nil {
			return 0, err
		}
		took += spent
	}
	after, err := sentBy(h, out)
	if err != nil {
		return 0, err
	}
	if after-before < uint64(all) {
		return 0, fmt.Errorf("bench: of %d packets %d left by %s", all, after-before, out)
	}
	return float64(took.Nanoseconds()) / float64(all), nil
}

// burst sends n frames, some at a time: what this processor has not forwarded yet waits in a
// queue that is short.
func burst(v *volley, n int) (time.Duration, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	began := time.Now()
	for ; n > 0; n -= madeAtOnce {
		if err := v.send(min(n, madeAtOnce)); err != nil {
			return 0, err
		}
	}
	return time.Since(began), nil
}

// packetCosts are what packets took, of each end.
type packetCosts struct{ ns, daemon [2][]float64 }

var packetEnds = [2]string{"client", "server"}

func (m *byHand) round(ctx context.Context, c *packetCosts) error {
	if err := m.begin(ctx); err != nil {
		return err
	}
	for i, v := range []*volley{m.client, m.server} {
		before, err := onCPU(m.bed.pid)
		if err != nil {
			return err
		}
		ns, err := m.say(ctx, v, []string{"lan0", "wan0"}[i])
		if err != nil {
			return err
		}
		after, err := onCPU(m.bed.pid)
		if err != nil {
			return err
		}
		c.ns[i], c.daemon[i] = append(c.ns[i], round(ns)), append(c.daemon[i], round(float64(after-before)/float64(len(v.msgs))))
	}
	return m.forget()
}

// measurePackets sends the same packets in turn through a gateway that moves nothing, and
// through one that does: of an entry point that is not protected, and of one that is.
func measurePackets(ctx context.Context, o TransportOptions, m transportMode) (rows []PacketRow, memory []MovingMemory, err error) {
	type contender struct {
		mode      string
		protected bool
		made      *byHand
		costs     packetCosts
	}
	var all []*contender
	for _, mode := range []transportMode{noMove, m} {
		b, err := newPacketBed(ctx, o, mode)
		if err != nil {
			return nil, nil, err
		}
		defer func() { err = errors.Join(err, b.close()) }()
		bytes, err := b.held(ctx, o.Held)
		if err != nil {
			return nil, nil, err
		}
		memory = append(memory, MovingMemory{mode.name, o.Held, bytes})
		fmt.Fprintf(o.Progress, "%s: %s bytes of the program's for each of %d connections\n", mode.name, number(bytes), o.Held)
		for _, at := range []netip.AddrPort{madePlain, madeProtected} {
			if mode == noMove && at == madeProtected {
				continue
			}
			made, err := b.byHand(at, 0, madeFlows, o.segments, madeBytes, madeBytes)
			if err != nil {
				return nil, nil, err
			}
			defer made.close()
			all = append(all, &contender{mode: mode.name, protected: at == madeProtected, made: made})
		}
	}
	for range o.Rounds {
		for _, c := range all {
			if err := c.made.round(ctx, &c.costs); err != nil {
				return nil, nil, err
			}
		}
	}
	for _, c := range all {
		for i, from := range packetEnds {
			row := PacketRow{Mode: c.mode, Protected: c.protected, From: from, NS: summarize(c.costs.ns[i]), DaemonNS: summarize(c.costs.daemon[i])}
			row.Ratio = ratio(row.NS.Min, summarize(all[0].costs.ns[i]).Min)
			rows = append(rows, row)
			fmt.Fprintf(o.Progress, "%s, protected %v, from the %s: %s ns, %.2f times none; the program %s ns\n", row.Mode, row.Protected, from, row.NS.text(), row.Ratio, row.DaemonNS.text())
		}
	}
	return rows, memory, nil
}

// held opens connections at the protected entry point and says a little on each, and tells
// what each takes in the program.
func (b *packetBed) held(ctx context.Context, n int) (float64, error) {
	const parts = 10
	each := max(1, n/parts)
	before, err := used(b.pid)
	if err != nil {
		return 0, err
	}
	for part := range parts {
		m, err := b.byHand(madeProtected, 1000+part*each, each, 1, 100, 500)
		if err != nil {
			return 0, err
		}
		err = m.begin(ctx)
		for i, v := range []*volley{m.client, m.server} {
			if err == nil {
				_, err = m.say(ctx, v, []string{"lan0", "wan0"}[i])
			}
		}
		m.close()
		if err != nil {
			return 0, err
		}
	}
	after, err := used(b.pid)
	if err != nil {
		return 0, err
	}
	// The connections end here; the program hears nothing of it.
	return float64(max(0, after.sub(before).Memory)) / float64(parts*each), b.gateway.FlushConntrack()
}
