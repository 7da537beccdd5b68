package e2e

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os/exec"
	"time"

	"understudy/appliance/lab/capture"
	"understudy/appliance/lab/pair"
)

const (
	beatPort     = 7791
	headersOfUDP = 14 + 20 + 8 // of a frame, without options
	sequenceAt   = 16          // its first octet, in a beat: see the package heartbeat
)

// beats records what a server sends to a gateway.
func (s *scene) beats(to netip.Addr) (payloads func() [][]byte) {
	s.t.Helper()
	c, err := capture.Start(s.WAN, capture.Options{SnapLen: 512, Keep: func(f capture.Frame) bool {
		p := capture.Decode(f.Data)
		return f.From == s.Outside.Name && p.Dst == to && p.DstPort == beatPort
	}})
	s.must(err)
	s.t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			s.t.Error(err)
		}
	})
	return func() (out [][]byte) {
		for _, f := range c.Frames() {
			if p := capture.Decode(f.Data); p.DstPort == beatPort && len(f.Data) > headersOfUDP {
				out = append(out, f.Data[headersOfUDP:])
			}
		}
		return out
	}
}

// refused is a condition: so many more beats in the name of a check's server were refused
// for a reason.
func refused(g *pair.Gateway, check, reason string, more uint64) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, c := range st.Checks {
			if c.Name == check && c.Drops[reason] >= more {
				return nil
			}
		}
		return fmt.Errorf("%s: want %d refused as %s: %+v", g.Name, more, reason, st.Checks)
	}
}

// impostors take the place of a server that is silent: one says again what it has said
// lately, one changes it, one has another secret. None is believed, and each is counted.
// What the server says itself is, before and after.
func (s *scene) impostors() {
	s.t.Helper()
	gw := s.gw1
	said := s.beats(netip.MustParseAddr("203.0.113.2"))
	s.wait("beats to repeat", func(context.Context) error {
		if n := len(said()); n < 5 {
			return fmt.Errorf("%d beats", n)
		}
		return nil
	})
	s.must(s.Outside.Freeze())
	heard := said()

	// From another host, by another network, to another address of the gateway.
	var conn net.Conn
	s.must(s.Inside.Do(func() (err error) { conn, err = net.Dial("udp", fmt.Sprintf("10.0.0.2:%d", beatPort)); return err }))
	defer conn.Close()
	down := checkIs(gw, "pushed", "down")
	while := func(what string, say func(i int) []byte, met func(context.Context) error) {
		s.t.Helper()
		i := 0
		s.wait(what, func(ctx context.Context) error {
			for range 5 { // faster than the server would
				_, _ = conn.Write(say(i))
				i++
			}
			return met(ctx)
		})
	}
	while("a replay to be refused, and silence to be noticed", func(i int) []byte { return heard[i%len(heard)] },
		all(refused(gw, "pushed", "replay", 10), down))
	while("a changed beat to be refused", func(i int) []byte {
		b := append([]byte(nil), heard[len(heard)-1]...)
		b[sequenceAt] = byte(1 + i%200) // far above the last one
		return b
	}, all(refused(gw, "pushed", "forged", 10), down))

	other, err := exec.Command(binary, "keygen").Output()
	s.must(err)
	s.must(s.Inside.WriteFile("/run/lab/other.secret", other, 0o600))
	liar, err := s.Inside.Start(binary, "heartbeat", "--to", fmt.Sprintf("10.0.0.2:%d", beatPort),
		"--secret-file", "/run/lab/other.secret", "--name", "web1", "--every", "20ms")
	s.must(err)
	before := s.drops(gw, "pushed", "forged")
	s.wait("beats by another secret to be refused", all(refused(gw, "pushed", "forged", before+20), down))
	s.stays("nobody was believed", 500*time.Millisecond, down)
	_ = liar.Stop(patience)

	s.must(s.Outside.Thaw())
	s.wait("the server itself", checkIs(gw, "pushed", "up"))
}

func (s *scene) drops(g *pair.Gateway, check, reason string) uint64 {
	s.t.Helper()
	for _, c := range s.status(g).Checks {
		if c.Name == check {
			return c.Drops[reason]
		}
	}
	s.t.Fatalf("there is no check %s", check)
	return 0
}
