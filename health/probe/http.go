package probe

import (
	"bufio"
	"bytes"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"understudy/health/expect"
)

// HTTPConfig is what to ask a web server, and what answer is expected.
type HTTPConfig struct {
	Endpoint
	TLS    *TLSConfig    // nil: in the clear
	Method string        // "": GET
	Path   string        // with its query; "": /
	Host   string        // for the Host header; "": the target
	Status []expect.Span // of codes; none: 200 to 299
	Body   string        // must be in it
	Match  *regexp.Regexp
	Not    *regexp.Regexp // must not match
	Within Span           // where a match of either begins
	Digest expect.Digest  // of the whole of it
}

// TLSConfig is how a server proves who it is, and who we are.
type TLSConfig struct {
	Insecure   bool   // any certificate will do
	ServerName string // in the certificate, and asked for (SNI); "": of Host, or the target's address
	CAFile     string // "": the authorities that this machine trusts
	CertFile   string // for servers that ask who we are; with KeyFile
	KeyFile    string
}

// maxBody bounds what is read of a page, in octets.
const maxBody = 1 << 20

// HTTP asks a web server for a page (RFC 9110), by HTTP/1.1. Redirects are
// answers, and not followed; no proxy is used; each probe is a connection of its
// own.
type HTTP struct {
	cfg    HTTPConfig
	scheme string
	tls    *tls.Config // nil: in the clear
	match  func(body []byte) bool
	not    func(body []byte) bool
}

var _ Prober = (*HTTP)(nil)

// NewHTTP reads the certificates and returns a prober.
func NewHTTP(cfg HTTPConfig) (*HTTP, error) {
	p := &HTTP{cfg: cfg, scheme: "http"}
	if cfg.TLS != nil {
		p.scheme = "https"
	}
	var err error
	if p.cfg.Endpoint, err = cfg.Endpoint.checked(); err != nil {
		return nil, fmt.Errorf("%s: %w", p.scheme, err)
	}
	if p.cfg.Path == "" {
		p.cfg.Path = "/"
	}
	if p.cfg.Method == "" {
		p.cfg.Method = http.MethodGet
	}
	if len(p.cfg.Status) == 0 {
		p.cfg.Status = []expect.Span{{First: 200, Last: 299}}
	}
	if p.match, err = cfg.Within.finder(cfg.Match); err != nil {
		return nil, fmt.Errorf("%s: %w", p.scheme, err)
	}
	if p.not, err = cfg.Within.finder(cfg.Not); err != nil {
		return nil, fmt.Errorf("%s: %w", p.scheme, err)
	}
	if cfg.TLS != nil {
		if p.tls, err = p.certificates(); err != nil {
			return nil, fmt.Errorf("https: %w", err)
		}
	}
	if _, err := p.request(context.Background()); err != nil {
		return nil, fmt.Errorf("%s: %w", p.scheme, err)
	}
	return p, nil
}

func (p *HTTP) certificates() (*tls.Config, error) {
	t := p.cfg.TLS
	out := &tls.Config{InsecureSkipVerify: t.Insecure, ServerName: t.ServerName, MinVersion: tls.VersionTLS12}
	if out.ServerName == "" {
		out.ServerName = p.cfg.Target.Addr().WithZone("").String()
		if p.cfg.Host != "" {
			out.ServerName = p.cfg.Host
			if h, _, err := net.SplitHostPort(p.cfg.Host); err == nil {
				out.ServerName = h
			}
		}
	}
	if t.CAFile != "" {
		b, err := os.ReadFile(t.CAFile)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", t.CAFile, bare(err))
		}
		out.RootCAs = x509.NewCertPool()
		if !out.RootCAs.AppendCertsFromPEM(b) {
			return nil, fmt.Errorf("%s: no certificate in it", t.CAFile)
		}
	}
	if t.CertFile != "" {
		c, err := tls.LoadX509KeyPair(t.CertFile, t.KeyFile)
		if err != nil {
			return nil, err
		}
		out.Certificates = []tls.Certificate{c}
	}
	return out, nil
}

func (p *HTTP) request(ctx context.Context) (*http.Request, error) {
	path, err := url.ParseRequestURI(p.cfg.Path)
	if err != nil || path.Host != "" {
		return nil, fmt.Errorf("path %q is none", p.cfg.Path)
	}
	path.Scheme, path.Host = p.scheme, p.cfg.Target.String()
	r, err := http.NewRequestWithContext(ctx, p.cfg.Method, path.String(), nil)
	if err != nil {
		return nil, err
	}
	if r.Host = p.cfg.Host; r.Host == "" {
		r.Host = p.authority()
	}
	r.Header.Set("User-Agent", "understudy")
	r.Close = true
	return r, nil
}

// authority is the target as a Host header has it: a port that goes without saying
// is left out, and so is the zone, which is our own affair.
func (p *HTTP) authority() string {
	at := netip.AddrPortFrom(p.cfg.Target.Addr().WithZone(""), p.cfg.Target.Port())
	if usual := map[string]uint16{"http": 80, "https": 443}[p.scheme]; at.Port() == usual {
		return strings.TrimSuffix(at.String(), fmt.Sprintf(":%d", usual))
	}
	return at.String()
}

// Probe asks once.
func (p *HTTP) Probe(ctx context.Context) error {
	if err := p.ask(ctx); err != nil {
		return fmt.Errorf("%s %v%s: %w", p.scheme, p.cfg.Target, p.cfg.Path, err)
	}
	return nil
}

func (p *HTTP) ask(ctx context.Context) error {
	r, err := p.request(ctx)
	if err != nil {
		return err
	}
	conn, err := p.cfg.dial(ctx, "tcp")
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if p.tls != nil {
		c := tls.Client(conn, p.tls)
		if err := c.HandshakeContext(ctx); err != nil {
			return because(ctx, plain(err))
		}
		conn = c
	}
	if err := r.Write(conn); err != nil {
		return because(ctx, plain(err))
	}
	return p.read(ctx, r, conn)
}

// maxHead bounds what is read of an answer beside the page, in octets.
const maxHead = 64 << 10

func (p *HTTP) read(ctx context.Context, r *http.Request, conn net.Conn) error {
	b := bufio.NewReader(io.LimitReader(conn, maxHead+maxBody))
	resp, err := http.ReadResponse(b, r)
	for err == nil && resp.StatusCode < 200 && resp.StatusCode != http.StatusSwitchingProtocols {
		resp, err = http.ReadResponse(b, r) // RFC 9110 section 15.2: another one comes
	}
	if err != nil {
		return because(ctx, fmt.Errorf("no answer of HTTP: %w", plain(err)))
	}
	if !within(p.cfg.Status, resp.StatusCode) {
		return fmt.Errorf("status %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil && len(body) < maxBody {
		return because(ctx, fmt.Errorf("body: %w", plain(err)))
	}
	return p.judge(body, len(body) > maxBody || err != nil)
}

func within(spans []expect.Span, n int) bool {
	for _, s := range spans {
		if s.First <= n && n <= s.Last {
			return true
		}
	}
	return false
}

// judge looks at a body; long: there is more of it than was read.
func (p *HTTP) judge(body []byte, long bool) error {
	switch c := &p.cfg; {
	case c.Body != "" && !bytes.Contains(body, []byte(c.Body)):
		return fmt.Errorf("%.40q is not in its body", c.Body)
	case c.Match != nil && !p.match(body):
		return fmt.Errorf("its body does not match %.40q%v", c.Match, c.Within)
	case c.Not != nil && p.not(body):
		return fmt.Errorf("its body matches %.40q%v", c.Not, c.Within)
	case c.Digest.Sum == "":
	case long:
		return fmt.Errorf("its body is longer than %d bytes", maxBody)
	default:
		if got := digest(c.Digest.Hash, body); got != c.Digest {
			return fmt.Errorf("its body has another digest, %v", got)
		}
	}
	return nil
}

// digest is the hash of a page. MD5 is no security: it tells pages apart, as
// keepalived's genhash does.
func digest(hash string, body []byte) expect.Digest {
	if hash == "md5" {
		sum := md5.Sum(body)
		return expect.Digest{Hash: hash, Sum: hex.EncodeToString(sum[:])}
	}
	sum := sha256.Sum256(body)
	return expect.Digest{Hash: hash, Sum: hex.EncodeToString(sum[:])}
}
