//go:build guest

package bonds

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"regexp"
	"slices"
	"strconv"
	"time"

	"understudy/appliance"
	"understudy/lacp"
	"understudy/lacp/lacpnet"
	"understudy/lacp/lacptest"
)

// sender opens the switch's end of a link.
func (s *scene) sender(i int) *lacpnet.Port {
	s.t.Helper()
	var p *lacpnet.Port
	s.must(s.sw.Do(func() (err error) { p, err = lacpnet.OpenPort(port(i)); return err }))
	s.t.Cleanup(func() { p.Close() })
	p.ShowOutgoing(false)
	return p
}

// member is what the gateway says of one of its links.
func (s *scene) member(i int) (m appliance.BondMember) {
	s.t.Helper()
	s.until("the member", func(st appliance.Status) error {
		for _, m = range st.Bonds[0].Members {
			if m.Interface == eth(i) {
				return nil
			}
		}
		return fmt.Errorf("%+v", st.Bonds[0].Members)
	})
	return m
}

// Frames of other subtypes, ethertypes and groups are counted, and that is all.
func (s *scene) ignoresOtherFrames() {
	s.t.Helper()
	since := time.Now()
	before := s.member(1)
	p := s.sender(1)
	frame := slices.Clone(lacptest.Find(s.t, "up_fast_insync").Frame)
	for _, change := range []func([]byte){
		func(b []byte) { b[14] = 10 },                // another subtype: OSSP, as for synchronous Ethernet
		func(b []byte) { b[14] = 3 },                 // OAM
		func(b []byte) { b[12], b[13] = 0x88, 0xcc }, // LLDP's ethertype
		func(b []byte) { b[5] = 0x0e },               // LLDP's group
	} {
		b := slices.Clone(frame)
		change(b)
		s.must(p.Send(b))
	}
	s.until("four frames to be refused", aggregate("ok", s.links), clean, func(st appliance.Status) error {
		if m := st.Bonds[0].Members[1]; m.Refused != before.Refused+4 || m.Receive != "current" || !m.Synchronized {
			return fmt.Errorf("%+v, before %+v", m, before)
		}
		return nil
	})
	s.serves(priority, since, names(port, s.links))
}

// A capture replayed with corruption, as fast as it goes: the gateway serves on, every
// frame is counted, nothing grows; and when it is over the link is as before.
func (s *scene) survivesAFlood() {
	s.t.Helper()
	s.reload(s.gw.weigh(-1))
	s.peer.put(1, nowhere)
	p := s.sender(1)
	seed := rand.Uint64()
	s.t.Logf("seed %d", seed)
	noise := lacptest.NewNoise(s.t, seed)
	before, memory, pids := s.member(1), s.memory(), s.pids()
	var sent uint64 // of what a port looks at
	for range 30_000 {
		f := noise.Next(14)
		s.must(p.Send(f))
		if lacp.MAC(f) == lacp.Group || binary.BigEndian.Uint16(f[12:]) == lacp.EtherType {
			sent++
		}
	}
	s.until("the flood to be found", func(st appliance.Status) error {
		if _, ok := find(st, "flood", eth(1)); !ok {
			return fmt.Errorf("%+v", st.Bonds[0])
		}
		return nil
	})
	last := lacptest.Find(s.t, "up_fast_insync").Frame
	s.until("every frame to be counted", func(st appliance.Status) error {
		s.must(p.Send(last)) // with it is told how many were lost
		m := st.Bonds[0].Members[1]
		n := func(m appliance.BondMember) uint64 { return m.Received + m.Markers + m.Looped + m.Refused + m.Lost }
		if got := n(m) - n(before); got < sent {
			return fmt.Errorf("%d of %d: %+v", got, sent, m)
		}
		return nil
	})
	m := s.member(1)
	s.t.Logf("%d frames: %+v", sent, m)
	if now := s.memory(); now > memory+32<<10 {
		s.t.Errorf("the gateway had %d KiB before, and %d after", memory, now)
	}
	if now := s.pids(); !slices.Equal(now, pids) {
		s.t.Errorf("its processes were %v, and are %v", pids, now)
	}
	s.net.passes("gw", slices.DeleteFunc(names(port, s.links), func(name string) bool { return name == port(1) })...)
	s.peer.put(1, home)
	s.until("the end of it", weighs(priority), clean, func(st appliance.Status) error {
		if _, ok := find(st, "flood", ""); ok {
			return fmt.Errorf("%+v", st.Bonds[0].Findings)
		}
		return nil
	})
	s.net.passes("gw", names(port, s.links)...)
}

func (s *scene) pids() []int {
	s.t.Helper()
	all, err := s.gw.Pids()
	s.must(err)
	slices.Sort(all)
	return all
}

var resident = regexp.MustCompile(`(?m)^VmRSS:\s+(\d+) kB`)

// memory is what the gateway's processes have, in KiB.
func (s *scene) memory() (all int) {
	s.t.Helper()
	for _, pid := range s.pids() {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		s.must(err)
		m := resident.FindSubmatch(b)
		if m == nil {
			s.t.Fatalf("process %d has no memory", pid)
		}
		n, err := strconv.Atoi(string(m[1]))
		s.must(err)
		all += n
	}
	return all
}
