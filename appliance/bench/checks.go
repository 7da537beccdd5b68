package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"understudy/appliance/lab"
)

// ChecksOptions sets [RunChecks] up. The zero value measures 2,000 TCP checks a
// second, three times 20 s.
type ChecksOptions struct {
	Beside
	Checks int // each a second
	Window time.Duration
}

func (o ChecksOptions) withDefaults() ChecksOptions {
	o.Beside = o.Beside.withDefaults(3)
	if o.Checks <= 0 {
		o.Checks = 2000
	}
	if o.Window == 0 {
		o.Window = 20 * time.Second
	}
	return o
}

// ChecksReport is what [RunChecks] found. Its JSON form is a contract: keys may be
// added, never removed.
type ChecksReport struct {
	Machine  Machine     `json:"machine"`
	Checks   int         `json:"checks"`
	WindowMS float64     `json:"window_ms"`
	Rows     []ChecksRow `json:"rows"`
}

// ChecksRow is one program with so many checks.
type ChecksRow struct {
	Software string      `json:"software"`
	Checks   int         `json:"checks"`
	Cost     CostSummary `json:"cost"`
	Rate     Summary     `json:"rate"` // connections a second, as the servers saw them
	// EachUS is the processor time of a check: of all processes, less what they use
	// without checks (of ours; keepalived does nothing then), in microseconds.
	EachUS Summary `json:"each_us"`
	// Refused is why it cannot be measured here; empty: it can.
	Refused string `json:"refused,omitempty"`
	// Pretended: the kernel has no IPVS, and keepalived's checker was made to believe that
	// it has ([Pretend]).
	Pretended bool `json:"ipvs_pretended,omitempty"`
}

// The servers: addresses and ports of one node.
const (
	checkAddresses = 200
	checkPort      = 8000
)

// checksBed is a node that checks, and one that has all the servers.
type checksBed struct {
	*lab.Net
	gateway  *lab.Node
	accepted atomic.Int64
	close    func()
}

func newChecksBed(ports int) (_ *checksBed, err error) {
	b := &checksBed{Net: lab.New(), close: func() {}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.Close())
		}
	}()
	s, err := b.Segment("lan")
	if err != nil {
		return nil, err
	}
	if b.gateway, err = b.Node("gw1"); err != nil {
		return nil, err
	}
	servers, err := b.Node("servers")
	if err != nil {
		return nil, err
	}
	if _, err := b.gateway.Join(s, "lan0", "10.0.0.2/16"); err != nil {
		return nil, err
	}
	var addresses []string
	for i := range checkAddresses {
		addresses = append(addresses, netip.PrefixFrom(checkTarget(i).Addr(), 16).String())
	}
	if _, err := servers.Join(s, "lan0", addresses...); err != nil {
		return nil, err
	}
	return b, b.serve(servers, ports)
}

// checkTarget is the i-th server.
func checkTarget(i int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, 1, byte(1 + i%checkAddresses)}), uint16(checkPort+i/checkAddresses))
}

// serve accepts connections, and counts them.
func (b *checksBed) serve(servers *lab.Node, ports int) error {
	var wg sync.WaitGroup
	var open []net.Listener
	b.close = func() {
		for _, l := range open {
			l.Close()
		}
		wg.Wait()
	}
	for i := range ports {
		var l net.Listener
		if err := servers.Do(func() (err error) {
			l, err = net.Listen("tcp4", fmt.Sprintf(":%d", checkPort+i))
			return err
		}); err != nil {
			return fmt.Errorf("bench: servers: %w", err)
		}
		open = append(open, l)
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				b.accepted.Add(1)
				c.Close()
			}
		})
	}
	return nil
}

// checker is a program that checks servers.
type checker struct {
	name   string
	checks int
	start  func(n *lab.Node, checks int) (*lab.Process, error)
}

// RunChecks measures what TCP checks cost, ours and keepalived's, on the same
// servers in turn. When it returns, nothing of what it started is left.
func RunChecks(ctx context.Context, opt ChecksOptions) (_ *ChecksReport, err error) {
	opt = opt.withDefaults()
	r := &ChecksReport{Machine: thisMachine(time.Now()), Checks: opt.Checks, WindowMS: ms(opt.Window)}
	if err := (keepalived{}).Available(); err != nil {
		return nil, err
	}
	b, err := newChecksBed((opt.Checks + checkAddresses - 1) / checkAddresses)
	if err != nil {
		return nil, err
	}
	defer func() { b.close(); err = errors.Join(err, b.Close()) }()
	ours := func(n *lab.Node, checks int) (*lab.Process, error) { return startOurChecks(n, checks, opt.Beside) }
	pretended := !hasIPVS()
	theirs := func(n *lab.Node, checks int) (*lab.Process, error) {
		return startTheirChecks(n, checks, opt.Beside, pretended)
	}
	programs := []checker{{"understudy", 0, ours}, {"understudy", opt.Checks, ours}, {"keepalived", opt.Checks, theirs}}
	costs, rates := make([][]Cost, len(programs)), make([][]float64, len(programs))
	refused := make([]string, len(programs))
	for range opt.Runs {
		for i, p := range programs {
			if refused[i] != "" {
				continue
			}
			cost, rate, why, err := b.measure(ctx, opt, p)
			if err != nil {
				return nil, fmt.Errorf("bench: %d checks, %s: %w", p.checks, p.name, err)
			}
			if refused[i] = why; why != "" {
				opt.say("%s, %d checks: cannot be measured here: %s", p.name, p.checks, why)
				continue
			}
			opt.say("%s, %d checks: %.2f %% of a processor, %.1f MB; %.0f connections a second", p.name, p.checks, cost.CPU, cost.Memory, rate)
			costs[i], rates[i] = append(costs[i], cost), append(rates[i], rate)
		}
	}
	idle := sumCosts(costs[0]).CPU.Median
	for i, p := range programs {
		row := ChecksRow{Software: p.name, Checks: p.checks, Cost: sumCosts(costs[i]), Rate: summarize(rates[i]), Refused: refused[i]}
		var each []float64
		for k, c := range costs[i] {
			base := 0.0
			if p.name == programs[0].name {
				base = idle
			}
			if rates[i][k] > 0 {
				each = append(each, round((c.CPU-base)*1e4/rates[i][k])) // % of a second in us
			}
		}
		row.EachUS = summarize(each)
		row.Pretended = pretended && p.name != programs[0].name
		r.Rows = append(r.Rows, row)
	}
	r.Machine.LoadAfter = load()
	return r, nil
}

// measure runs a program until all its checks are made, and looks at it for a
// window. refused is why it makes none.
func (b *checksBed) measure(ctx context.Context, opt ChecksOptions, p checker) (cost Cost, rate float64, refused string, err error) {
	if err := b.gateway.Reboot(); err != nil {
		return cost, 0, "", err
	}
	proc, err := p.start(b.gateway, p.checks)
	if err != nil {
		return cost, 0, "", err
	}
	defer func() { err = errors.Join(err, b.gateway.Kill()) }()
	// All are made within a few seconds, or never.
	const settle = 20
	for i := 0; ; i++ {
		before := b.accepted.Load()
		if err := sleep(ctx, time.Second); err != nil {
			return cost, 0, "", err
		}
		select {
		case <-proc.Done():
			return cost, 0, whyNot(proc.Output()), nil
		default:
		}
		if n := b.accepted.Load() - before; i >= 5 && n >= int64(p.checks)*95/100 {
			break
		}
		if i == settle {
			return cost, 0, whyNot(proc.Output()), nil
		}
	}
	began, first := time.Now(), b.accepted.Load()
	before, err := cpuOf(b.gateway)
	if err != nil {
		return cost, 0, "", err
	}
	if err := sleep(ctx, opt.Window); err != nil {
		return cost, 0, "", err
	}
	after, err := cpuOf(b.gateway)
	if err != nil {
		return cost, 0, "", err
	}
	took := time.Since(began).Seconds()
	cost.CPU = round(100 * (after - before).Seconds() / took)
	rate = round(float64(b.accepted.Load()-first) / took)
	cost.Memory, err = memoryOf(b.gateway)
	return cost, rate, "", err
}

// whyNot is why a program makes no checks, by what it says. keepalived's checker
// ends where the kernel has no IPVS.
func whyNot(said string) string {
	lines := strings.Split(strings.TrimSpace(said), "\n")
	for _, l := range slices.Backward(lines) {
		if strings.Contains(strings.ToLower(l), "ipvs") {
			return "it needs IPVS, which this kernel has not: " + l
		}
	}
	return "it makes too few checks; it said last: " + strings.Join(lines[max(0, len(lines)-3):], " | ")
}

// startOurChecks starts ours with one router and so many checks.
func startOurChecks(n *lab.Node, checks int, o Beside) (*lab.Process, error) {
	binary, err := o.program()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("node = \"gw1\"\n\n[[router]]\nname = \"lan\"\ninterface = \"lan0\"\nvrid = 51\naddresses = [\"10.0.9.1/16\"]\n")
	for i := range checks {
		fmt.Fprintf(&b, "\n[[check]]\nname = \"c%d\"\nkind = \"tcp\"\ntarget = %q\nevery = \"1s\"\n", i, checkTarget(i))
	}
	if err := n.WriteFile(oursConf, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	cmd := exec.Command(binary, "run", "--config", oursConf, "--control", oursSocket)
	if o.Log != nil {
		cmd.Stdout = o.Log
	}
	return n.StartWith(cmd)
}

// program is the path of this program.
func (o Beside) program() (string, error) {
	if o.Binary != "" {
		return o.Binary, nil
	}
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("bench: %w", err)
	}
	return self, nil
}

// startTheirChecks starts keepalived's checker alone, with as many real servers,
// 200 behind each virtual one.
func startTheirChecks(n *lab.Node, checks int, o Beside, pretended bool) (*lab.Process, error) {
	binary, err := o.program()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	b.WriteString("global_defs {\n}\n")
	for i := range checks {
		if i%checkAddresses == 0 {
			if i > 0 {
				b.WriteString("}\n")
			}
			fmt.Fprintf(&b, "virtual_server 10.0.9.%d 80 {\n  delay_loop 1\n  lb_algo rr\n  lb_kind NAT\n  protocol TCP\n", 1+i/checkAddresses)
		}
		t := checkTarget(i)
		fmt.Fprintf(&b, "  real_server %s %d {\n    TCP_CHECK {\n      connect_timeout 1\n    }\n  }\n", t.Addr(), t.Port())
	}
	b.WriteString("}\n")
	if err := n.WriteFile(keepalivedConf, []byte(b.String()), 0o644); err != nil {
		return nil, err
	}
	command := []string{"keepalived", "--check", "--dont-fork", "--log-console", "--use-file", keepalivedConf,
		"--pid", "/run/keepalived.pid", "--checkers_pid", "/run/checkers.pid"}
	if pretended {
		command = append([]string{binary, "bench", PretendCommand, "--"}, command...)
	}
	return n.StartWith(exec.Command(command[0], command[1:]...))
}
