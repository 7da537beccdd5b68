package probe

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// DNSConfig is what to ask a name server, and what answer is expected.
type DNSConfig struct {
	Endpoint
	Name string // absolute; "": the root
	Type string // of expect.DNSTypes; "": SOA
	// Code is the answer's, of expect.DNSCodes; "": NOERROR. Any other is a failure,
	// SERVFAIL and REFUSED above all.
	Code string
	// Answers must all be among those that come, written as a zone file has their
	// data: "192.0.2.1", "10 mail.example.org.". None: it need not have any.
	Answers []string
}

var dnsTypes = map[string]dnsmessage.Type{
	"A": dnsmessage.TypeA, "AAAA": dnsmessage.TypeAAAA, "CNAME": dnsmessage.TypeCNAME, "MX": dnsmessage.TypeMX, "NS": dnsmessage.TypeNS,
	"PTR": dnsmessage.TypePTR, "SOA": dnsmessage.TypeSOA, "SRV": dnsmessage.TypeSRV, "TXT": dnsmessage.TypeTXT,
}

var dnsCodes = map[string]dnsmessage.RCode{
	"NOERROR": dnsmessage.RCodeSuccess, "FORMERR": dnsmessage.RCodeFormatError, "SERVFAIL": dnsmessage.RCodeServerFailure,
	"NXDOMAIN": dnsmessage.RCodeNameError, "NOTIMP": dnsmessage.RCodeNotImplemented, "REFUSED": dnsmessage.RCodeRefused,
}

// DNS asks a name server one question (RFC 1035), by UDP, and once more by TCP if
// the answer did not fit.
type DNS struct {
	cfg   DNSConfig
	query dnsmessage.Question
	code  dnsmessage.RCode
}

var _ Prober = (*DNS)(nil)

// NewDNS returns a prober.
func NewDNS(cfg DNSConfig) (*DNS, error) {
	p := &DNS{cfg: cfg}
	if err := p.make(); err != nil {
		return nil, fmt.Errorf("dns: %w", err)
	}
	return p, nil
}

func (p *DNS) make() (err error) {
	if p.cfg.Endpoint, err = p.cfg.checked(); err != nil {
		return err
	}
	name, kind, code := p.cfg.Name, p.cfg.Type, p.cfg.Code
	if !strings.HasSuffix(name, ".") {
		name += "."
	}
	if kind == "" {
		kind = "SOA"
	}
	if code == "" {
		code = "NOERROR"
	}
	p.query.Class = dnsmessage.ClassINET
	if p.query.Name, err = dnsmessage.NewName(name); err != nil {
		return fmt.Errorf("name %q: %w", name, err)
	}
	var ok bool
	if p.query.Type, ok = dnsTypes[kind]; !ok {
		return fmt.Errorf("there is no type %q", kind)
	}
	if p.code, ok = dnsCodes[code]; !ok {
		return fmt.Errorf("there is no code %q", code)
	}
	_, err = p.question(0)
	return err
}

// question is the message that asks.
func (p *DNS) question(id uint16) ([]byte, error) {
	m := dnsmessage.Message{Header: dnsmessage.Header{ID: id, RecursionDesired: true}, Questions: []dnsmessage.Question{p.query}}
	return m.Pack()
}

// Probe asks once.
func (p *DNS) Probe(ctx context.Context) error {
	err := p.ask(ctx, "udp")
	if errors.Is(err, errTruncated) {
		err = p.ask(ctx, "tcp")
	}
	if err != nil {
		return fmt.Errorf("dns %v: %w", p.cfg.Target, err)
	}
	return nil
}

var (
	errTruncated = errors.New("its answer did not fit")
	errNotMine   = errors.New("no answer to this question")
)

func (p *DNS) ask(ctx context.Context, network string) error {
	id := uint16(rand.Uint32())
	b, err := p.question(id)
	if err != nil {
		return err
	}
	conn, err := p.cfg.dial(ctx, network)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	read := readDatagram
	if network == "tcp" { // RFC 1035 section 4.2.2: the length before
		b = append(binary.BigEndian.AppendUint16(nil, uint16(len(b))), b...)
		read = readFramed
	}
	if _, err := conn.Write(b); err != nil {
		return because(ctx, plain(err))
	}
	buf := make([]byte, 1<<16)
	for {
		answer, err := read(conn, buf)
		if err != nil {
			return because(ctx, plain(err))
		}
		// What is no answer to this question anybody may have sent.
		if err := p.judge(answer, id); !errors.Is(err, errNotMine) {
			return err
		}
	}
}

func readDatagram(c net.Conn, buf []byte) ([]byte, error) {
	n, err := c.Read(buf)
	return buf[:n], err
}

func readFramed(c net.Conn, buf []byte) ([]byte, error) {
	if _, err := io.ReadFull(c, buf[:2]); err != nil {
		return nil, err
	}
	b := buf[:binary.BigEndian.Uint16(buf)]
	_, err := io.ReadFull(c, b)
	return b, err
}

// judge looks at an answer.
func (p *DNS) judge(b []byte, id uint16) error {
	var m dnsmessage.Parser
	h, err := m.Start(b)
	if err != nil || h.ID != id || !h.Response {
		return errNotMine
	}
	q, err := m.Question()
	if err == nil && (q.Type != p.query.Type || q.Class != p.query.Class || !strings.EqualFold(q.Name.String(), p.query.Name.String())) {
		return errNotMine
	}
	// A server that cannot read a question need not repeat it.
	if h.RCode != p.code {
		return fmt.Errorf("it answered %s", codeName(h.RCode))
	}
	if err != nil {
		return errNotMine
	}
	switch {
	case len(p.cfg.Answers) == 0:
		return nil
	case h.Truncated:
		return errTruncated
	}
	if err := m.SkipAllQuestions(); err != nil {
		return fmt.Errorf("its answer is garbled: %w", err)
	}
	return p.compare(&m)
}

// maxAnswers bounds how many records are looked at.
const maxAnswers = 1000

func (p *DNS) compare(m *dnsmessage.Parser) error {
	var got []string
	for range maxAnswers {
		r, err := m.Answer()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err != nil {
			return fmt.Errorf("its answer is garbled: %w", err)
		}
		if r.Header.Type == p.query.Type {
			got = append(got, dataText(r.Body))
		}
	}
	for _, want := range p.cfg.Answers {
		if !slices.ContainsFunc(got, func(s string) bool { return strings.EqualFold(s, absolute(want, p.query.Type)) }) {
			return fmt.Errorf("%.60q is not among its answers (%.120q)", want, got)
		}
	}
	return nil
}

// absolute is data as a zone file has it, where the final dot of a name was left
// out.
func absolute(data string, kind dnsmessage.Type) string {
	switch kind {
	case dnsmessage.TypeNS, dnsmessage.TypeCNAME, dnsmessage.TypePTR, dnsmessage.TypeMX, dnsmessage.TypeSRV, dnsmessage.TypeSOA:
		if !strings.HasSuffix(data, ".") {
			return data + "."
		}
	}
	return data
}

// dataText is the data of a record as a zone file has it; of a start of authority
// its first name server alone.
func dataText(body dnsmessage.ResourceBody) string {
	switch r := body.(type) {
	case *dnsmessage.AResource:
		return net.IP(r.A[:]).String()
	case *dnsmessage.AAAAResource:
		return net.IP(r.AAAA[:]).String()
	case *dnsmessage.NSResource:
		return r.NS.String()
	case *dnsmessage.CNAMEResource:
		return r.CNAME.String()
	case *dnsmessage.PTRResource:
		return r.PTR.String()
	case *dnsmessage.SOAResource:
		return r.NS.String()
	case *dnsmessage.MXResource:
		return fmt.Sprintf("%d %s", r.Pref, r.MX)
	case *dnsmessage.SRVResource:
		return fmt.Sprintf("%d %d %d %s", r.Priority, r.Weight, r.Port, r.Target)
	case *dnsmessage.TXTResource:
		return strings.Join(r.TXT, "")
	}
	return ""
}

// codeName is the name of a code as IANA has it.
func codeName(c dnsmessage.RCode) string {
	for name, code := range dnsCodes {
		if code == c {
			return name
		}
	}
	return fmt.Sprintf("code %d", c)
}
