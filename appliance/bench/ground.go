package bench

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"time"

	"github.com/vishvananda/netlink"

	"understudy/appliance/lab"
)

// program is what can be compared on a [ground].
type program interface {
	Name() string
	run(*lab.Node, setup) (*lab.Process, error)
}

// Where our files are on a node of a ground.
const (
	oursConf   = "/run/lab/understudy.toml"
	oursSocket = "/run/understudy/control.sock"
)

func (o ours) run(n *lab.Node, s setup) (*lab.Process, error) {
	binary := o.binary
	if binary == "" {
		var err error
		if binary, err = os.Executable(); err != nil {
			return nil, fmt.Errorf("bench: %w", err)
		}
	}
	if err := n.WriteFile(oursConf, []byte(s.understudy()), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "run", "--config", oursConf, "--control", oursSocket)
	if o.log != nil {
		cmd.Stdout = o.log
	}
	return n.StartWith(cmd)
}

// programs are ours and keepalived, in the order of a round.
func programs(b Beside) ([]program, error) {
	return []program{ours{binary: b.Binary, log: b.Log}, keepalived{}}, keepalived{}.Available()
}

// ground is a network of boxes alike, each with an interface on every segment,
// that forward between them. On segment k, box i is 10.k.0.(i+1).
type ground struct {
	*lab.Net
	segments []*lab.Segment
	boxes    []*lab.Node
	procs    []*lab.Process
	played   string
}

func newGround(boxes int, segments ...string) (_ *ground, err error) {
	g := &ground{Net: lab.New(), boxes: make([]*lab.Node, boxes), procs: make([]*lab.Process, boxes)}
	defer func() {
		if err != nil {
			err = errors.Join(err, g.Close())
		}
	}()
	for _, name := range segments {
		s, err := g.Segment(name)
		if err != nil {
			return nil, err
		}
		g.segments = append(g.segments, s)
	}
	for i := range g.boxes {
		n, err := g.Node(fmt.Sprintf("gw%d", i+1))
		if err != nil {
			return nil, err
		}
		g.boxes[i] = n
		for k, s := range g.segments {
			if _, err := n.Join(s, s.Name, fmt.Sprintf("10.%d.0.%d/16", k, i+1)); err != nil {
				return nil, err
			}
		}
		if err := n.Sysctl("ipv4/ip_forward", "1"); err != nil {
			return nil, err
		}
	}
	return g, nil
}

// play boots all boxes and starts the program on each, with the setup that make
// gives it; the first one gets the addresses.
func (g *ground) play(ctx context.Context, p program, make func(box int) setup) error {
	g.played = p.Name()
	for _, n := range g.boxes {
		if err := n.Kill(); err != nil {
			return err
		}
	}
	for i, n := range g.boxes {
		if err := n.Reboot(); err != nil {
			return err
		}
		var err error
		if g.procs[i], err = p.run(n, make(i)); err != nil {
			return err
		}
	}
	return g.wait(ctx, "all addresses on gw1", func() error { return g.complete(g.boxes[0], make(0)) })
}

// complete is a condition: a box has all addresses of its setup.
func (g *ground) complete(n *lab.Node, s setup) error {
	have, err := addressesOf(n)
	if err != nil {
		return err
	}
	missing := 0
	for _, a := range s.addresses() {
		if !have[a] {
			missing++
		}
	}
	if missing > 0 {
		return fmt.Errorf("%s lacks %d of %d addresses", n.Name, missing, len(s.addresses()))
	}
	return nil
}

// addressesOf is the set of IPv4 addresses that a node's kernel has.
func addressesOf(n *lab.Node) (map[netip.Addr]bool, error) {
	have := make(map[netip.Addr]bool)
	list, err := n.Netlink().AddrList(nil, netlink.FAMILY_V4)
	if err != nil {
		return nil, fmt.Errorf("bench: addresses of %s: %w", n.Name, err)
	}
	for _, a := range list {
		if ip, ok := netip.AddrFromSlice(a.IP); ok {
			have[ip.Unmap()] = true
		}
	}
	return have, nil
}

// wait looks at a condition until it is met.
func (g *ground) wait(ctx context.Context, what string, met func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := met()
		if err == nil {
			return nil
		}
		if sleep(ctx, 20*time.Millisecond) != nil {
			return fmt.Errorf("bench: %s: waited for %s: %w (%w)%s", g.played, what, err, context.Cause(ctx), g.logs())
		}
	}
}

// logs is how the program's output ends.
func (g *ground) logs() string {
	var b strings.Builder
	for i, p := range g.procs {
		if p == nil {
			continue
		}
		lines := strings.Split(strings.TrimSpace(p.Output()), "\n")
		for _, l := range lines[max(0, len(lines)-15):] {
			fmt.Fprintf(&b, "\n  %s | %s", g.boxes[i].Name, l)
		}
	}
	return b.String()
}
