package lognet_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"sync"
	"testing"
	"time"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/lab"
	"understudy/appliance/lab/probe"
	"understudy/nat"
	"understudy/nat/entry"
	"understudy/nat/entry/entrynet/lognet"
	"understudy/nat/nft"
	"understudy/nat/splice"
	"understudy/nat/splice/bytelog"
)

const patience = 30 * time.Second

// network is
//
//	client 192.0.2.9, 2001:db8:9::9 ── wan0 [gateway] lan0 ── server 10.0.0.21, 2001:db8:1::21
//
// with entry points of both families at the gateway's addresses, port 80.
type network struct {
	t                       *testing.T
	client, gateway, server *lab.Node
	logged                  *nft.Logged
	capture                 *lognet.Capture
	stop                    func()
}

var (
	webs = map[bool]netip.AddrPort{false: netip.MustParseAddrPort("192.0.2.1:80"), true: netip.MustParseAddrPort("[2001:db8:9::1]:80")}
	ats  = map[bool]netip.AddrPort{false: netip.MustParseAddrPort("10.0.0.21:8080"), true: netip.MustParseAddrPort("[2001:db8:1::21]:8080")}
)

func newNetwork(t *testing.T, cfg bytelog.Config) *network {
	l := lab.NewT(t)
	wan, lan := l.Segment("wan"), l.Segment("lan")
	n := &network{t: t, client: l.Node("client"), gateway: l.Node("gateway"), server: l.Node("server")}
	l.Join(n.client, wan, "eth0", "192.0.2.9/24", "2001:db8:9::9/64")
	l.Join(n.gateway, wan, "wan0", "192.0.2.1/24", "2001:db8:9::1/64")
	l.Join(n.gateway, lan, "lan0", "10.0.0.1/24", "2001:db8:1::1/64")
	l.Join(n.server, lan, "eth0", "10.0.0.21/24", "2001:db8:1::21/64")
	n.must(n.gateway.Sysctl("ipv4/ip_forward", "1"))
	n.must(n.gateway.Sysctl("ipv6/conf/all/forwarding", "1"))
	n.must(n.server.Route("default", "10.0.0.1"))
	n.must(n.server.Route("::/0", "2001:db8:1::1"))
	n.must(n.client.Route("10.0.0.0/24", "192.0.2.1"))
	var table *nft.Entries
	var points []entry.Point
	for six, web := range webs {
		points = append(points, entry.New(time.Now(), entry.Config{Name: fmt.Sprintf("web%v", six), Steer: entry.Primary, OnFailure: entry.Keep,
			Match:   entry.Match{Address: web.Addr(), Proto: nat.TCP, Ports: nat.Ports{First: web.Port(), Last: web.Port()}},
			Servers: []entry.Server{{Address: ats[six], Weight: 1}}}).Point())
	}
	n.must(n.gateway.Do(func() (err error) {
		if table, err = nft.OpenEntries(nft.Config{}); err != nil {
			return err
		}
		if n.logged, err = nft.OpenLogged(nft.Config{}); err != nil {
			return err
		}
		_, err = table.Apply(points)
		return err
	}))
	t.Cleanup(func() { n.must(errors.Join(table.Close(), n.logged.Close())) })
	n.open(cfg)
	return n
}

// open begins to capture.
func (n *network) open(cfg bytelog.Config) {
	n.t.Helper()
	servers := []netip.AddrPort{ats[false], ats[true]}
	log := bytelog.New(cfg)
	log.Serve(servers)
	n.must(n.gateway.Do(func() (err error) {
		if n.capture, err = lognet.Open(log); err != nil {
			return err
		}
		devices, err := lognet.Devices(servers)
		if err != nil || len(devices) != 1 || devices[0] != "lan0" {
			return fmt.Errorf("servers are reached by %v: %w", devices, err)
		}
		side := nft.Side{Index: n.capture.Index(), Peer: lognet.PeerName}
		if changed, err := n.logged.Apply(servers, devices, side); !changed || err != nil {
			return fmt.Errorf("nothing was written: %w", err)
		}
		if changed, err := n.logged.Apply(servers, devices, side); changed || err != nil {
			return fmt.Errorf("what is there was written again: %w", err)
		}
		return nil
	}))
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 1)
	capture := n.capture
	go func() { ran <- capture.Run(ctx) }()
	n.stop = sync.OnceFunc(func() { cancel(); n.must(errors.Join(<-ran, capture.Close())) })
	n.t.Cleanup(n.stop)
}

func (n *network) must(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

func (n *network) until(what string, ok func() bool) {
	n.t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			n.t.Fatalf("never: %s", what)
		}
	}
}

// listen has the server say these bytes to each who connects, and take what it hears; its end it
// does not say before the client's.
func (n *network) listen(at netip.AddrPort, words []byte) {
	n.t.Helper()
	var l net.Listener
	n.until("an address to listen at", func() bool {
		return n.server.Do(func() (err error) { l, err = net.Listen("tcp", at.String()); return err }) == nil
	})
	n.t.Cleanup(func() { l.Close() })
	probe.Accept(l, func(c net.Conn) {
		heard := make(chan struct{})
		go func() { defer close(heard); io.Copy(io.Discard, c) }()
		c.Write(words)
		<-heard
	})
}

func (n *network) dial(to netip.AddrPort) *net.TCPConn {
	n.t.Helper()
	var c net.Conn
	n.until("a connection", func() bool {
		return n.client.Do(func() (err error) { c, err = net.DialTimeout("tcp", to.String(), patience); return err }) == nil
	})
	n.t.Cleanup(func() { c.Close() })
	n.must(c.SetDeadline(time.Now().Add(3 * patience)))
	return c.(*net.TCPConn)
}

// talk says words, and hears as many bytes as there are to be heard.
func (n *network) talk(c net.Conn, words []byte, hear int) {
	n.t.Helper()
	said := make(chan error, 1)
	go func() { _, err := c.Write(words); said <- err }()
	_, err := io.CopyN(io.Discard, c, int64(hear))
	n.must(errors.Join(err, <-said))
}

// ends are those of a connection.
func ends(c net.Conn, six bool) splice.Ends {
	return splice.Ends{Server: ats[six], Client: c.LocalAddr().(*net.TCPAddr).AddrPort()}
}

// record has f look at a record when all has come.
func (n *network) record(e splice.Ends, f func(r *bytelog.Record)) {
	n.t.Helper()
	n.capture.Settled(func(l *bytelog.Log) {
		if r := l.Record(e); r != nil {
			f(r)
		} else {
			n.t.Errorf("%v is not logged; %+v", e, l.Status())
		}
	})
}

// status is how the log is.
func (n *network) status() (st bytelog.Status) {
	n.capture.Settled(func(l *bytelog.Log) { st = l.Status() })
	return st
}

// lose has a node drop three of a hundred packets at a hook.
func (n *network) lose(node *lab.Node, hook *nftables.ChainHook) {
	n.t.Helper()
	n.must(node.Do(func() error {
		c, err := nftables.New()
		if err != nil {
			return err
		}
		table := c.AddTable(&nftables.Table{Name: "loss", Family: nftables.TableFamilyINet})
		ch := c.AddChain(&nftables.Chain{Name: fmt.Sprint("at", *hook), Table: table, Type: nftables.ChainTypeFilter, Hooknum: hook, Priority: nftables.ChainPriorityMangle})
		c.AddRule(&nftables.Rule{Table: table, Chain: ch, Exprs: []expr.Any{
			&expr.Numgen{Register: 1, Modulus: 100, Type: unix.NFT_NG_RANDOM},
			&expr.Cmp{Op: expr.CmpOpLt, Register: 1, Data: []byte{3, 0, 0, 0}},
			&expr.Verdict{Kind: expr.VerdictDrop}}})
		return c.Flush()
	}))
}

func noise(seed uint64, n int) []byte {
	b := make([]byte, n)
	src := rand.NewChaCha8([32]byte{byte(seed)})
	src.Read(b)
	return b
}

// whole compares a record with what was said.
func whole(t *testing.T, r *bytelog.Record, asked, answered []byte) {
	t.Helper()
	if why := r.Refusal(); why != bytelog.None {
		t.Errorf("refused: %v; %d of %d, %d of %d bytes", why, r.Client.Len(), len(asked), r.Server.Len(), len(answered))
		return
	}
	got := make([]byte, r.Client.Len())
	if n := r.Client.ReadAt(got, 0); n != len(asked) || string(got) != string(asked) {
		t.Errorf("%d bytes of the client's are not the %d that it said", n, len(asked))
	}
	var check bytelog.Check
	if n, ok := check.Next(&r.Server, answered); !ok || n != len(answered) || r.Server.Len() != uint64(n) {
		t.Errorf("the server's %d bytes are not the %d that it said: %d, %v", r.Server.Len(), len(answered), n, ok)
	}
}

// Megabytes both ways, with loss before and behind the capture, without a wrong byte; others leave
// nothing in the ring; nothing is left at the end.
func TestWhatIsSaidIsLogged(t *testing.T) {
	n := newNetwork(t, bytelog.Config{PerConnection: 16 << 20})
	answer := noise(1, 2<<20)
	plain := netip.MustParseAddrPort("10.0.0.21:9090")
	for _, at := range []netip.AddrPort{ats[false], ats[true], plain} {
		n.listen(at, answer)
	}
	n.talk(n.dial(plain), noise(2, 1<<20), len(answer))
	if st := n.capture.Stats(); n.status().Segments != 0 || st != (lognet.Stats{}) {
		t.Errorf("a connection that is not protected left %+v", st)
	}
	n.lose(n.gateway, nftables.ChainHookForward)
	n.lose(n.server, nftables.ChainHookPrerouting)
	n.lose(n.server, nftables.ChainHookOutput)
	asked := noise(3, 1<<20)
	for _, six := range []bool{false, true} {
		c := n.dial(webs[six])
		n.talk(c, asked, len(answer))
		e := ends(c, six)
		// The client has heard all; what it said may still be under way.
		n.until("all was said", func() (all bool) {
			n.record(e, func(r *bytelog.Record) {
				all = r.Client.Acked() == uint64(len(asked)) && r.Server.Acked() == uint64(len(answer))
			})
			return all
		})
		n.record(e, func(r *bytelog.Record) {
			whole(t, r, asked, answer)
			if o := r.Client.Options(); o.MSS == 0 || !o.SACK || !o.Scaled || !o.Stamped || r.Server.Options().MSS == 0 {
				t.Errorf("the options are %+v and %+v", o, r.Server.Options())
			}
		})
		n.must(c.Close())
		n.until("it is over", func() (over bool) {
			n.capture.Settled(func(l *bytelog.Log) { over = l.Record(e) == nil })
			return over
		})
	}
	if st := n.status(); st.Memory != 0 || st.Unsound != 0 || st.Bytes != 2*uint64(len(asked)) || st.Refused != (bytelog.Counts{}).Refused {
		t.Errorf("%+v", st)
	}
	if st := n.capture.Stats(); st.Lost != 0 || st.Odd != 0 {
		t.Errorf("%+v", st)
	}
	n.swept()
}

// swept takes the log away, and what a program leaves that is killed.
func (n *network) swept() {
	n.t.Helper()
	n.stop()
	n.must(n.gateway.Do(func() error {
		if _, err := netlink.LinkByName(lognet.SideName); err != nil {
			return fmt.Errorf("the side device is gone with the capture: %w", err)
		}
		if changed, err := n.logged.Apply(nil, nil, nft.Side{}); !changed || err != nil {
			return fmt.Errorf("no table was there: %w", err)
		}
		if was, err := lognet.RemoveSide(); !was || err != nil {
			return fmt.Errorf("no side device was there: %w", err)
		}
		if was, err := lognet.RemoveSide(); was || err != nil {
			return fmt.Errorf("it is still there: %w", err)
		}
		for _, name := range []string{lognet.SideName, lognet.PeerName} {
			if _, err := netlink.LinkByName(name); err == nil {
				return fmt.Errorf("%s is left", name)
			}
		}
		return netlink.LinkAdd(&netlink.Bridge{LinkAttrs: netlink.LinkAttrs{Name: lognet.SideName}})
	}))
	n.must(n.gateway.Do(func() error {
		if _, err := lognet.Open(bytelog.New(bytelog.Config{})); !errors.Is(err, lognet.ErrForeign) {
			return fmt.Errorf("somebody else's interface was taken: %v", err)
		}
		return nil
	}))
}

// A log that is too slow has gaps, which are counted, and never a wrong byte.
func TestOverload(t *testing.T) {
	n := newNetwork(t, bytelog.Config{PerConnection: 256 << 20, Memory: 512 << 20})
	answer := []byte("answer")
	n.listen(ats[false], answer)
	quiet, busy := n.dial(webs[false]), n.dial(webs[false])
	n.talk(quiet, []byte("ask"), len(answer))
	n.talk(busy, []byte("ask"), len(answer))
	n.record(ends(quiet, false), func(r *bytelog.Record) { whole(t, r, []byte("ask"), answer) })
	n.capture.With(func(*bytelog.Log) { n.talk(busy, noise(4, 64<<20), 0) })
	st := n.status()
	if st.Lost == 0 || n.capture.Stats().Lost == 0 {
		t.Fatalf("nothing was lost: %+v, %+v", st, n.capture.Stats())
	}
	n.record(ends(quiet, false), func(r *bytelog.Record) {
		if why := r.Refusal(); why != bytelog.Lost {
			t.Errorf("of a connection that may have missed something: %q", why)
		}
	})
	// It has not, as its server's next word shows.
	n.talk(quiet, []byte("more"), 0)
	n.until("the quiet one is whole", func() (ok bool) {
		n.record(ends(quiet, false), func(r *bytelog.Record) { ok = r.Refusal() == bytelog.None })
		return ok
	})
	n.record(ends(quiet, false), func(r *bytelog.Record) { whole(t, r, []byte("askmore"), answer) })
	// The other has, and that is found when the gap is not filled.
	n.until("the gap is counted", func() bool {
		n.talk(busy, []byte("more"), 0)
		st := n.status()
		return st.Of(bytelog.Gap)+st.Of(bytelog.Lost) == 1
	})
	n.capture.Settled(func(l *bytelog.Log) {
		for r := range l.Records() {
			if r.Ends == ends(busy, false) && r.Refusal() != bytelog.Gap && r.Refusal() != bytelog.Lost {
				t.Errorf("the busy one: %v", r.Refusal())
			}
		}
	})
}

// Segments that somebody else makes up, with a right checksum or a wrong one.
func TestBogusSegments(t *testing.T) {
	n := newNetwork(t, bytelog.Config{})
	answer := []byte("answer")
	n.listen(ats[false], answer)
	c := n.dial(webs[false])
	n.talk(c, []byte("ask"), len(answer))
	var seq, ack uint32 // where the server is
	e := ends(c, false)
	n.record(e, func(r *bytelog.Record) { seq, ack = r.Server.ISN()+7, r.Client.ISN()+4 })
	raw := func(s splice.Segment, spoil bool) {
		b := splice.AppendPacket(nil, e.Server, e.Client, &s)
		b[8] = 1 // it gets no further than the gateway
		if spoil {
			b[len(b)-1] ^= 1
		}
		n.must(n.server.Do(func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_RAW, unix.IPPROTO_RAW)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Sendto(fd, b, 0, &unix.SockaddrInet4{Addr: e.Client.Addr().As4()})
		}))
	}
	was := n.status()
	raw(splice.Segment{Seq: seq, Ack: ack, Flags: splice.ACK, Window: 100, Data: []byte("bogus")}, true)
	n.until("a wrong checksum is counted", func() bool { return n.status().Unsound == was.Unsound+1 })
	raw(splice.Segment{Seq: seq + 1<<29, Ack: ack, Flags: splice.ACK, Window: 100, Data: []byte("bogus")}, false)
	n.until("what is outside the window is counted", func() bool { return n.status().Outside == was.Outside+1 })
	n.record(e, func(r *bytelog.Record) { whole(t, r, []byte("ask"), answer) })
	was = n.status()
	raw(splice.Segment{Seq: seq - 6, Ack: ack, Flags: splice.ACK, Window: 100, Data: []byte("answer")}, false)
	n.until("what is right is believed", func() bool { return n.status().Segments > was.Segments })
	n.record(e, func(r *bytelog.Record) { whole(t, r, []byte("ask"), answer) })
}

// Whoever takes the side device away ends the capture, and what was logged is in doubt.
func TestTheSideDeviceGoes(t *testing.T) {
	node := lab.NewT(t).Node("gateway")
	log := bytelog.New(bytelog.Config{})
	var c *lognet.Capture
	err := node.Do(func() error {
		// What a program that was killed has left is no obstacle.
		dead, err := lognet.Open(log)
		if err != nil {
			return err
		}
		if err = dead.Close(); err != nil {
			return err
		}
		c, err = lognet.Open(log)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.Settled(func(l *bytelog.Log) {
		if n := l.Status().Lost; n != 0 {
			t.Errorf("lost %d times before anything happened", n)
		}
	})
	if err := node.Do(func() error { _, err := lognet.RemoveSide(); return err }); err != nil {
		t.Fatal(err)
	}
	if err := c.Run(t.Context()); !errors.Is(err, unix.ENETDOWN) {
		t.Errorf("it ran to %v", err)
	}
	c.Settled(func(l *bytelog.Log) {
		if n := l.Status().Lost; n == 0 {
			t.Error("nothing is in doubt")
		}
	})
}
