package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"time"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// conntrackd is conntrackd 1.4 in mode FTFW, its tables and buffers made large
// enough for what it is given, its filters off. direct: what it hears goes to the
// kernel at once (DisableExternalCache), instead of into a cache that is committed
// at a takeover.
func conntrackd(direct bool) contender {
	setting := "external cache"
	if direct {
		setting = "direct injection"
	}
	return contender{Software: "conntrackd", Setting: setting, build: func(ctx context.Context, sessions int) (*bed, error) {
		return conntrackdBed(ctx, direct, sessions)
	}}
}

// conntrackdAvailable tells whether it can be measured here.
func conntrackdAvailable() error {
	for _, name := range []string{"conntrackd", "nft"} {
		if _, err := exec.LookPath(name); err != nil {
			return fmt.Errorf("bench: %w (apt-get install conntrackd nftables)", err)
		}
	}
	return nil
}

const (
	conntrackdConf = "/run/lab/conntrackd.conf"
	conntrackdCtl  = "/run/conntrackd.ctl"
	conntrackdLock = "/run/conntrackd.lock"
)

// conntrackdConfig is a node's file. Sizes: sessions of the tables; the netlink
// buffer grows to 256 MB, sockets have 16 MB, a million objects wait to be sent again.
func conntrackdConfig(own, peer string, sessions int, direct bool) string {
	size := 1 << 15
	for size < sessions {
		size <<= 1
	}
	disable := "Off"
	if direct {
		disable = "On"
	}
	return fmt.Sprintf(`Sync {
	Mode FTFW {
		ResendQueueSize 1048576
		DisableExternalCache %s
	}
	UDP {
		IPv4_address %s
		IPv4_Destination_Address %s
		Port 3780
		Interface sync0
		SndSocketBuffer 16777216
		RcvSocketBuffer 16777216
		Checksum on
	}
}
General {
	HashSize %d
	HashLimit %d
	LogFile /run/conntrackd.log
	LockFile %s
	UNIX {
		Path %s
	}
	NetlinkBufferSize 67108864
	NetlinkBufferSizeMaxGrowth 268435456
}
`, disable, own, peer, size, 4*size, conntrackdLock, conntrackdCtl)
}

// conntrackdRules translate what our program does, and keep its own datagrams out
// of the table.
func conntrackdRules() string {
	return ruleset() + `table inet untracked {
  chain pre { type filter hook prerouting priority raw; udp dport 3780 notrack; }
  chain out { type filter hook output priority raw; udp dport 3780 notrack; }
}
`
}

type conntrackdPlane struct {
	*bed
	direct   bool
	sessions int
	procs    map[*pair.Gateway]*lab.Process
}

func conntrackdBed(ctx context.Context, direct bool, sessions int) (_ *bed, err error) {
	n, err := pair.New(pair.Options{NoSessions: true})
	if err != nil {
		return nil, err
	}
	b := &bed{net: n, active: n.Gateways[0], standby: n.Gateways[1]}
	p := &conntrackdPlane{bed: b, direct: direct, sessions: sessions, procs: map[*pair.Gateway]*lab.Process{}}
	b.plane = p
	defer func() {
		if err != nil {
			err = errors.Join(err, p.close())
		}
	}()
	for _, g := range n.Gateways {
		if err := errors.Join(g.Sysctl("ipv4/ip_forward", "1"), g.Sysctl("netfilter/nf_conntrack_events", "1"), patientUDP(g)); err != nil {
			return nil, err
		}
		if err := p.boot(ctx, g); err != nil {
			return nil, err
		}
	}
	return b, p.settle(ctx)
}

// boot gives a gateway that has just booted its rules, and starts the program.
func (p *conntrackdPlane) boot(ctx context.Context, g *pair.Gateway) error {
	if err := g.WriteFile(rulesetConf, []byte(conntrackdRules()), 0o644); err != nil {
		return err
	}
	nft, err := g.Node.Start("nft", "-f", rulesetConf)
	if err != nil {
		return err
	}
	if <-nft.Done(); nft.Err() != nil {
		return fmt.Errorf("bench: nft on %s: %w\n%s", g.Name, nft.Err(), nft.Output())
	}
	own, peer := "10.255.0.1", "10.255.0.2"
	if g == p.net.Gateways[1] {
		own, peer = peer, own
	}
	if err := g.WriteFile(conntrackdConf, []byte(conntrackdConfig(own, peer, p.sessions, p.direct)), 0o644); err != nil {
		return err
	}
	return p.start(ctx, g)
}

func (p *conntrackdPlane) start(ctx context.Context, g *pair.Gateway) error {
	proc, err := g.StartWith(exec.Command("conntrackd", "-C", conntrackdConf))
	if err != nil {
		return err
	}
	p.procs[g] = proc
	return waitUntil(ctx, patience, "conntrackd on "+g.Name, func(context.Context) error {
		select {
		case <-proc.Done():
			return fmt.Errorf("it has ended: %w\n%s", proc.Err(), proc.Output())
		default:
		}
		_, err := p.say(g, "-s")
		return err
	})
}

// say has the program's client carry out a command on a node, and returns what it
// printed.
func (p *conntrackdPlane) say(g *pair.Gateway, args ...string) (string, error) {
	c, err := g.StartWith(exec.Command("conntrackd", append([]string{"-C", conntrackdConf}, args...)...))
	if err != nil {
		return "", err
	}
	if <-c.Done(); c.Err() != nil {
		return "", fmt.Errorf("bench: conntrackd %s on %s: %w\n%s", strings.Join(args, " "), g.Name, c.Err(), c.Output())
	}
	return c.Output(), nil
}

// settle lets them find each other.
func (p *conntrackdPlane) settle(ctx context.Context) error { return sleep(ctx, 2*time.Second) }

func (p *conntrackdPlane) close() error {
	var errs []error
	for _, g := range p.net.Gateways {
		errs = append(errs, g.Kill(), g.FlushConntrack()) // as duo.close
	}
	return errors.Join(append(errs, p.net.Close())...)
}

func (p *conntrackdPlane) hot() bool { return p.direct }

func (p *conntrackdPlane) told(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		have, err := p.knows(ctx)
		if err == nil && have != n {
			err = fmt.Errorf("the standby has %d of %d", have, n)
		}
		return err
	}
}

// knows is the number of sessions that the standby has.
func (p *conntrackdPlane) knows(context.Context) (int, error) {
	if p.direct {
		return tracked(p.standby)
	}
	out, err := p.say(p.standby, "-s")
	if err != nil {
		return 0, err
	}
	return cacheSize(out, "external")
}

// cacheSize finds the number of entries of a cache in the program's statistics.
func cacheSize(stats, cache string) (int, error) {
	within := false
	sc := bufio.NewScanner(strings.NewReader(stats))
	for sc.Scan() {
		line := strings.TrimSpace(sc.Text())
		if name, ok := strings.CutPrefix(line, "cache "); ok {
			within = strings.TrimSuffix(name, ":") == cache
		}
		if value, ok := strings.CutPrefix(line, "current active connections:"); ok && within {
			return strconv.Atoi(strings.TrimSpace(value))
		}
	}
	return 0, fmt.Errorf("bench: no cache %s in the statistics of conntrackd:\n%s", cache, stats)
}

func (p *conntrackdPlane) takeover(ctx context.Context, stopped func()) (t Takeover, err error) {
	proc := p.procs[p.active]
	if err := proc.Signal(syscall.SIGKILL); err != nil {
		return t, fmt.Errorf("bench: kill conntrackd: %w", err)
	}
	<-proc.Done()
	stopped()
	// What it has sent is read by then, as it would be while a gateway's death is noticed.
	if err := sleep(ctx, 300*time.Millisecond); err != nil || p.direct {
		return t, err
	}
	before, err := tracked(p.standby)
	if err != nil {
		return t, err
	}
	n, err := p.knows(ctx)
	if err != nil {
		return t, err
	}
	began := time.Now()
	if _, err := p.say(p.standby, "-c"); err != nil {
		return t, err
	}
	last, moved := before, began
	for {
		have, err := tracked(p.standby)
		if err != nil {
			return t, err
		}
		now := time.Now()
		if have != last {
			last, moved = have, now
		}
		if have >= before+n || now.Sub(moved) > 2*time.Second { // some of them it may never commit
			break
		}
		if err := sleep(ctx, time.Millisecond); err != nil {
			return t, err
		}
	}
	t.MS, t.Installed = ms(moved.Sub(began)), last-before
	return t, nil
}

func (p *conntrackdPlane) resync(ctx context.Context, n int) (time.Duration, error) {
	if err := errors.Join(p.standby.Kill(), p.standby.FlushConntrack(), p.standby.Reboot()); err != nil {
		return 0, err
	}
	if err := p.boot(ctx, p.standby); err != nil {
		return 0, err
	}
	if err := p.settle(ctx); err != nil {
		return 0, err
	}
	began := time.Now()
	if _, err := p.say(p.standby, "-n"); err != nil {
		return 0, err
	}
	err := p.wait(ctx, fmt.Sprintf("%d sessions on a new standby", n), p.told(n))
	return time.Since(began), err
}

func (p *conntrackdPlane) restart(ctx context.Context, meanwhile func() error) error {
	proc := p.procs[p.active]
	if err := proc.Signal(syscall.SIGKILL); err != nil {
		return fmt.Errorf("bench: kill conntrackd: %w", err)
	}
	<-proc.Done()
	if err := meanwhile(); err != nil {
		return err
	}
	lock, err := p.active.Path(conntrackdLock) // it would not start beside it
	if err != nil {
		return err
	}
	if err := os.Remove(lock); err != nil {
		return fmt.Errorf("bench: %w", err)
	}
	if err := p.start(ctx, p.active); err != nil {
		return err
	}
	if err := p.settle(ctx); err != nil {
		return err
	}
	if _, err := p.say(p.active, "-B"); err != nil {
		return err
	}
	_, err = p.say(p.standby, "-n")
	return err
}
