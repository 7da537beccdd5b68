package probe_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/health/expect"
	"understudy/health/probe"
)

// echo answers each datagram with what reply makes of it, nil with nothing.
func echo(t *testing.T, node *lab.Node, at string, reply func([]byte) []byte) {
	t.Helper()
	var c net.PacketConn
	must(t, node.Do(func() (err error) { c, err = net.ListenPacket("udp", at); return err }))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 1500)
		for {
			k, from, err := c.ReadFrom(buf)
			if err != nil {
				return
			}
			if b := reply(buf[:k]); b != nil {
				_, _ = c.WriteTo(b, from)
			}
		}
	}()
	t.Cleanup(func() { c.Close(); <-ended })
}

func pattern(t *testing.T, s string) expect.Pattern {
	t.Helper()
	p, err := expect.ParsePattern(s)
	must(t, err)
	return p
}

func TestUDP(t *testing.T) {
	n := newNetwork(t)
	echo(t, n.b, ":7", func(b []byte) []byte { return append([]byte("echo "), b...) })
	echo(t, n.b, ":9", func([]byte) []byte { return nil })
	for _, tt := range []struct {
		name, target, send, expect string
		silent                     bool
		want                       string
	}{
		{"an answer", "10.1.0.2:7", "ping", "", false, ""},
		{"the right one", "10.1.0.2:7", "ping", "o ping", false, ""},
		{"the right one, by octets", "10.1.0.2:7", "\x01\x02", "hex:6563686F2001X2", false, ""},
		{"the wrong one", "10.1.0.2:7", "ping", "pong", false, `it answered "echo ping"`},
		{"IPv6", "[2001:db8:1::2]:7", "ping", "ping", false, ""},
		{"an empty datagram", "10.1.0.2:7", "", "echo ", false, ""},
		{"an answer where none is needed", "10.1.0.2:7", "ping", "", true, ""},
		{"silence that is allowed", "10.1.0.2:9", "ping", "", true, ""},
		{"silence that is not", "10.1.0.2:9", "ping", "", false, "udp 10.1.0.2:9: no answer"},
		{"nobody listens", "10.1.0.2:10", "ping", "", false, "udp 10.1.0.2:10: connection refused"},
		{"nobody listens, silence is allowed", "10.1.0.2:10", "ping", "", true, "connection refused"},
		{"nobody listens, IPv6", "[2001:db8:1::2]:10", "ping", "", true, "connection refused"},
		{"no route", "192.0.2.1:7", "ping", "", true, "network is unreachable"},
	} {
		p, err := probe.NewUDP(probe.UDPConfig{Endpoint: target(tt.target), Send: []byte(tt.send), Expect: pattern(t, tt.expect), Silent: tt.silent})
		must(t, err)
		limit := soon
		switch {
		case strings.HasSuffix(tt.want, "no answer"):
			limit = little
		case tt.name == "silence that is allowed": // for three quarters of that
			limit = 2 * time.Second
		}
		outcome(t, tt.name, tt.want, n.try(p, limit))
	}
}

// A router on the way that knows of no such host is believed, as silence would be.
func TestUDPHearsOfAHostThatIsNotThere(t *testing.T) {
	n := newNetwork(t)
	must(t, n.b.Sysctl("ipv4/ip_forward", "1"))
	must(t, n.a.Route("198.51.100.0/24", "10.1.0.2"))
	p, err := probe.NewUDP(probe.UDPConfig{Endpoint: target("198.51.100.7:7"), Silent: true})
	must(t, err)
	outcome(t, "unreachable", "network is unreachable", n.try(p, soon))
}

// mail talks like a mail server that says these lines, one an answer.
func mail(t *testing.T, node *lab.Node, at string, lines ...string) {
	t.Helper()
	var l net.Listener
	must(t, node.Do(func() (err error) { l, err = net.Listen("tcp", at); return err }))
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(c)
			for i, line := range lines {
				if i > 0 {
					heard, err := r.ReadString('\n')
					if err != nil {
						break
					}
					line = strings.ReplaceAll(line, "%", strings.TrimSpace(heard))
				}
				fmt.Fprint(c, line)
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { l.Close(); <-ended })
}

func TestSMTP(t *testing.T) {
	n := newNetwork(t)
	for i, tt := range []struct {
		name  string
		lines []string
		want  string
	}{
		{"a mail server", []string{"220 mail.example ESMTP\r\n", "250 %\r\n", "221 bye\r\n"}, ""},
		{"with a long greeting", []string{"220-mail.example\r\n220-ESMTP\r\n220 hello\r\n", "250-a\r\n250 b\r\n", "221 bye\r\n"}, ""},
		{"that takes no mail", []string{"554 no SMTP service here\r\n"}, `its greeting: 554 "no SMTP service here"`},
		{"that does not like us", []string{"220 mail\r\n", "550 you? (%)\r\n"}, `HELO gw1: 550 "you? (HELO gw1)"`},
		{"that does not let us go", []string{"220 mail\r\n", "250 ok\r\n", "500 what?\r\n"}, "QUIT: 500"},
		{"that hangs up", []string{""}, "its greeting: it hung up"},
		{"that is none", []string{"SSH-2.0-OpenSSH_9.2\r\n"}, "its greeting: "},
	} {
		at := fmt.Sprintf("10.1.0.2:%d", 2500+i)
		mail(t, n.b, at, tt.lines...)
		p, err := probe.NewSMTP(probe.SMTPConfig{Endpoint: target(at), Helo: "gw1"})
		must(t, err)
		outcome(t, tt.name, tt.want, n.try(p, soon))
	}
	serve := func(at, want string, limit time.Duration) {
		p, err := probe.NewSMTP(probe.SMTPConfig{Endpoint: target(at)})
		must(t, err)
		outcome(t, at, want, n.try(p, limit))
	}
	serve("10.1.0.2:26", "smtp 10.1.0.2:26: connection refused", soon)
	// One that accepts and says nothing.
	var l net.Listener
	must(t, n.b.Do(func() (err error) { l, err = net.Listen("tcp", ":27"); return err }))
	defer l.Close()
	serve("10.1.0.2:27", "no answer", 3*little)
}
