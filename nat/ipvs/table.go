package ipvs

import (
	"bufio"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/cloudflare/ipvs"

	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/nft"
)

// Table is the kernel's table of services, in the network namespace of the thread that
// opened it.
type Table struct {
	mu     sync.Mutex
	client ipvs.Client
	conns  *os.File // the kernel's list of connections
	expire *os.File // whether packets of a connection whose destination is gone end it
	was    []byte   // what is in expire without us
	points map[string]entry.Point
}

// Open opens the table. It fails where the kernel has no IPVS.
func Open() (*Table, error) {
	c, err := ipvs.New()
	if err != nil {
		return nil, fmt.Errorf("ipvs: %w", err)
	}
	t := &Table{client: c, points: map[string]entry.Point{}}
	if err := t.open(); err != nil {
		return nil, errors.Join(fmt.Errorf("ipvs: %w", err), t.Close())
	}
	return t, nil
}

func (t *Table) open() (err error) {
	if _, err = t.client.Info(); err != nil {
		return err
	}
	if t.conns, err = os.Open("/proc/thread-self/net/ip_vs_conn"); err != nil {
		return err
	}
	if t.expire, err = os.OpenFile("/proc/sys/net/ipv4/vs/expire_nodest_conn", os.O_RDWR, 0); err != nil {
		return err
	}
	t.was, err = io.ReadAll(t.expire)
	return err
}

// Close gives the lists and the socket back. What was applied stays in the kernel.
func (t *Table) Close() (err error) {
	if c, ok := t.client.(io.Closer); ok { // the library's interface does without
		err = c.Close()
	}
	for _, f := range []*os.File{t.conns, t.expire} {
		if f != nil {
			err = errors.Join(err, f.Close())
		}
	}
	return err
}

// Apply makes services of ours what points say, and tells whether it had to.
func (t *Table) Apply(points []entry.Point) (changed bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	want := map[key]service{}
	for _, p := range points {
		list, err := servicesOf(p)
		if err != nil {
			return false, err
		}
		for _, s := range list {
			want[keyOf(s.Service)] = s
		}
	}
	all, err := t.client.Services()
	if err != nil && !errors.Is(err, os.ErrNotExist) { // that is how the library says that there are none
		return false, fmt.Errorf("ipvs: %w", err)
	}
	have := map[key]ipvs.Service{}
	for _, s := range all {
		if s.Flags&ours != 0 {
			have[keyOf(s.Service)] = s.Service
		} else if w, ok := want[keyOf(s.Service)]; ok {
			return false, fmt.Errorf("ipvs: %v:%d is a service of somebody else's already", w.Address, w.Port)
		}
	}
	for k, s := range have {
		if _, ok := want[k]; !ok {
			if err := t.client.RemoveService(s); err != nil {
				return changed, fmt.Errorf("ipvs: remove %v:%d: %w", s.Address, s.Port, err)
			}
			changed = true
		}
	}
	for k, s := range want {
		was, ok := have[k]
		did, err := t.bring(s, was, ok)
		if changed = changed || did; err != nil {
			return changed, err
		}
	}
	expire := t.was
	if len(points) > 0 {
		expire = []byte("1\n")
	}
	if len(points)+len(t.points) > 0 {
		if _, err := t.expire.WriteAt(expire, 0); err != nil {
			return changed, fmt.Errorf("ipvs: %w", err)
		}
	}
	t.points = map[string]entry.Point{}
	for _, p := range points {
		t.points[p.Name] = p
	}
	return changed, nil
}

// bring makes one service what it should be.
func (t *Table) bring(s service, was ipvs.Service, there bool) (changed bool, err error) {
	fail := func(err error) (bool, error) {
		return changed, fmt.Errorf("ipvs: %v:%d by %s: %w", s.Address, s.Port, s.Scheduler, err)
	}
	switch {
	case !there:
		if err := t.client.CreateService(s.Service); err != nil {
			return fail(err)
		}
		changed = true
	case was.Scheduler != s.Scheduler || was.Flags&^ipvs.ServiceHashed != s.Flags || (was.Timeout != s.Timeout || was.Netmask != s.Netmask) && s.Flags&ipvs.ServicePersistent != 0:
		if err := t.client.UpdateService(s.Service); err != nil {
			return fail(err)
		}
		changed = true
	}
	list, err := t.client.Destinations(s.Service)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fail(err)
	}
	have := map[netip.Addr]ipvs.Destination{}
	for _, d := range list {
		have[d.Address] = d.Destination
	}
	// What comes, comes first: there is no moment without a server.
	for a, d := range s.to {
		d.Port = s.Port
		switch h, ok := have[a]; {
		case !ok:
			err = t.client.CreateDestination(s.Service, d)
		case h.Weight != d.Weight || h.FwdMethod != d.FwdMethod || h.TunnelType != d.TunnelType || h.TunnelPort != d.TunnelPort:
			err = t.client.UpdateDestination(s.Service, d)
		default:
			continue
		}
		if changed = true; err != nil {
			return fail(err)
		}
	}
	for a, d := range have {
		if _, ok := s.to[a]; !ok {
			if changed, err = true, t.client.RemoveDestination(s.Service, d); err != nil {
				return fail(err)
			}
		}
	}
	return changed, nil
}

// Steer changes some points.
func (t *Table) Steer(points ...entry.Point) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, p := range points {
		list, err := servicesOf(p)
		if err != nil {
			return err
		}
		for _, s := range list {
			was, err := t.client.Service(s.Service)
			if _, err := t.bring(s, was.Service, err == nil); err != nil {
				return err
			}
		}
		t.points[p.Name] = p
	}
	return nil
}

// Remember does nothing: where a client goes is the kernel's to know.
func (t *Table) Remember(string, []nft.Remembered) error { return nil }

// Flows are those of an entry point. In the list of the kernel one whose client has ended it
// is in a state behind ESTABLISHED.
func (t *Table) Flows(name string) (out []nft.DirectFlow, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	p, ok := t.points[name]
	if !ok {
		return nil, nil
	}
	if _, err := t.conns.Seek(0, io.SeekStart); err != nil {
		return nil, fmt.Errorf("ipvs: connections: %w", err)
	}
	lines := bufio.NewScanner(t.conns)
	for lines.Scan() {
		w, server, ok := connection(lines.Text())
		if !ok || p.Match.Address.IsValid() && !p.Match.Takes(nat.Proto(w.Proto), w.To) {
			continue
		}
		if w.Server = slices.IndexFunc(p.Servers, func(a netip.AddrPort) bool { return a.Addr() == server }); w.Server >= 0 {
			out = append(out, w)
		}
	}
	if err := lines.Err(); err != nil {
		return out, fmt.Errorf("ipvs: connections: %w", err)
	}
	return out, nil
}

// connection reads a line of /proc/net/ip_vs_conn:
//
//	TCP C0000209 A1B2 C000020A 0050 0A000015 0050 ESTABLISHED 899
//	TCP 2001:0db8:… A1B2 2001:0db8:… 0050 2001:0db8:… 0050 ESTABLISHED 899
func connection(line string) (w nft.DirectFlow, server netip.Addr, ok bool) {
	f := strings.Fields(line)
	if len(f) < 8 {
		return w, server, false
	}
	proto, known := map[string]uint8{"TCP": 6, "UDP": 17, "SCTP": 132}[f[0]]
	var ends [3]netip.AddrPort
	for i := range ends {
		a, err := address(f[1+2*i])
		port, err2 := strconv.ParseUint(f[2+2*i], 16, 16)
		if errors.Join(err, err2) != nil {
			return w, server, false
		}
		ends[i] = netip.AddrPortFrom(a, uint16(port))
	}
	w.Proto, w.Client, w.To = proto, ends[0], ends[1]
	w.Ended = f[0] != "UDP" && !slices.Contains([]string{"SYN_RECV", "ESTABLISHED"}, f[7])
	// A template, which holds a client to its server, has no port.
	return w, ends[2].Addr(), known && w.Client.Port() != 0
}

func address(s string) (netip.Addr, error) {
	if strings.Contains(s, ":") {
		return netip.ParseAddr(strings.Trim(s, "[]"))
	}
	b, err := hex.DecodeString(s)
	if err != nil || len(b) != 4 {
		return netip.Addr{}, fmt.Errorf("%q is no address", s)
	}
	return netip.AddrFrom4([4]byte(b)), nil
}

// Forget does nothing: a connection whose destination is gone ends with its next packet.
func (t *Table) Forget(string, []nft.DirectFlow) error { return nil }

// Counters are of new flows.
func (t *Table) Counters() (out nft.EntryCounters, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	out.New = map[string]uint64{}
	for name, p := range t.points {
		list, err := servicesOf(p)
		if err != nil {
			return out, err
		}
		for _, s := range list {
			v, err := t.client.Service(s.Service)
			if err != nil {
				return out, fmt.Errorf("ipvs: %w", err)
			}
			out.New[name] += max(v.Stats.Connections, v.Stats64.Connections)
		}
	}
	return out, nil
}

// Clean removes all services of ours.
func (t *Table) Clean() error {
	_, err := t.Apply(nil)
	return err
}
