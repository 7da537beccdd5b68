package ipvs

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/cloudflare/ipvs"

	"understudy/nat"
	"understudy/nat/entry"
)

// kernelTwin has services and destinations, and notes what it is told.
type kernelTwin struct {
	ipvs.Client
	services []ipvs.Service
	to       map[key][]ipvs.Destination
	told     []string
}

func (k *kernelTwin) note(what string, s ipvs.Service, d *ipvs.Destination) {
	line := fmt.Sprintf("%s %v:%d", what, s.Address, s.Port)
	if d != nil {
		line += fmt.Sprintf(" -> %v:%d %v %d", d.Address, d.Port, d.FwdMethod, d.Weight)
		if d.FwdMethod == ipvs.Tunnel {
			line += fmt.Sprintf(" %v %d", d.TunnelType, d.TunnelPort)
		}
	}
	k.told = append(k.told, line)
}

func (k *kernelTwin) said() string {
	slices.Sort(k.told) // destinations come in the order of a map
	out := strings.Join(k.told, "\n")
	k.told = nil
	return out
}

func (k *kernelTwin) Services() (out []ipvs.ServiceExtended, err error) {
	for _, s := range k.services {
		s.Flags |= ipvs.ServiceHashed // which the kernel sets
		out = append(out, ipvs.ServiceExtended{Service: s})
	}
	return out, nil
}

func (k *kernelTwin) Service(s ipvs.Service) (ipvs.ServiceExtended, error) {
	all, _ := k.Services()
	i := slices.IndexFunc(all, func(o ipvs.ServiceExtended) bool { return keyOf(o.Service) == keyOf(s) })
	if i < 0 {
		return ipvs.ServiceExtended{}, os.ErrNotExist
	}
	return all[i], nil
}

func (k *kernelTwin) CreateService(s ipvs.Service) error {
	k.note("service", s, nil)
	k.services = append(k.services, s)
	return nil
}

func (k *kernelTwin) RemoveService(s ipvs.Service) error {
	k.note("no service", s, nil)
	k.services = slices.DeleteFunc(k.services, func(o ipvs.Service) bool { return keyOf(o) == keyOf(s) })
	delete(k.to, keyOf(s))
	return nil
}

func (k *kernelTwin) UpdateService(ipvs.Service) error { return errors.New("it is what it was") }

func (k *kernelTwin) Destinations(s ipvs.Service) (out []ipvs.DestinationExtended, err error) {
	for _, d := range k.to[keyOf(s)] {
		out = append(out, ipvs.DestinationExtended{Destination: d})
	}
	return out, nil
}

func (k *kernelTwin) CreateDestination(s ipvs.Service, d ipvs.Destination) error {
	k.note("server", s, &d)
	k.to[keyOf(s)] = append(k.to[keyOf(s)], d)
	return nil
}

func (k *kernelTwin) UpdateDestination(s ipvs.Service, d ipvs.Destination) error {
	k.note("change", s, &d)
	for i, o := range k.to[keyOf(s)] {
		if o.Address == d.Address {
			k.to[keyOf(s)][i] = d
		}
	}
	return nil
}

func (k *kernelTwin) RemoveDestination(s ipvs.Service, d ipvs.Destination) error {
	k.note("no server", s, &d)
	k.to[keyOf(s)] = slices.DeleteFunc(k.to[keyOf(s)], func(o ipvs.Destination) bool { return o.Address == d.Address })
	return nil
}

// twinned is a table of such a kernel.
func twinned(t *testing.T) (*Table, *kernelTwin) {
	t.Helper()
	expire, err := os.Create(filepath.Join(t.TempDir(), "expire_nodest_conn"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { expire.Close() })
	k := &kernelTwin{to: map[key][]ipvs.Destination{}}
	return &Table{client: k, expire: expire, was: []byte("0\n"), points: map[string]entry.Point{}}, k
}

// An entry point is what its servers get packets in; another tunnel is another destination,
// what others change is put back, and what is theirs is let be.
func TestTunnels(t *testing.T) {
	table, kernel := twinned(t)
	theirs := ipvs.Service{Address: netip.MustParseAddr("192.0.2.99"), Port: 80, Protocol: ipvs.TCP, Family: ipvs.INET, Scheduler: "rr"}
	kernel.services = append(kernel.services, theirs)
	point := func(tunnel entry.Tunnel) entry.Point {
		return entry.New(time.Now(), entry.Config{Name: "web", Steer: entry.Weighted, Direct: true, Tunnel: tunnel,
			Match:   entry.Match{Address: netip.MustParseAddr("192.0.2.10"), Proto: nat.TCP, Ports: nat.Ports{First: 80, Last: 80}},
			Servers: []entry.Server{{Address: netip.MustParseAddrPort("10.9.0.21:0"), Weight: 1}, {Address: netip.MustParseAddrPort("10.9.0.22:0"), Weight: 2}}}).Point()
	}
	own := key{address: netip.MustParseAddr("192.0.2.10"), port: 80, proto: ipvs.TCP, family: ipvs.INET}
	for _, step := range []struct {
		name   string
		before func()
		points []entry.Point
		want   string
	}{
		{"new", nil, []entry.Point{point(entry.Tunnel{Kind: entry.IPIP})},
			"server 192.0.2.10:80 -> 10.9.0.21:80 Tunnel 1 IPIP 0\nserver 192.0.2.10:80 -> 10.9.0.22:80 Tunnel 2 IPIP 0\nservice 192.0.2.10:80"},
		{"the same", nil, []entry.Point{point(entry.Tunnel{Kind: entry.IPIP})}, ""},
		{"GRE", nil, []entry.Point{point(entry.Tunnel{Kind: entry.GRE})},
			"change 192.0.2.10:80 -> 10.9.0.21:80 Tunnel 1 GRE 0\nchange 192.0.2.10:80 -> 10.9.0.22:80 Tunnel 2 GRE 0"},
		{"GUE", nil, []entry.Point{point(entry.Tunnel{Kind: entry.GUE, Port: 5555})},
			"change 192.0.2.10:80 -> 10.9.0.21:80 Tunnel 1 GUE 5555\nchange 192.0.2.10:80 -> 10.9.0.22:80 Tunnel 2 GUE 5555"},
		{"another port", nil, []entry.Point{point(entry.Tunnel{Kind: entry.GUE, Port: 5556})},
			"change 192.0.2.10:80 -> 10.9.0.21:80 Tunnel 1 GUE 5556\nchange 192.0.2.10:80 -> 10.9.0.22:80 Tunnel 2 GUE 5556"},
		{"changed by others", func() {
			kernel.to[own] = slices.DeleteFunc(kernel.to[own], func(d ipvs.Destination) bool { return d.Address == netip.MustParseAddr("10.9.0.22") })
			kernel.to[own][0].FwdMethod = ipvs.Masquerade
		},
			[]entry.Point{point(entry.Tunnel{Kind: entry.GUE, Port: 5556})}, "change 192.0.2.10:80 -> 10.9.0.21:80 Tunnel 1 GUE 5556\nserver 192.0.2.10:80 -> 10.9.0.22:80 Tunnel 2 GUE 5556"},
		{"by MAC", nil, []entry.Point{point(entry.Tunnel{})},
			"change 192.0.2.10:80 -> 10.9.0.21:80 DirectRoute 1\nchange 192.0.2.10:80 -> 10.9.0.22:80 DirectRoute 2"},
		{"none", nil, nil, "no service 192.0.2.10:80"},
	} {
		if step.before != nil {
			kernel.said()
			step.before()
		}
		changed, err := table.Apply(step.points)
		if got := kernel.said(); err != nil || got != step.want || changed != (step.want != "") {
			t.Errorf("%s: changed %v (%v), want\n%s\ngot\n%s", step.name, changed, err, step.want, got)
		}
	}
	if len(kernel.services) != 1 || kernel.services[0].Address != theirs.Address {
		t.Errorf("what is somebody else's: %+v", kernel.services)
	}
}
