package e2e

import (
	"encoding/hex"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/lacp/lacpnet"
)

// lacpVector is a frame of package lacp's tests, with what a monitor says of a member
// that has just come up and hears it.
type lacpVector struct {
	name, reason, finding string
	frame                 []byte
}

func lacpVectors(t *testing.T) (all []lacpVector) {
	t.Helper()
	text, err := os.ReadFile("../../lacp/testdata/vectors.txt")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		word, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if word == "vector" {
			all = append(all, lacpVector{name: rest})
			continue
		}
		if len(all) == 0 {
			continue
		}
		switch v := &all[len(all)-1]; word {
		case "frame":
			if v.frame, err = hex.DecodeString(rest); err != nil {
				t.Fatal(err)
			}
		case "reason":
			v.reason = strings.TrimPrefix(rest, "-")
		case "finding":
			v.finding = strings.TrimPrefix(rest, "-")
		}
	}
	return all
}

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
	vectors := lacpVectors(t)
	well := vectors[slices.IndexFunc(vectors, func(v lacpVector) bool { return v.name == "up_fast_insync" })]
	ran := 0
	for _, v := range vectors {
		if v.reason != "" || v.finding == "" && v.name != well.name && v.name != "version_2_with_its_tlvs" {
			continue
		}
		ran++
		t.Run(v.name, func(t *testing.T) {
			t.Parallel()
			b := bare{lab.NewT(t), t}
			one, two := b.Node("one"), b.Node("two")
			for _, name := range []string{"eth0", "eth1"} {
				if err := one.Wire(name, two, name); err != nil {
					t.Fatal(err)
				}
			}
			// What the vectors' far end believes of us.
			args := []string{"lacp", "--json", "--system", "52:54:00:10:00:01", "--key", "15", "--interface", "eth0"}
			member := "eth0"
			if !strings.HasSuffix(v.name, "_the_other_way") {
				args = append(args, "--fast")
			}
			switch v.finding {
			case "passive_both":
				args = append(args, "--passive")
			case "different_partner_system", "different_partner_key":
				member = "eth1"
				args = append(args, "--interface", "eth1")
				repeat(t, two, "eth0", well.frame)
			}
			p, err := one.Start(binary, args...)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = p.Stop(time.Second) })
			if member == "eth1" {
				b.until(p, "the member that is well", func(s lacpSaid) error { return carries(s, "eth0") })
			}
			repeat(t, two, member, v.frame)
			if v.finding == "" {
				b.until(p, "an aggregate without a finding", aggregated(1))
				return
			}
			b.until(p, v.finding, found(v.finding, member))
		})
	}
	if ran < 14 {
		t.Errorf("%d vectors were sent", ran)
	}
}
