package e2e

import (
	"context"
	"crypto/md5"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
	"understudy/appliance/lab/probe"
)

// Ports of what the servers are checked by; each has one.
const (
	kaHTTP = 8080 + iota
	kaHTTPS
	kaSMTP
	kaDNS
	kaUDP
	kaTCP
)

// kaPage is what a web server of them says while it is well.
const kaPage = "all is well, load 7\n"

// keepalivedGateway are the instances of a load balancer, which move together.
const keepalivedGateway = `vrrp_sync_group gateway {
    group { lan wan }
}
vrrp_instance lan {
    interface lan0
    virtual_router_id 51
    version 3
    advert_int 0.1
    virtual_ipaddress { 10.0.0.1/24 }
}
vrrp_instance wan {
    interface wan0
    virtual_router_id 52
    version 3
    advert_int 0.1
    virtual_ipaddress {
        203.0.113.1/24
        203.0.113.10
    }
}
`

// keepalivedServers is a load balancer's configuration: a virtual_server for each kind of
// check, on a port of its own, with two servers each and the same service behind.
const keepalivedServers = `
global_defs {
    router_id lb
    enable_script_security
}
` + keepalivedGateway + `$SERVICE= \
virtual_server 203.0.113.10 ${PORT} { \
    delay_loop 1 \
    retry 1 \
    delay_before_retry 0.2 \
    connect_timeout 2 \
    lb_algo rr \
    lb_kind NAT \
    protocol TCP \
    ${MORE} \
    ~SEQ(N, 1, 2) ${ONE} \
}
$ONE= \
real_server 10.0.0.2${N} 443 { \
    notify_down "/run/lab/told down ${PORT} ${N}" \
    notify_up "/run/lab/told up ${PORT} ${N}" \
    ${CHECK} \
}
$MORE=
$PORT=9001
$CHECK= \
HTTP_GET { \
    connect_port 8080 \
    url { \
        path /health \
        status_code 200 \
        regex "LOAD [0-9]" \
        regex_options caseless \
    } \
    url { \
        path /health \
        digest ${DIGEST} \
    } \
}
$SERVICE
$PORT=9002
$CHECK= \
SSL_GET { \
    connect_port 8081 \
    url { \
        path /health \
        regex "dying" \
        regex_no_match \
    } \
}
$SERVICE
$PORT=9003
$CHECK= \
SMTP_CHECK { \
    connect_port 8082 \
    helo_name lb.example.org \
}
$SERVICE
$PORT=9004
$CHECK= \
DNS_CHECK { \
    connect_port 8083 \
    type A \
    name www.example.org \
    retry 1 \
    delay_before_retry 0.2 \
}
$SERVICE
$PORT=9005
$CHECK= \
UDP_CHECK { \
    connect_port 8084 \
    payload 70696e67 \
    require_reply 706fXX67 \
}
$SERVICE
$PORT=9006
$CHECK= \
TCP_CHECK { \
    connect_port 8085 \
}
$SERVICE
$PORT=9007
$CHECK= \
MISC_CHECK { \
    misc_path "/run/lab/weigh ${N}" \
    misc_dynamic \
}
$SERVICE
$PORT=9008
$CHECK= \
PING_CHECK { \
}
$SERVICE
$PORT=9009
$MORE= \
quorum 2 \
quorum_down "/run/lab/told few" \
quorum_up "/run/lab/told enough" \
sorry_server 10.0.0.23 443
$CHECK= \
TCP_CHECK { \
    connect_port 8085 \
}
$SERVICE
`

// checkedServer is a machine with everything that checks ask for.
type checkedServer struct {
	t    *testing.T
	node *lab.Node
	host netip.Addr
	sick atomic.Bool // of the web servers: they answer, and not well
	stop []func()
}

func (c *checkedServer) do(fn func() error) {
	c.t.Helper()
	if err := c.node.Do(fn); err != nil {
		c.t.Fatal(err)
	}
}

func (c *checkedServer) listen(port uint16) (l net.Listener) {
	c.do(func() (err error) {
		l, err = net.Listen("tcp", netip.AddrPortFrom(c.host, port).String())
		return err
	})
	c.stop = append(c.stop, func() { l.Close() })
	return l
}

func (c *checkedServer) packets(port uint16, answer func([]byte) []byte) {
	var conn net.PacketConn
	c.do(func() (err error) {
		conn, err = net.ListenPacket("udp", netip.AddrPortFrom(c.host, port).String())
		return err
	})
	c.stop = append(c.stop, func() { conn.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(b)
			if err != nil {
				return
			}
			_, _ = conn.WriteTo(answer(b[:n]), from)
		}
	}()
}

// talk accepts, and has each connection be spoken to.
func (c *checkedServer) talk(port uint16, say func(net.Conn)) {
	probe.Accept(c.listen(port), say)
}

func (c *checkedServer) start() {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c.sick.Load() {
			w.WriteHeader(http.StatusOK)
			fmt.Fprint(w, "I am dying\n")
			return
		}
		fmt.Fprint(w, kaPage)
	})
	for port, tls := range map[uint16]bool{kaHTTP: false, kaHTTPS: true} {
		s := httptest.NewUnstartedServer(page)
		s.Listener.Close()
		s.Listener = c.listen(port)
		if tls {
			s.StartTLS()
		} else {
			s.Start()
		}
		c.stop = append(c.stop, s.Close)
	}
	c.talk(kaSMTP, func(conn net.Conn) {
		b := make([]byte, 512)
		for _, say := range []string{"220 here\r\n", "250 hello\r\n", "221 goodbye\r\n"} {
			if _, err := conn.Write([]byte(say)); err != nil {
				return
			}
			if _, err := conn.Read(b); err != nil {
				return
			}
		}
	})
	c.packets(kaDNS, func(q []byte) []byte {
		var m dnsmessage.Message
		if m.Unpack(q) != nil {
			return nil
		}
		m.Response = true
		b, _ := m.Pack()
		return b
	})
	c.packets(kaUDP, func([]byte) []byte { return []byte("pong") })
	c.talk(kaTCP, func(conn net.Conn) { _, _ = conn.Read(make([]byte, 1)) })
	c.t.Cleanup(c.die)
}

// die ends everything that checks ask for, but for the service itself.
func (c *checkedServer) die() {
	for _, stop := range c.stop {
		stop()
	}
	c.stop = nil
}

// TestKeepalivedServers: a load balancer by its keepalived.conf. Of each kind of check, a
// server that is well gets traffic and one that is not does not, and programs are told.
func TestKeepalivedServers(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true})
	nodes := s.servers(3)
	var machines []*checkedServer
	for i, node := range nodes[:2] {
		m := &checkedServer{t: t, node: node, host: pair.ServerHost(i + 1)}
		m.start()
		machines = append(machines, m)
	}
	g := s.gw1
	s.must(g.Start())
	s.must(g.Kill())
	text := fmt.Sprintf("$DIGEST=%x\n", md5.Sum([]byte(kaPage))) + keepalivedServers
	s.must(g.WriteFile(keepalivedConf, []byte(text), 0o644))
	s.must(g.WriteFile("/run/lab/told", []byte("#!/bin/sh\necho \"$@\" >>/run/lab/heard\n"), 0o755))
	s.must(g.WriteFile("/run/lab/weigh", []byte("#!/bin/sh\nexit $(cat /run/lab/weight$1)\n"), 0o755))
	weigh := func(server, code int) {
		t.Helper()
		s.must(g.WriteFile(fmt.Sprintf("/run/lab/weight%d", server), fmt.Appendf(nil, "%d\n", code), 0o644))
	}
	weigh(1, 0)
	weigh(2, 0)
	if out := s.ok(g, "check", "--config", keepalivedConf); strings.Contains(out, "not carried over") {
		t.Fatalf("check says\n%s", out)
	}
	cmd := exec.Command("/bin/sh", "-c", `mount -t tmpfs tmpfs /var/lib && exec "$0" run --config `+keepalivedConf, binary)
	cmd.Stdout = lines{s.journal, g.Name + " | "}
	_, err := g.StartWith(cmd)
	s.must(err)
	s.wait("the gateway to be active", g.Is("active"))

	const first, last, sorry = 9001, 9009, 9009
	entry := func(port int) string { return fmt.Sprintf("vs-203.0.113.10-%d", port) }
	state := func(server int, want string, ports ...int) {
		t.Helper()
		for _, port := range ports {
			s.wait(fmt.Sprintf("server %d of %d to be %s", server, port, want), serverIs(g, entry(port), server, want))
		}
	}
	var all []int
	for port := first; port <= last; port++ {
		all = append(all, port)
	}
	state(1, "up", all...)
	state(2, "up", all...)
	// at is where new clients of a port are: with each of these servers, and no other.
	at := func(port int, servers ...byte) {
		t.Helper()
		want := map[byte]int{}
		for _, n := range servers {
			want[n] = 4 / len(servers)
		}
		s.wait(fmt.Sprintf("clients of %d to be with %q", port, servers), s.newcomers(netip.AddrPortFrom(entryAddress.Addr(), uint16(port)), 4, want))
	}
	for _, port := range all {
		at(port, '1', '2')
	}
	// What web servers say is looked at.
	machines[0].sick.Store(true)
	state(1, "down", 9001, 9002)
	at(9001, '2')
	at(9002, '2')
	machines[0].sick.Store(false)
	state(1, "up", 9001, 9002)
	at(9001, '1', '2')
	// The first server is dead for all but ping, the second has gone mad.
	machines[0].die()
	weigh(1, 1)
	state(1, "down", 9001, 9002, 9003, 9004, 9005, 9006, 9007, 9009)
	for _, port := range []int{9001, 9002, 9003, 9004, 9005, 9006, 9007} {
		at(port, '2')
	}
	at(9008, '1', '2')
	at(sorry, '3') // one server is less than the quorum
	weigh(2, 2)    // up, and weighs nothing
	s.wait("a server that weighs nothing to get nothing", func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err == nil && len(st.NAT.Entries) == len(all) && st.NAT.Entries[9007-first].Servers[1].Weight != 0 {
			err = fmt.Errorf("%+v", st.NAT.Entries[9007-first].Servers)
		}
		return err
	})
	s.must(nodes[0].UnplugAll())
	state(1, "down", 9008)
	at(9008, '2')
	// It comes back.
	s.must(nodes[0].PlugAll())
	machines[0].start()
	weigh(1, 0)
	state(1, "up", all...)
	at(9006, '1', '2')
	at(sorry, '1', '2')
	at(9007, '1')
	for _, line := range []string{"down 9003 1", "down 9008 1", "up 9003 1", "few", "enough"} {
		s.wait("a program to be told: "+line, func(context.Context) error {
			path, err := g.Path("/run/lab/heard")
			if err != nil {
				return err
			}
			heard, err := os.ReadFile(path)
			if err == nil && !strings.Contains("\n"+string(heard), "\n"+line+"\n") {
				err = fmt.Errorf("it heard %q", heard)
			}
			return err
		})
	}
}
