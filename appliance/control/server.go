package control

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/net/netutil"

	"understudy/appliance"
	"understudy/appliance/history"
)

// DefaultSocket is where a node listens unless it is told otherwise.
const DefaultSocket = "/run/understudy/control.sock"

// Handler does what an operator asks for. Every method may be called at any time
// from several goroutines, and honours ctx.
type Handler interface {
	Status(ctx context.Context) (appliance.Status, error)
	Failover(ctx context.Context, group string, force bool) error
	Reload(ctx context.Context) error
	// Upgrade returns the version of the program that is about to take over.
	Upgrade(ctx context.Context) (version string, err error)
	// UpgradeElection exchanges the election process for one of the daemon's program.
	UpgradeElection(ctx context.Context) error
	// Sessions calls fn for each session selected, until it returns false.
	Sessions(ctx context.Context, w appliance.FlowFilter, fn func(*appliance.Flow) bool) error
	// Diff compares the sessions with those of a peer; of no name, with those of the
	// one that has most.
	Diff(ctx context.Context, peer string) (*appliance.FlowsDiff, error)
	Takeovers(ctx context.Context) ([]appliance.TakeoverStatus, error)
	// Events returns what happened, as far as q selects it. If there is nothing, it waits
	// for it at most so long.
	Events(ctx context.Context, q history.Query, wait time.Duration) (history.Answer, error)
	// LogLevel changes what is logged, unless level is empty, and returns what it is.
	LogLevel(ctx context.Context, level string) (string, error)
	// DrainServer has a server of an entry point get no new flows, or again.
	DrainServer(ctx context.Context, entry, server string, drained bool) error
}

// Bounds of what even root's programs can have the node do: a loop of clients that hang
// must not cost it its descriptors.
const (
	connections = 256
	headerBytes = 16 << 10
)

// Server answers on a unix socket.
type Server struct {
	listener net.Listener
	http     *http.Server
}

// Listen makes the socket at path. A socket file that nobody answers on is what
// a crashed predecessor left and is replaced; one that is answered is an error.
func Listen(path string, h Handler) (*Server, error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if c, err := net.DialTimeout("unix", path, time.Second); err == nil {
		c.Close()
		return nil, fmt.Errorf("control: %s: another process answers there; give --control another path", path)
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("control: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return nil, fmt.Errorf("control: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		l.Close()
		return nil, fmt.Errorf("control: %w", err)
	}
	ending, end := context.WithCancel(context.Background())
	s := &Server{listener: netutil.LimitListener(l, connections), http: &http.Server{Handler: mux(h, ending),
		ReadHeaderTimeout: 5 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: headerBytes}}
	s.http.RegisterOnShutdown(end)
	return s, nil
}

// Handle adds what else is answered, before Serve.
func (s *Server) Handle(pattern string, h http.Handler) {
	s.http.Handler.(*http.ServeMux).Handle(pattern, h)
}

// lastWords is how long what is being answered may take, once the process is to end.
const lastWords = 200 * time.Millisecond

// Serve answers until ctx ends, and what it has begun to answer for a moment longer; it
// removes the socket on return.
func (s *Server) Serve(ctx context.Context) error {
	answered := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(answered)
		bound, cancel := context.WithTimeout(context.Background(), lastWords)
		defer cancel()
		if s.http.Shutdown(bound) != nil {
			s.http.Close()
		}
	})
	err := s.http.Serve(s.listener) // ends as the shutdown begins
	if !stop() {
		<-answered // whoever asked for the end, an upgrade say, is told that it comes
	}
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("control: %w", err)
	}
	return nil
}

// failoverRequest is the body of POST /v1/failover.
type failoverRequest struct {
	Group string `json:"group"`
	Force bool   `json:"force"`
}

// mux answers; who waits for something is let go when ending ends.
func mux(h Handler, ending context.Context) *http.ServeMux {
	m := http.NewServeMux()
	m.HandleFunc("GET /v1/status", func(w http.ResponseWriter, r *http.Request) {
		s, err := h.Status(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(s)
	})
	seeing(m, h)
	events(m, h, ending)
	m.HandleFunc("POST /v1/failover", func(w http.ResponseWriter, r *http.Request) {
		var req failoverRequest
		if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&req); err != nil {
			http.Error(w, `{"error":"malformed request"}`, http.StatusBadRequest)
			return
		}
		answer(w, h.Failover(r.Context(), req.Group, req.Force))
	})
	m.HandleFunc("POST /v1/reload", func(w http.ResponseWriter, r *http.Request) {
		answer(w, h.Reload(r.Context()))
	})
	servers(m, h)
	logging(m, h)
	m.HandleFunc("POST /v1/upgrade/election", func(w http.ResponseWriter, r *http.Request) {
		answer(w, h.UpgradeElection(r.Context()))
	})
	m.HandleFunc("POST /v1/upgrade", func(w http.ResponseWriter, r *http.Request) {
		version, err := h.Upgrade(r.Context())
		if err != nil {
			refuse(w, err)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(upgradeAnswer{Version: version})
	})
	return m
}

// upgradeAnswer is the answer to POST /v1/upgrade.
type upgradeAnswer struct {
	Version string `json:"version"`
}

func answer(w http.ResponseWriter, err error) {
	if err != nil {
		refuse(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	fmt.Fprintln(w, "{}")
}

func refuse(w http.ResponseWriter, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusConflict)
	json.NewEncoder(w).Encode(refusal{Error: err.Error()})
}

type refusal struct {
	Error string `json:"error"`
}
