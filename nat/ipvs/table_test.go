package ipvs

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/cloudflare/ipvs"
	"github.com/cloudflare/ipvs/netmask"

	"understudy/nat"
	"understudy/nat/entry"
)

func point(steer entry.Steer, ports uint16, persist time.Duration) *entry.Set {
	c := entry.Config{Name: "web", Steer: steer, Direct: true, OnFailure: entry.Reset, Persist: persist,
		Match: entry.Match{Address: netip.MustParseAddr("192.0.2.10"), Proto: nat.TCP, Ports: nat.Ports{First: 80, Last: 79 + ports}}}
	for i := range 3 {
		c.Servers = append(c.Servers, entry.Server{Address: netip.AddrPortFrom(netip.MustParseAddr(fmt.Sprintf("10.0.0.2%d", i)), 0), Check: fmt.Sprint(i), Weight: 1 + i})
	}
	return entry.New(time.Now(), c)
}

// Each way to steer has a scheduler, and servers weigh what they have of the slots.
func TestServices(t *testing.T) {
	for steer, want := range map[entry.Steer]string{
		entry.Primary: "wrr 1 0 0", entry.RoundRobin: "wrr 1 1 1", entry.Weighted: "wrr 1 2 3", entry.SourceHash: "sh 1 2 3",
	} {
		list, err := servicesOf(point(steer, 2, 0).Point())
		if err != nil || len(list) != 2 || list[1].Port != 81 {
			t.Fatalf("%v (%v)", list, err)
		}
		got := list[0].Scheduler
		for i := range 3 {
			got += fmt.Sprint(" ", list[0].to[netip.MustParseAddr(fmt.Sprintf("10.0.0.2%d", i))].Weight)
		}
		if got != want {
			t.Errorf("%s: %s, want %s", steer, got, want)
		}
	}
	if list, err := servicesOf(point(entry.ConsistentHash, 1, 0).Point()); err != nil || list[0].Scheduler != "mh" {
		t.Errorf("%v (%v)", list, err)
	}
	c := point(entry.SourceHash, 1, 0).Config()
	for c.ByPort = range map[bool]bool{false: true, true: true} {
		if list, err := servicesOf(entry.New(time.Now(), c).Point()); err != nil || list[0].Flags&ipvs.ServiceSchedulerOpt2 != 0 != c.ByPort {
			t.Errorf("by port %v: %v (%v)", c.ByPort, list, err)
		}
	}
	for prefix, want := range map[int]netmask.Mask{0: netmask.MaskFrom(32, 32), 20: netmask.MaskFrom(20, 32)} {
		p := point(entry.Primary, 1, time.Minute).Point()
		p.PersistPrefix = prefix
		if list, err := servicesOf(p); err != nil || list[0].Netmask != want || list[0].Timeout != 60 {
			t.Errorf("clients of a /%d: %v (%v)", prefix, list, err)
		}
	}
	if _, err := servicesOf(point(entry.Primary, mostPorts+1, 0).Point()); err == nil {
		t.Error("a range that is too long is taken")
	}
}

func TestConnectionLine(t *testing.T) {
	for line, want := range map[string]string{
		"TCP C0000209 A1B2 C000020A 0050 0A000015 0050 ESTABLISHED 899":                                                                                        "192.0.2.9:41394 192.0.2.10:80 6 10.0.0.21 false true",
		"TCP C0000209 A1B2 C000020A 0050 0A000015 0050 FIN_WAIT    119":                                                                                        "192.0.2.9:41394 192.0.2.10:80 6 10.0.0.21 true true",
		"UDP 2001:0db8:0009:0000:0000:0000:0000:0009 A1B2 2001:0db8:0009:0000:0000:0000:0000:0010 0035 [2001:0db8:0001:0000:0000:0000:0000:0021] 0035 UDP 299": "[2001:db8:9::9]:41394 [2001:db8:9::10]:53 17 2001:db8:1::21 false true",
		"Pro FromIP   FPrt ToIP     TPrt DestIP   DPrt State       Expires PEName PEData":                                                                      "invalid AddrPort invalid AddrPort 0 invalid IP false false",
		"": "invalid AddrPort invalid AddrPort 0 invalid IP false false",
	} {
		w, server, ok := connection(line)
		if got := fmt.Sprint(w.Client, " ", w.To, " ", w.Proto, " ", server, " ", w.Ended, " ", ok); got != want {
			t.Errorf("%q: %s, want %s", line, got, want)
		}
	}
}
