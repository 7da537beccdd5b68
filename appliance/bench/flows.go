package bench

import (
	"fmt"
	"net/netip"

	"understudy/appliance/lab/pair"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// flow is the n-th of many established TCP flows through the gateways: every
// other one from an inside host to somewhere outside, behind the gateway's
// address, the rest from outside through the port forward. There are 12 million
// of each.
func flow(n uint32) session.Record {
	public, half := pair.WANAddress.Addr(), n/2
	r := session.Record{
		Status:  session.StatusSeenReply | session.StatusAssured | session.StatusConfirmed,
		Timeout: 3600,
		TCP:     session.TCP{State: session.TCPEstablished, WScaleOrig: 7, WScaleReply: 9, FlagsOrig: 0x03, FlagsReply: 0x03},
	}
	// 40,000 ports of one address at a time.
	there := netip.AddrFrom4([4]byte{198, 18, byte(half / 40000 >> 8), byte(half / 40000)})
	port := uint16(20000 + half%40000)
	if n%2 == 0 {
		inside := netip.AddrFrom4([4]byte{10, 0, 0, byte(30 + half%200)})
		r.Key = key(inside, 1024+uint16(half/200%60000), there, 443)
		r.ReplySrc, r.ReplySrcPort = r.Dst, r.DstPort
		r.ReplyDst, r.ReplyDstPort = session.AddrFrom(public), port
	} else {
		r.Key = key(there, port, public, pair.TCPPort)
		r.ReplySrc, r.ReplySrcPort = session.AddrFrom(pair.Server), pair.TCPPort
		r.ReplyDst, r.ReplyDstPort = r.Src, r.SrcPort
	}
	return r
}

func key(src netip.Addr, sport uint16, dst netip.Addr, dport uint16) session.Key {
	const tcp = 6
	return session.Key{Src: session.AddrFrom(src), SrcPort: sport, Dst: session.AddrFrom(dst), DstPort: dport, Proto: tcp, Family: 4}
}

// hand changes a gateway's connection table, as someone whom the program does not
// know.
type hand struct {
	kernel  *conntrack.Kernel
	recs    []session.Record
	keys    []session.Key
	results []error
}

// handOf opens the table of a gateway for n flows, from the first-th on.
func handOf(g *pair.Gateway, first, n int) (*hand, error) {
	h := &hand{recs: make([]session.Record, n), keys: make([]session.Key, n), results: make([]error, n)}
	for i := range h.recs {
		h.recs[i] = flow(uint32(first + i))
		h.keys[i] = h.recs[i].Key
	}
	err := g.Do(func() (err error) { h.kernel, err = conntrack.OpenKernel(); return err })
	if err != nil {
		return nil, fmt.Errorf("bench: %s: %w", g.Name, err)
	}
	return h, nil
}

func (h *hand) close() { _ = h.kernel.Close() } // nothing is under way

func (h *hand) names() []session.Key { return h.keys }

func (h *hand) begin() error {
	return h.check("create", h.kernel.Install(h.recs, conntrack.InstallOptions{NoVerify: true}, h.results))
}

func (h *hand) state(s session.TCPState) error {
	for i := range h.recs {
		h.recs[i].TCP.State = s
	}
	return h.check("change", h.kernel.Update(h.recs, conntrack.UpdateOptions{Fields: conntrack.UpdateTCPState}, h.results))
}

func (h *hand) end() error { return h.check("delete", h.kernel.Delete(h.keys, h.results)) }

func (h *hand) check(what string, err error) error {
	for _, r := range h.results {
		if err == nil {
			err = r
		}
	}
	if err != nil {
		return fmt.Errorf("bench: %s flows: %w", what, err)
	}
	return nil
}

// room returns how many sessions may be asked for: all namespaces share the
// buckets of one table, which is to be filled to three quarters at most by the
// tables of two gateways.
func room(asked, max int) int {
	if most := max / 4 * 3 / 2 / 1000 * 1000; most > 0 {
		return min(asked, most)
	}
	return asked
}
