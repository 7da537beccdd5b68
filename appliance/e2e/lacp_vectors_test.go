package e2e

import (
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/lacp/lacpnet"
	"understudy/lacp/lacptest"
)

// repeat sends a frame by a node's interface each second, until the test ends.
func repeat(t *testing.T, n *lab.Node, name string, frame []byte) {
	t.Helper()
	var p *lacpnet.Port
	if err := n.Do(func() (err error) { p, err = lacpnet.OpenPort(name); return err }); err != nil {
		t.Fatal(err)
	}
	end, ended := make(chan struct{}), make(chan struct{})
	t.Cleanup(func() { close(end); <-ended; p.Close() })
	go func() {
		defer close(ended)
		for {
			_ = p.Send(frame)
			select {
			case <-end:
				return
			case <-time.After(time.Second):
			}
		}
	}()
}

// Every vector, sent by a far end that says nothing else: the program finds of it
// what it should, or nothing.
func TestLACPCommandFindsVectors(t *testing.T) {
	lab.Require(t)
	well := lacptest.Find(t, "up_fast_insync")
	ran := 0
	for _, v := range lacptest.Vectors(t) {
		if v.Reason != "" || v.Finding == "" && v.Name != well.Name && v.Name != "version_2_with_its_tlvs" {
			continue
		}
		ran++
		t.Run(v.Name, func(t *testing.T) {
			t.Parallel()
			b := newBare(t)
			one, two := b.Node("one"), b.Node("two")
			for _, name := range []string{"eth0", "eth1"} {
				if err := one.Wire(name, two, name); err != nil {
					t.Fatal(err)
				}
			}
			// What the vectors' far end believes of us.
			args := []string{"lacp", "--json", "--system", "52:54:00:10:00:01", "--key", "15", "--interface", "eth0"}
			member := "eth0"
			if !strings.HasSuffix(v.Name, "_the_other_way") {
				args = append(args, "--fast")
			}
			switch v.Finding {
			case "passive_both":
				args = append(args, "--passive")
			case "different_partner_system", "different_partner_key":
				member = "eth1"
				args = append(args, "--interface", "eth1")
				repeat(t, two, "eth0", well.Frame)
			}
			p, err := one.Start(binary, args...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Stop(time.Second) })
			if member == "eth1" {
				b.until(p, "the member that is well", func(s lacpSaid) error { return carries(s, "eth0") })
			}
			repeat(t, two, member, v.Frame)
			if v.Finding == "" {
				b.until(p, "an aggregate without a finding", aggregated(1))
				return
			}
			b.until(p, v.Finding, found(v.Finding, member))
		})
	}
	if ran < 14 {
		t.Errorf("%d vectors were sent", ran)
	}
}
