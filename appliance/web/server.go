package web

import (
	"context"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/netutil"
)

// Bounds of what others can have the node do.
const (
	connections = 64
	headerBytes = 8 << 10
	slowest     = 5 * time.Second  // headers must be here
	longest     = 30 * time.Second // an answer must be gone
	idlest      = time.Minute
)

// Config is where the node listens, and who may ask.
type Config struct {
	Address netip.AddrPort
	Token   string // asked for as "Authorization: Bearer …"; empty: anybody who gets there
	// Open are paths that are shown without the token: what is there is the same on
	// every node.
	Open []string
}

// Server answers at one address.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen opens the address, in the network namespace of the calling thread.
func Listen(c Config, h http.Handler, log *slog.Logger) (*Server, error) {
	l, err := net.Listen("tcp", c.Address.String())
	if err != nil {
		return nil, fmt.Errorf("web: %w", err)
	}
	s := &http.Server{
		Handler:           readOnly(known(c, h)),
		ReadHeaderTimeout: slowest, ReadTimeout: slowest, WriteTimeout: longest, IdleTimeout: idlest,
		MaxHeaderBytes: headerBytes,
		ErrorLog:       slog.NewLogLogger(log.Handler(), slog.LevelDebug), // of what others do wrong
	}
	return &Server{listener: netutil.LimitListener(l, connections), http: s}, nil
}

// Addr is where it listens.
func (s *Server) Addr() netip.AddrPort { return s.listener.Addr().(*net.TCPAddr).AddrPort() }

// Serve answers until ctx ends.
func (s *Server) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { s.http.Close() })
	defer stop()
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("web: %w", err)
	}
	return nil
}

// readOnly refuses whatever is not a question.
func readOnly(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead {
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "this address only shows; commands go to the control socket", http.StatusMethodNotAllowed)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// known refuses who does not know the token, or asks for a name that is not the node's.
func known(c Config, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		// A browser tells of whose page it asks for. Others must not even keep us busy.
		if site := r.Header.Get("Sec-Fetch-Site"); site != "" && site != "none" && site != "same-origin" {
			http.Error(w, "not for other pages", http.StatusForbidden)
			return
		}
		switch {
		case c.Token != "" && !slices.Contains(c.Open, r.URL.Path):
			got, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
			if !ok || subtle.ConstantTimeCompare([]byte(got), []byte(c.Token)) != 1 {
				w.Header().Set("WWW-Authenticate", `Bearer realm="understudy"`)
				http.Error(w, "this address wants the token of web.token_file", http.StatusUnauthorized)
				return
			}
		case c.Token == "" && !literal(r.Host):
			http.Error(w, "ask by address, or as localhost", http.StatusForbidden)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// literal tells whether a Host header is an address, or this host. A web page can have
// a browser ask here under the page's own name, but not under these.
func literal(host string) bool {
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	if host == "localhost" {
		return true
	}
	_, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return err == nil
}
