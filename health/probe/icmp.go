package probe

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// Protocol numbers of IANA.
const (
	protocolICMP   = 1
	protocolICMPv6 = 58
)

// maxErrors bounds how many errors of the network one probe listens to.
const maxErrors = 16

// ICMPConfig is what to ping, and from where.
type ICMPConfig struct {
	Target    netip.Addr // a link-local one needs a zone or an Interface
	Source    netip.Addr // optional
	Interface string     // optional: send and hear on this one only
	Mark      uint32     // of what is sent; 0: none
}

// ICMP sends one echo request a probe (RFC 792, RFC 4443 section 4) and waits
// for the reply that carries the same random octets. An ICMP error, which anyone
// can forge, never decides: it only becomes the text of the timeout.
type ICMP struct {
	cfg ICMPConfig
	id  uint16
	seq uint16
}

var _ Prober = (*ICMP)(nil)

// NewICMP returns a prober. On a raw socket its requests have an identifier of
// their own, on a ping socket one that the kernel chooses.
func NewICMP(cfg ICMPConfig) (*ICMP, error) {
	cfg.Target, cfg.Source = cfg.Target.Unmap(), cfg.Source.Unmap()
	if err := checkAddresses(cfg.Target, cfg.Source, cfg.Interface); err != nil {
		return nil, fmt.Errorf("icmp: %w", err)
	}
	return &ICMP{cfg: cfg, id: uint16(1 + rand.IntN(0xffff))}, nil
}

// checkAddresses holds what all probes of a host have in common.
func checkAddresses(target, source netip.Addr, iface string) error {
	switch {
	case !target.IsValid():
		return errors.New("no target")
	case source.IsValid() && source.Is4() != target.Is4():
		return fmt.Errorf("source %v and target %v are of different families", source, target)
	case target.Is6() && target.IsLinkLocalUnicast() && target.Zone() == "" && iface == "":
		return fmt.Errorf("target %v is link-local: it needs an interface", target)
	}
	return nil
}

// Probe sends one request and waits for its reply.
func (p *ICMP) Probe(ctx context.Context) error {
	if err := p.ping(ctx); err != nil {
		return fmt.Errorf("icmp %v: %w", p.cfg.Target, err)
	}
	return nil
}

func (p *ICMP) ping(ctx context.Context) error {
	s, err := openEcho(p.cfg)
	if err != nil {
		return err
	}
	defer s.file.Close()
	// A read that is waiting ends with the context.
	defer context.AfterFunc(ctx, func() { _ = s.file.SetDeadline(time.Unix(1, 0)) })()

	p.seq++
	token := binary.BigEndian.AppendUint64(nil, rand.Uint64())
	token = binary.BigEndian.AppendUint64(token, rand.Uint64())
	request, err := p.request(token)
	if err != nil {
		return err
	}
	if _, err := s.file.Write(request); err != nil {
		return because(ctx, bare(err))
	}
	return p.await(ctx, s, token)
}

func (p *ICMP) request(token []byte) ([]byte, error) {
	m := icmp.Message{Type: ipv4.ICMPTypeEcho, Body: &icmp.Echo{ID: int(p.id), Seq: int(p.seq), Data: token}}
	if p.cfg.Target.Is6() {
		m.Type = ipv6.ICMPTypeEchoRequest // the kernel fills in its checksum
	}
	return m.Marshal(nil)
}

// await reads until the reply, or the end of the time.
func (p *ICMP) await(ctx context.Context, s *echoSocket, token []byte) error {
	buf := make([]byte, 1500)
	var said error
	for errs := 0; errs < maxErrors; {
		n, err := s.file.Read(buf)
		switch {
		case err == nil:
			if p.answers(s.payload(buf[:n]), token) {
				return nil
			}
		case ctx.Err() == nil:
			said = bare(err)
			errs++
		case said != nil:
			return fmt.Errorf("%w (%w)", context.Cause(ctx), said)
		default:
			return context.Cause(ctx)
		}
	}
	return said
}

// answers tells whether b is the reply to our request. The identifier is the
// kernel's affair on a ping socket; the token cannot be another's.
func (p *ICMP) answers(b, token []byte) bool {
	protocol := protocolICMP
	if p.cfg.Target.Is6() {
		protocol = protocolICMPv6
	}
	m, err := icmp.ParseMessage(protocol, b)
	if err != nil || m.Type != ipv4.ICMPTypeEchoReply && m.Type != ipv6.ICMPTypeEchoReply {
		return false
	}
	echo, ok := m.Body.(*icmp.Echo)
	return ok && echo.Seq == int(p.seq) && bytes.Equal(echo.Data, token)
}

// bare takes the file's name and the operation off an error: neither is news.
func bare(err error) error {
	if pe, ok := errors.AsType[*os.PathError](err); ok {
		return pe.Err
	}
	return err
}
