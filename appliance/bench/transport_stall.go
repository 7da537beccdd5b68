package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"sync"
	"time"

	"understudy/appliance/history"
	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// stallBed is a gateway, an entry point whose connections are moved, two servers that
// answer each line with it, and a machine with clients.
type stallBed struct {
	pair    *pair.Pair
	gateway *pair.Gateway
	nodes   []*lab.Node
	servers []*lineServer
}

var stallAddress = netip.MustParseAddrPort("203.0.113.10:80")

// Checks find out soon: what they take is not what is measured.
const (
	stallEvery = 50 * time.Millisecond
	stallFall  = 3
)

// stallPatience is how long a client may wait: longer than any retransmission that may
// still help it.
const stallPatience = 15 * time.Second

func newStallBed(ctx context.Context, o TransportOptions, m transportMode) (_ *stallBed, err error) {
	var extra, servers strings.Builder
	for i := 1; i <= 2; i++ {
		to := netip.AddrPortFrom(pair.ServerHost(i), 80)
		fmt.Fprintf(&extra, "[[check]]\nname = \"web%d\"\nkind = \"tcp\"\ntarget = %q\nevery = %q\nfall = %d\n", i, to, stallEvery, stallFall)
		fmt.Fprintf(&servers, "{ address = %q, check = \"web%d\" }, ", to, i)
	}
	fmt.Fprintf(&extra, "[[nat.entry]]\nname = \"web\"\naddress = \"%s/tcp\"\n%s\nservers = [%s]\n", stallAddress, m.keys, strings.TrimSuffix(servers.String(), ", "))
	b := &stallBed{}
	if b.pair, err = pair.New(pair.Options{Binary: o.Binary, Log: o.Log, NoSessions: true, Extra: extra.String()}); err != nil {
		return nil, err
	}
	b.gateway = b.pair.Gateways[0]
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	if b.nodes, err = b.pair.Servers(2); err != nil {
		return nil, err
	}
	for i, node := range b.nodes {
		s, err := serveLines(node, netip.AddrPortFrom(pair.ServerHost(i+1), 80))
		if err != nil {
			return nil, err
		}
		b.servers = append(b.servers, s)
	}
	if err := b.gateway.Start(); err != nil {
		return nil, err
	}
	if err := b.wait(ctx, "the gateway", b.gateway.Is("active")); err != nil {
		return nil, err
	}
	return b, b.up(ctx)
}

func (b *stallBed) close() error {
	for _, s := range b.servers {
		s.stop()
	}
	return b.pair.Close()
}

func (b *stallBed) wait(ctx context.Context, what string, met func(context.Context) error) error {
	bound, cancel := context.WithTimeout(ctx, deathPatience)
	defer cancel()
	return b.pair.Wait(bound, what, met)
}

// up waits until both servers are.
func (b *stallBed) up(ctx context.Context) error {
	return b.wait(ctx, "both servers to be up", func(ctx context.Context) error {
		st, err := b.gateway.Status(ctx)
		if err != nil {
			return err
		}
		for _, s := range st.NAT.Entries[0].Servers {
			if s.State != "up" {
				return fmt.Errorf("server %s is %s", s.Address, s.State)
			}
		}
		return nil
	})
}

// lineServer answers each line with it.
type lineServer struct {
	l    net.Listener
	mu   sync.Mutex
	open map[net.Conn]bool
	wait sync.WaitGroup
}

func serveLines(n *lab.Node, at netip.AddrPort) (*lineServer, error) {
	s := &lineServer{open: map[net.Conn]bool{}}
	if err := n.Do(func() (err error) { s.l, err = net.Listen("tcp", at.String()); return err }); err != nil {
		return nil, err
	}
	s.wait.Go(func() {
		for {
			c, err := s.l.Accept()
			if err != nil {
				return
			}
			s.mu.Lock()
			s.open[c] = true
			s.mu.Unlock()
			s.wait.Go(func() {
				for r := bufio.NewReader(c); ; {
					line, err := r.ReadSlice('\n')
					if err == nil {
						_, err = c.Write(line)
					}
					if err != nil {
						s.end(c)
						return
					}
				}
			})
		}
	})
	return s, nil
}

func (s *lineServer) end(c net.Conn) {
	s.mu.Lock()
	delete(s.open, c)
	s.mu.Unlock()
	c.Close()
}

// forget ends all connections without a word, as a reboot would.
func (s *lineServer) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	}
}

func (s *lineServer) stop() { s.l.Close(); s.forget(); s.wait.Wait() }

// lineClient asks over one connection.
type lineClient struct {
	conn    net.Conn
	r       *bufio.Reader
	when    string // it has asked
	said    string
	answer  time.Time
	err     error
	differs bool
}

func (c *lineClient) ask(line string) error {
	c.said = line + "\n"
	c.conn.SetDeadline(time.Now().Add(stallPatience))
	_, err := c.conn.Write([]byte(c.said))
	return err
}

func (c *lineClient) hear() {
	if _, c.err = c.r.Peek(1); c.err != nil {
		return
	}
	c.answer = time.Now()
	line, err := c.r.ReadString('\n')
	c.err, c.differs = err, line != c.said
}

// connect opens connections and asks once on each. The one before them, which is closed
// again, finds the way: what it waits for is not what a retransmission is to wait for.
func (b *stallBed) connect(n int) (all []*lineClient, err error) {
	first, err := b.open(1)
	closeLines(first)
	if err != nil {
		return nil, err
	}
	return b.open(n)
}

func (b *stallBed) open(n int) (all []*lineClient, err error) {
	defer func() {
		if err != nil {
			closeLines(all)
		}
	}()
	for i := range n {
		c := &lineClient{}
		if err := b.pair.Outside.Do(func() (err error) {
			d := net.Dialer{Timeout: stallPatience, KeepAlive: -1}
			c.conn, err = d.Dial("tcp", stallAddress.String())
			return err
		}); err != nil {
			return all, err
		}
		all = append(all, c)
		c.r = bufio.NewReader(c.conn)
		if err := c.ask(fmt.Sprint("first ", i)); err != nil {
			return all, err
		}
		if c.hear(); c.err != nil || c.differs {
			return all, fmt.Errorf("connection %d: its first line: %w", i, errors.Join(c.err))
		}
	}
	return all, nil
}

func closeLines(all []*lineClient) {
	for _, c := range all {
		c.conn.(*net.TCPConn).SetLinger(0)
		c.conn.Close()
	}
}

// decided waits until the gateway takes the first server for dead, and tells when that was.
func (b *stallBed) decided(ctx context.Context, after uint64) (time.Time, error) {
	for end := time.Now().Add(deathPatience); time.Now().Before(end); {
		a, err := b.gateway.Events(ctx, history.Query{Kind: history.Check, After: after}, time.Second)
		if err != nil {
			return time.Time{}, err
		}
		for _, e := range a.Events {
			if e.Subject == "web1" && e.To == "down" {
				return e.At, nil
			}
		}
		after = a.Rev
	}
	return time.Time{}, errors.New("the server's death was not noticed")
}

// measureStalls has the first server die under so many connections, again and again.
func measureStalls(ctx context.Context, o TransportOptions, m transportMode) (rows []StallRow, err error) {
	b, err := newStallBed(ctx, o, m)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("%w%s", err, b.pair.Logs())
		}
		err = errors.Join(err, b.close())
	}()
	for _, n := range o.Connections {
		all := &stalls{map[string][]float64{}, map[string]int{}, map[string]int{}}
		for death := range o.Deaths {
			if err := b.die(ctx, n, death, all); err != nil {
				return nil, err
			}
		}
		for _, row := range all.rows(m.name, n) {
			rows = append(rows, row)
			fmt.Fprintf(o.Progress, "%s, %d connections, asked %s the decision: first byte after %s / %s / %s ms, %d lost\n", m.name, n, row.Asked,
				number(row.Min), number(row.Median), number(row.Max), row.Lost)
		}
	}
	return rows, nil
}

// stalls are how long clients waited, and what went wrong, by when they asked.
type stalls struct {
	took        map[string][]float64
	lost, wrong map[string]int
}

// rows are one for each time at which anybody asked: a client that is alone asks at one of
// them only, at each death.
func (s *stalls) rows(mode string, connections int) (rows []StallRow) {
	for _, asked := range []string{askedBefore, askedAfter} {
		row := StallRow{Mode: mode, Connections: connections, Asked: asked, N: len(s.took[asked]), Lost: s.lost[asked], Wrong: s.wrong[asked]}
		if row.N+row.Lost+row.Wrong == 0 {
			continue
		}
		if t := sorted(s.took[asked]); len(t) > 0 {
			row.Min, row.Median, row.P90, row.Max = t[0], summarize(t).Median, t[len(t)*9/10], t[len(t)-1]
		}
		rows = append(rows, row)
	}
	return rows
}

// Of clients that asked.
const (
	askedBefore = "before"
	askedAfter  = "after"
)

// die is one death. Of each two clients one asks before the gateway notices; a client that
// is alone does so every other time.
func (b *stallBed) die(ctx context.Context, n, death int, s *stalls) error {
	all, err := b.connect(n)
	if err != nil {
		return err
	}
	defer closeLines(all)
	a, err := b.gateway.Events(ctx, history.Query{Last: 1}, 0)
	if err != nil {
		return err
	}
	if err := b.nodes[0].UnplugAll(); err != nil {
		return err
	}
	var wg sync.WaitGroup
	askAll := func(when string, first int) {
		for i := first % 2; i < n; i += 2 {
			c := all[i]
			c.when = when
			if c.err = c.ask(fmt.Sprint(when, " ", i)); c.err == nil {
				wg.Go(c.hear)
			}
		}
	}
	askAll(askedBefore, death)
	decision, err := b.decided(ctx, a.Rev)
	if err != nil {
		return err
	}
	askAll(askedAfter, death+1)
	wg.Wait()
	for _, c := range all {
		switch {
		case c.err != nil:
			s.lost[c.when]++
		case c.differs:
			s.wrong[c.when]++
		default:
			s.took[c.when] = append(s.took[c.when], ms(c.answer.Sub(decision)))
		}
	}
	b.servers[0].forget()
	if err := b.nodes[0].PlugAll(); err != nil {
		return err
	}
	return b.up(ctx)
}
