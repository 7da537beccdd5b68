package probe_test

import (
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"understudy/appliance/lab"
	"understudy/health/probe"
)

// serveDNS answers questions by what their name begins with, by UDP and TCP.
func serveDNS(t *testing.T, node *lab.Node, at string) {
	t.Helper()
	var udp net.PacketConn
	var tcp net.Listener
	must(t, node.Do(func() (err error) {
		if udp, err = net.ListenPacket("udp", at); err == nil {
			tcp, err = net.Listen("tcp", at)
		}
		return err
	}))
	ended := make(chan struct{}, 2)
	go func() {
		defer func() { ended <- struct{}{} }()
		buf := make([]byte, 1500)
		for {
			k, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			for _, b := range dnsAnswers(buf[:k], false) {
				_, _ = udp.WriteTo(b, from)
			}
		}
	}()
	go func() {
		defer func() { ended <- struct{}{} }()
		for {
			c, err := tcp.Accept()
			if err != nil {
				return
			}
			var size [2]byte
			if _, err := io.ReadFull(c, size[:]); err == nil {
				q := make([]byte, binary.BigEndian.Uint16(size[:]))
				if _, err := io.ReadFull(c, q); err == nil {
					for _, b := range dnsAnswers(q, true) {
						_, _ = c.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...))
					}
				}
			}
			c.Close()
		}
	}()
	t.Cleanup(func() { udp.Close(); tcp.Close(); <-ended; <-ended })
}

// dnsAnswers is what a server says to a question.
func dnsAnswers(b []byte, whole bool) (out [][]byte) {
	var m dnsmessage.Message
	if m.Unpack(b) != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response = true
	pack := func() []byte { b, _ := m.Pack(); return b }
	h := dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 60}
	add := func(body dnsmessage.ResourceBody) {
		m.Answers = append(m.Answers, dnsmessage.Resource{Header: h, Body: body})
	}
	name := dnsmessage.MustNewName
	switch kind, _, _ := strings.Cut(q.Name.String(), "."); kind {
	case "servfail":
		m.RCode = dnsmessage.RCodeServerFailure
	case "servfail-bare": // as from one that did not even read the question
		m.RCode, m.Questions = dnsmessage.RCodeServerFailure, nil
	case "refused":
		m.RCode = dnsmessage.RCodeRefused
	case "nobody":
		m.RCode = dnsmessage.RCodeNameError
	case "silent":
		return nil
	case "strange": // answers to others, and one that is for us
		m.ID++
		out = append(out, pack(), []byte("garbage"))
		m.ID--
		m.Questions = []dnsmessage.Question{{Name: name("other.example."), Type: q.Type, Class: q.Class}}
		m.RCode = dnsmessage.RCodeServerFailure
		out = append(out, pack())
		m.Questions, m.RCode = []dnsmessage.Question{q}, dnsmessage.RCodeSuccess
		m.Response = false
		out = append(out, pack())
		m.Response = true
	case "long":
		if m.Truncated = !whole; whole {
			add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 9}})
		}
	case "garbled":
		b := pack()
		binary.BigEndian.PutUint16(b[6:], 3) // three answers that are not there
		return [][]byte{b}
	case "upper":
		m.Questions[0].Name = name(strings.ToUpper(q.Name.String()))
	default:
		switch q.Type {
		case dnsmessage.TypeA:
			add(&dnsmessage.CNAMEResource{CNAME: name("real.example.")})
			add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}})
			add(&dnsmessage.AResource{A: [4]byte{192, 0, 2, 2}})
		case dnsmessage.TypeAAAA:
			add(&dnsmessage.AAAAResource{AAAA: [16]byte{0x20, 1, 0xd, 0xb8, 15: 1}})
		case dnsmessage.TypeMX:
			add(&dnsmessage.MXResource{Pref: 10, MX: name("mail.example.")})
		case dnsmessage.TypeNS:
			add(&dnsmessage.NSResource{NS: name("ns1.example.")})
		case dnsmessage.TypePTR:
			add(&dnsmessage.PTRResource{PTR: name("host.example.")})
		case dnsmessage.TypeTXT:
			add(&dnsmessage.TXTResource{TXT: []string{"v=", "spf1"}})
		case dnsmessage.TypeSRV:
			add(&dnsmessage.SRVResource{Priority: 1, Weight: 2, Port: 389, Target: name("ldap.example.")})
		case dnsmessage.TypeCNAME:
			add(&dnsmessage.CNAMEResource{CNAME: name("real.example.")})
		case dnsmessage.TypeSOA:
			add(&dnsmessage.SOAResource{NS: name("ns1.example."), MBox: name("root.example.")})
		}
	}
	return append(out, pack())
}

func TestDNS(t *testing.T) {
	n := newNetwork(t)
	serveDNS(t, n.b, ":53")
	for _, tt := range []struct {
		name string
		cfg  probe.DNSConfig
		want string
	}{
		{"the root, as keepalived asks", probe.DNSConfig{}, ""},
		{"a name", probe.DNSConfig{Name: "www.example", Type: "A"}, ""},
		{"an answer", probe.DNSConfig{Name: "www.example.", Type: "A", Answers: []string{"192.0.2.2"}}, ""},
		{"several", probe.DNSConfig{Name: "www.example", Type: "A", Answers: []string{"192.0.2.2", "192.0.2.1"}}, ""},
		{"one that is missing", probe.DNSConfig{Name: "www.example", Type: "A", Answers: []string{"192.0.2.2", "192.0.2.3"}}, `"192.0.2.3" is not among its answers (["192.0.2.1" "192.0.2.2"])`},
		{"AAAA", probe.DNSConfig{Name: "www.example", Type: "AAAA", Answers: []string{"2001:db8::1"}}, ""},
		{"MX", probe.DNSConfig{Name: "www.example", Type: "MX", Answers: []string{"10 Mail.example"}}, ""},
		{"MX of another preference", probe.DNSConfig{Name: "www.example", Type: "MX", Answers: []string{"20 mail.example."}}, "is not among its answers"},
		{"NS", probe.DNSConfig{Name: "www.example", Type: "NS", Answers: []string{"ns1.example."}}, ""},
		{"PTR", probe.DNSConfig{Name: "1.2.0.192.in-addr.arpa", Type: "PTR", Answers: []string{"host.example"}}, ""},
		{"TXT", probe.DNSConfig{Name: "www.example", Type: "TXT", Answers: []string{"v=spf1"}}, ""},
		{"SRV", probe.DNSConfig{Name: "_ldap._tcp.example", Type: "SRV", Answers: []string{"1 2 389 ldap.example."}}, ""},
		{"CNAME", probe.DNSConfig{Name: "www.example", Type: "CNAME", Answers: []string{"real.example"}}, ""},
		{"SOA", probe.DNSConfig{Name: "example", Answers: []string{"ns1.example"}}, ""},
		{"IPv6", probe.DNSConfig{Endpoint: target("[2001:db8:1::2]:53")}, ""},
		{"letters of another size", probe.DNSConfig{Name: "upper.example"}, ""},
		{"answers of others before it", probe.DNSConfig{Name: "strange.example"}, ""},
		{"refused", probe.DNSConfig{Name: "refused.example"}, "it answered REFUSED"},
		{"no such name", probe.DNSConfig{Name: "nobody.example"}, "it answered NXDOMAIN"},
		{"no such name, and so it should be", probe.DNSConfig{Name: "nobody.example", Code: "NXDOMAIN"}, ""},
		{"a name that should not be", probe.DNSConfig{Name: "www.example", Code: "NXDOMAIN"}, "it answered NOERROR"},
		{"too long for a datagram", probe.DNSConfig{Name: "long.example", Type: "A", Answers: []string{"192.0.2.9"}}, ""},
		{"too long, and nobody cares", probe.DNSConfig{Name: "long.example", Type: "A"}, ""},
		{"garbled", probe.DNSConfig{Name: "garbled.example", Type: "A", Answers: []string{"192.0.2.9"}}, "its answer is garbled"},
		{"silent", probe.DNSConfig{Name: "silent.example"}, "dns 10.1.0.2:53: no answer"},
		{"nobody listens", probe.DNSConfig{Endpoint: target("10.1.0.2:54")}, "dns 10.1.0.2:54: connection refused"},
		{"nobody there", probe.DNSConfig{Endpoint: target("10.1.0.99:53")}, "no answer"},
	} {
		if !tt.cfg.Target.IsValid() {
			tt.cfg.Endpoint = target("10.1.0.2:53")
		}
		p, err := probe.NewDNS(tt.cfg)
		must(t, err)
		limit := soon
		if strings.HasSuffix(tt.want, "no answer") {
			limit = little
		}
		outcome(t, tt.name, tt.want, n.try(p, limit))
	}
}

// A name server that runs, listens, answers, and is of no use.
func TestDNSAnsweringSERVFAIL(t *testing.T) {
	n := newNetwork(t)
	serveDNS(t, n.b, ":53")
	tcp, err := probe.NewTCP(target("10.1.0.2:53"))
	must(t, err)
	outcome(t, "the port", "", n.try(tcp, soon))
	for _, name := range []string{"servfail.example", "servfail-bare.example"} {
		p, err := probe.NewDNS(probe.DNSConfig{Endpoint: target("10.1.0.2:53"), Name: name, Type: "A"})
		must(t, err)
		outcome(t, name, "it answered SERVFAIL", n.try(p, soon))
	}
}

func TestNewDNSRefuses(t *testing.T) {
	for want, cfg := range map[string]probe.DNSConfig{
		"no target":                       {},
		`no type "ANY"`:                   {Endpoint: target("10.0.0.1:53"), Type: "ANY"},
		`no code "YXDOMAIN"`:              {Endpoint: target("10.0.0.1:53"), Code: "YXDOMAIN"},
		"segment length in resource name": {Endpoint: target("10.0.0.1:53"), Name: strings.Repeat("a", 64)},
	} {
		_, err := probe.NewDNS(cfg)
		if err == nil {
			t.Errorf("%s: accepted", want)
		}
		if !strings.HasPrefix(want, "segment") {
			outcome(t, want, want, err)
		}
	}
}
