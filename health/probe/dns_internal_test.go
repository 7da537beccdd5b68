package probe

import (
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/dns/dnsmessage"

	"understudy/health/expect"
)

func dnsProber(t testing.TB, cfg DNSConfig) *DNS {
	t.Helper()
	cfg.Target = netip.MustParseAddrPort("192.0.2.53:53")
	p, err := NewDNS(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// Every word that a configuration may have is one that a prober knows.
func TestDNSKnowsEveryWord(t *testing.T) {
	for _, kind := range expect.DNSTypes() {
		dnsProber(t, DNSConfig{Type: kind})
	}
	for _, code := range expect.DNSCodes() {
		dnsProber(t, DNSConfig{Code: code})
	}
	if len(expect.DNSTypes()) != len(dnsTypes) || len(expect.DNSCodes()) != len(dnsCodes) {
		t.Error("a prober knows words that a configuration may not have")
	}
}

// FuzzDNSAnswer: whatever comes, a success is an answer to this question, with the
// code and the data that were expected.
func FuzzDNSAnswer(f *testing.F) {
	p := dnsProber(f, DNSConfig{Name: "www.example", Type: "A", Answers: []string{"192.0.2.1"}})
	const id = 7
	good := dnsmessage.Message{Header: dnsmessage.Header{ID: id, Response: true}, Questions: []dnsmessage.Question{p.query},
		Answers: []dnsmessage.Resource{
			{Header: dnsmessage.ResourceHeader{Name: p.query.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.AResource{A: [4]byte{192, 0, 2, 1}}},
			{Header: dnsmessage.ResourceHeader{Name: p.query.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.TXTResource{TXT: []string{"a", "b"}}},
			{Header: dnsmessage.ResourceHeader{Name: p.query.Name, Class: dnsmessage.ClassINET}, Body: &dnsmessage.MXResource{Pref: 1, MX: p.query.Name}},
		}}
	for _, change := range []func(){func() {}, func() { good.RCode = dnsmessage.RCodeServerFailure }, func() { good.RCode, good.Truncated = 0, true },
		func() { good.Truncated, good.Questions = false, nil }} {
		change()
		b, err := good.Pack()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		err := p.judge(b, id)
		if err != nil {
			if len(err.Error()) > 1000 {
				t.Fatalf("a reason of %d octets", len(err.Error()))
			}
			return
		}
		var m dnsmessage.Parser
		h, perr := m.Start(b)
		if perr != nil || h.ID != id || !h.Response || h.RCode != dnsmessage.RCodeSuccess || h.Truncated {
			t.Fatalf("taken: %+v, %v", h, perr)
		}
		q, perr := m.Question()
		if perr != nil || !strings.EqualFold(q.Name.String(), "www.example.") || q.Type != dnsmessage.TypeA {
			t.Fatalf("taken, to the question %+v, %v", q, perr)
		}
	})
}
