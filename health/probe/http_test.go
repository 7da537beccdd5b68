package probe_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"understudy/appliance/lab"
	"understudy/health/expect"
	"understudy/health/probe"
)

// pages is a web server with a page for each way to fail.
func pages() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) { fmt.Fprintf(w, "%s %s ready", r.Method, r.Host) })
	mux.HandleFunc("/broken", func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "ready? no", http.StatusInternalServerError)
	})
	mux.HandleFunc("/elsewhere", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/", http.StatusFound) })
	mux.HandleFunc("/query", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.URL.RawQuery) })
	mux.HandleFunc("/big", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, strings.Repeat("x", 3<<20), "ready") })
	mux.HandleFunc("/cut", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "ready")
	})
	mux.HandleFunc("/hangs", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		fmt.Fprint(w, "ready")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
	return mux
}

// serveHTTP runs a web server in a node until the end of the test.
func serveHTTP(t *testing.T, node *lab.Node, at string, s *http.Server) {
	t.Helper()
	var l net.Listener
	must(t, node.Do(func() (err error) { l, err = net.Listen("tcp", at); return err }))
	if s.TLSConfig != nil {
		l = tls.NewListener(l, s.TLSConfig)
	}
	s.ErrorLog = log.New(discard{}, "", 0)
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	t.Cleanup(func() { s.Close(); <-ended })
}

type discard struct{}

func (discard) Write(b []byte) (int, error) { return len(b), nil }

func target(s string) probe.Endpoint { return probe.Endpoint{Target: netip.MustParseAddrPort(s)} }

func digestOf(hash, body string) expect.Digest {
	if hash == "md5" {
		sum := md5.Sum([]byte(body))
		return expect.Digest{Hash: hash, Sum: hex.EncodeToString(sum[:])}
	}
	sum := sha256.Sum256([]byte(body))
	return expect.Digest{Hash: hash, Sum: hex.EncodeToString(sum[:])}
}

func TestHTTP(t *testing.T) {
	n := newNetwork(t)
	serveHTTP(t, n.b, ":80", &http.Server{Handler: pages()})
	const at = "10.1.0.2:80"
	thirteen := 13
	for _, tt := range []struct {
		name string
		cfg  probe.HTTPConfig
		want string
	}{
		{"a page", probe.HTTPConfig{}, ""},
		{"IPv6", probe.HTTPConfig{Endpoint: target("[2001:db8:1::2]:80"), Body: "GET [2001:db8:1::2] ready"}, ""},
		{"its host", probe.HTTPConfig{Host: "www.example.org", Body: "GET www.example.org ready"}, ""},
		{"without one", probe.HTTPConfig{Body: "GET 10.1.0.2 ready"}, ""},
		{"a method", probe.HTTPConfig{Method: "OPTIONS", Body: "OPTIONS"}, ""},
		{"HEAD", probe.HTTPConfig{Method: "HEAD"}, ""},
		{"a query", probe.HTTPConfig{Path: "/query?a=b%20c", Body: "a=b%20c"}, ""},
		{"from a source", probe.HTTPConfig{Endpoint: probe.Endpoint{Target: netip.MustParseAddrPort(at), Source: addr("10.1.0.11")}}, ""},
		{"on an interface", probe.HTTPConfig{Endpoint: probe.Endpoint{Target: netip.MustParseAddrPort("10.2.0.2:80"), Interface: "eth1"}}, ""},
		{"on the wrong one", probe.HTTPConfig{Endpoint: probe.Endpoint{Target: netip.MustParseAddrPort(at), Interface: "eth1"}}, "http 10.1.0.2:80/: no answer"},
		{"500", probe.HTTPConfig{Path: "/broken"}, "http 10.1.0.2:80/broken: status 500"},
		{"500, and so it should be", probe.HTTPConfig{Path: "/broken", Status: []expect.Span{{First: 404, Last: 404}, {First: 500, Last: 503}}}, ""},
		{"404", probe.HTTPConfig{Path: "/query", Status: []expect.Span{{First: 404, Last: 404}}}, "status 200"},
		{"a redirect is not followed", probe.HTTPConfig{Path: "/elsewhere"}, "status 302"},
		{"a redirect is an answer", probe.HTTPConfig{Path: "/elsewhere", Status: []expect.Span{{First: 300, Last: 399}}}, ""},
		{"what must be in it", probe.HTTPConfig{Body: "steady"}, `"steady" is not in its body`},
		{"a pattern", probe.HTTPConfig{Match: regexp.MustCompile(`^GET .* ready$`)}, ""},
		{"one that is not in it", probe.HTTPConfig{Not: regexp.MustCompile(`error`)}, ""},
		{"one that should not be", probe.HTTPConfig{Not: regexp.MustCompile(`ready$`)}, `its body matches "ready$"`},
		{"another", probe.HTTPConfig{Match: regexp.MustCompile(`^ready`)}, `its body does not match "^ready"`},
		{"a pattern, further on", probe.HTTPConfig{Match: regexp.MustCompile(`1.*ready`), Within: probe.Span{From: 5}}, ""},
		{"one that is before that", probe.HTTPConfig{Match: regexp.MustCompile(`GET.*ready`), Within: probe.Span{From: 1}}, `its body does not match "GET.*ready" from octet 1 on`},
		{"one that should not be, further on", probe.HTTPConfig{Not: regexp.MustCompile(`GET|ready`), Within: probe.Span{From: 1, Until: &thirteen}}, `its body matches "GET|ready" in octets 1 to 13`},
		{"one that is behind that", probe.HTTPConfig{Not: regexp.MustCompile(`ready`), Within: probe.Span{Until: new(int)}}, ""},
		{"sha256", probe.HTTPConfig{Digest: digestOf("sha256", "GET 10.1.0.2 ready")}, ""},
		{"md5", probe.HTTPConfig{Digest: digestOf("md5", "GET 10.1.0.2 ready")}, ""},
		{"another digest", probe.HTTPConfig{Digest: digestOf("md5", "GET 10.1.0.2 steady")}, "its body has another digest, " + digestOf("md5", "GET 10.1.0.2 ready").String()},
		{"a long page, by its beginning", probe.HTTPConfig{Path: "/big", Body: "xxx"}, ""},
		{"a long page, by its end", probe.HTTPConfig{Path: "/big", Body: "ready"}, "is not in its body"},
		{"the digest of a long page", probe.HTTPConfig{Path: "/big", Digest: digestOf("md5", "")}, "longer than 1048576 bytes"},
		{"cut off", probe.HTTPConfig{Path: "/cut"}, "body: unexpected EOF"},
		{"hangs in the middle", probe.HTTPConfig{Path: "/hangs", Body: "ready"}, "no answer"},
		{"nobody listens", probe.HTTPConfig{Endpoint: target("10.1.0.2:81")}, "http 10.1.0.2:81/: connection refused"},
		{"nobody there", probe.HTTPConfig{Endpoint: target("10.1.0.99:80")}, "no answer"},
		{"no route", probe.HTTPConfig{Endpoint: target("192.0.2.1:80")}, "network is unreachable"},
	} {
		if !tt.cfg.Target.IsValid() {
			tt.cfg.Endpoint = target(at)
		}
		p, err := probe.NewHTTP(tt.cfg)
		must(t, err)
		limit := soon
		if strings.HasSuffix(tt.want, "no answer") {
			limit = little
		}
		outcome(t, tt.name, tt.want, n.try(p, limit))
	}
}

func TestNewHTTPRefuses(t *testing.T) {
	for want, cfg := range map[string]probe.HTTPConfig{
		"no target":                 {},
		`path "x"`:                  {Endpoint: target("10.0.0.1:80"), Path: "x"},
		`path "http://h/x"`:         {Endpoint: target("10.0.0.1:80"), Path: "http://h/x"},
		"invalid method":            {Endpoint: target("10.0.0.1:80"), Method: "G T"},
		"missing.pem: no such file": {Endpoint: target("10.0.0.1:80"), TLS: &probe.TLSConfig{CAFile: "/missing.pem"}},
	} {
		_, err := probe.NewHTTP(cfg)
		outcome(t, want, want, err)
	}
}

// authority signs certificates.
type authority struct {
	t    *testing.T
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	file string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{t: t, dir: t.TempDir()}
	a.cert, a.key, a.file, _ = a.issue("ca", nil, time.Hour)
	return a
}

// issue makes a certificate for a name or an address, which ends after d.
func (a *authority) issue(name string, by *authority, d time.Duration) (cert *x509.Certificate, key *ecdsa.PrivateKey, certFile, keyFile string) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(a.t, err)
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-2 * time.Hour), NotAfter: time.Now().Add(d), BasicConstraintsValid: true,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	parent, signer := tmpl, key
	if by == nil {
		tmpl.IsCA, tmpl.KeyUsage = true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
		if ip, err := netip.ParseAddr(name); err == nil {
			tmpl.IPAddresses = []net.IP{ip.AsSlice()}
		} else {
			tmpl.DNSNames = []string{name}
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, parent, &key.PublicKey, signer)
	must(a.t, err)
	cert, err = x509.ParseCertificate(der)
	must(a.t, err)
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	must(a.t, err)
	certFile, keyFile = filepath.Join(a.dir, name+".pem"), filepath.Join(a.dir, name+".key")
	must(a.t, os.WriteFile(certFile, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o644))
	must(a.t, os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600))
	return cert, key, certFile, keyFile
}

func (a *authority) pair(name string, d time.Duration) tls.Certificate {
	a.t.Helper()
	_, _, cert, key := a.issue(name, a, d)
	c, err := tls.LoadX509KeyPair(cert, key)
	must(a.t, err)
	return c
}

func TestHTTPS(t *testing.T) {
	n := newNetwork(t)
	ca, other := newAuthority(t), newAuthority(t)
	_, _, ourCert, ourKey := ca.issue("gw1.example.org", ca, time.Hour)
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	serve := func(port string, c tls.Certificate, change func(*tls.Config)) {
		cfg := &tls.Config{Certificates: []tls.Certificate{c}}
		if change != nil {
			change(cfg)
		}
		serveHTTP(t, n.b, ":"+port, &http.Server{Handler: pages(), TLSConfig: cfg})
	}
	serve("443", ca.pair("www.example.org", time.Hour), nil)
	serve("444", ca.pair("10.1.0.2", time.Hour), nil)
	serve("445", ca.pair("old.example.org", -time.Hour), nil)
	serve("446", ca.pair("mtls.example.org", time.Hour), func(c *tls.Config) {
		c.ClientAuth, c.ClientCAs = tls.RequireAndVerifyClientCert, pool
	})
	serveHTTP(t, n.b, ":80", &http.Server{Handler: pages()})
	for _, tt := range []struct {
		name string
		port string
		host string
		tls  probe.TLSConfig
		want string
	}{
		{"by its name", "443", "", probe.TLSConfig{CAFile: ca.file, ServerName: "www.example.org"}, ""},
		{"by the host's name", "443", "www.example.org:8443", probe.TLSConfig{CAFile: ca.file}, ""},
		{"by its address", "444", "", probe.TLSConfig{CAFile: ca.file}, ""},
		{"another name", "443", "", probe.TLSConfig{CAFile: ca.file, ServerName: "www.example.com"}, "certificate is valid for www.example.org, not www.example.com"},
		{"not its address", "443", "", probe.TLSConfig{CAFile: ca.file}, "doesn't contain any IP SANs"},
		{"another authority", "443", "", probe.TLSConfig{CAFile: other.file, ServerName: "www.example.org"}, "certificate signed by unknown authority"},
		{"nobody's authority", "443", "", probe.TLSConfig{ServerName: "www.example.org"}, "certificate signed by unknown authority"},
		{"any certificate will do", "443", "", probe.TLSConfig{Insecure: true}, ""},
		{"expired", "445", "", probe.TLSConfig{CAFile: ca.file, ServerName: "old.example.org"}, "certificate has expired"},
		{"expired, any will do", "445", "", probe.TLSConfig{Insecure: true}, ""},
		{"with ours", "446", "", probe.TLSConfig{CAFile: ca.file, ServerName: "mtls.example.org", CertFile: ourCert, KeyFile: ourKey}, ""},
		{"without ours", "446", "", probe.TLSConfig{CAFile: ca.file, ServerName: "mtls.example.org"}, "certificate required"},
		{"in the clear", "80", "", probe.TLSConfig{Insecure: true}, "first record does not look like a TLS handshake"},
	} {
		p, err := probe.NewHTTP(probe.HTTPConfig{Endpoint: target("10.1.0.2:" + tt.port), Host: tt.host, TLS: &tt.tls})
		must(t, err)
		outcome(t, tt.name, tt.want, n.try(p, soon))
	}
}

// A port that is open proves little: the page behind it does not come.
func TestPortOpenButHTTP500(t *testing.T) {
	n := newNetwork(t)
	serveHTTP(t, n.b, ":80", &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusInternalServerError)
	})})
	tcp, err := probe.NewTCP(target("10.1.0.2:80"))
	must(t, err)
	outcome(t, "the port", "", n.try(tcp, soon))
	page, err := probe.NewHTTP(probe.HTTPConfig{Endpoint: target("10.1.0.2:80")})
	must(t, err)
	outcome(t, "the page", "status 500", n.try(page, soon))
}

// serverVar makes this test program a web server, as a process of its own that can
// be stopped.
const serverVar = "UNDERSTUDY_TEST_SERVER"

func init() {
	if at := os.Getenv(serverVar); at != "" {
		fmt.Fprintln(os.Stderr, http.ListenAndServe(at, pages()))
		os.Exit(1)
	}
}

// Of a process that is stopped the kernel goes on to accept connections: a port
// that is open says nothing about it, and what it answers does.
func TestStoppedProcessButPortOpen(t *testing.T) {
	n := newNetwork(t)
	cmd := command(t, serverVar+"=:80")
	server, err := n.b.StartWith(cmd)
	must(t, err)
	tcp, err := probe.NewTCP(target("10.1.0.2:80"))
	must(t, err)
	page, err := probe.NewHTTP(probe.HTTPConfig{Endpoint: target("10.1.0.2:80")})
	must(t, err)
	for end := time.Now().Add(soon); ; time.Sleep(5 * time.Millisecond) {
		if err = n.try(page, soon); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the server does not start: %v\n%s", err, server.Output())
		}
	}
	must(t, n.b.Freeze())
	outcome(t, "the port of a stopped process", "", n.try(tcp, soon))
	outcome(t, "its page", "no answer", n.try(page, 3*little))
	must(t, n.b.Thaw())
	outcome(t, "its page when it goes on", "", n.try(page, soon))
}
