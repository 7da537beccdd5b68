package web_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"understudy/appliance/web"
)

func serve(t *testing.T, token string) string {
	t.Helper()
	h := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprintln(w, "shown") })
	s, err := web.Listen(web.Config{Address: netip.MustParseAddrPort("127.0.0.1:0"), Token: token, Open: []string{"/"}}, h, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return s.Addr().String()
}

func ask(t *testing.T, method, addr string, set func(*http.Request)) (int, string) {
	t.Helper()
	r, err := http.NewRequest(method, "http://"+addr+"/metrics", nil)
	if err != nil {
		t.Fatal(err)
	}
	if set != nil {
		set(r)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestWhoMayAsk(t *testing.T) {
	open, locked := serve(t, ""), serve(t, "let-me-in")
	host := func(name string) func(*http.Request) { return func(r *http.Request) { r.Host = name } }
	token := func(v string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", v) }
	}
	for _, c := range []struct {
		name, method, addr string
		set                func(*http.Request)
		want               int
	}{
		{"by address", http.MethodGet, open, nil, http.StatusOK},
		{"as localhost", http.MethodGet, open, host("localhost:7790"), http.StatusOK},
		{"by an IPv6 address", http.MethodGet, open, host("[::1]:7790"), http.StatusOK},
		{"only the head", http.MethodHead, open, nil, http.StatusOK},
		{"rebound name", http.MethodGet, open, host("evil.example:7790"), http.StatusForbidden},
		{"a command", http.MethodPost, open, nil, http.StatusMethodNotAllowed},
		{"no token", http.MethodGet, locked, nil, http.StatusUnauthorized},
		{"a wrong token", http.MethodGet, locked, token("Bearer let-me-out"), http.StatusUnauthorized},
		{"the beginning of it", http.MethodGet, locked, token("Bearer let-me"), http.StatusUnauthorized},
		{"another scheme", http.MethodGet, locked, token("Basic let-me-in"), http.StatusUnauthorized},
		{"what is open", http.MethodGet, locked, func(r *http.Request) { r.URL.Path = "/" }, http.StatusOK},
		{"what only begins like it", http.MethodGet, locked, func(r *http.Request) { r.URL.Path = "//" }, http.StatusUnauthorized},
		{"another page's program", http.MethodGet, open, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }, http.StatusForbidden},
		{"a page of the same host", http.MethodGet, open, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-site") }, http.StatusForbidden},
		{"our own page", http.MethodGet, open, func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "same-origin") }, http.StatusOK},
		{"the token", http.MethodGet, locked, token("Bearer let-me-in"), http.StatusOK},
	} {
		t.Run(c.name, func(t *testing.T) {
			code, body := ask(t, c.method, c.addr, c.set)
			if code != c.want {
				t.Errorf("%d, want %d: %s", code, c.want, body)
			}
			if (code == http.StatusOK && c.method == http.MethodGet) != (body == "shown\n") {
				t.Errorf("%d with %q", code, body)
			}
		})
	}
}

// TestHugeHeadersAreRefused: what is asked is bounded.
func TestHugeHeadersAreRefused(t *testing.T) {
	c, err := net.Dial("tcp", serve(t, ""))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// No more than the server reads, or its answer may be lost in a reset.
	if _, err := fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\nX: %s", strings.Repeat("x", 12<<10)); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(c).ReadString('\n')
	if err != nil || !strings.Contains(line, "431") {
		t.Errorf("%q, %v", line, err)
	}
}

// TestManySlowClientsEnd: a thousand that say nothing are let go, and who asks after
// them is answered.
func TestManySlowClientsEnd(t *testing.T) {
	addr := serve(t, "")
	var held []net.Conn
	for range 1000 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			break // the backlog is bounded, too
		}
		defer c.Close()
		held = append(held, c)
	}
	if len(held) < 100 {
		t.Fatalf("only %d", len(held))
	}
	// The first of them are in their turn, and lose it.
	held[0].SetReadDeadline(time.Now().Add(time.Minute))
	if _, err := bufio.NewReader(held[0]).ReadByte(); err == nil {
		t.Error("was answered, without a question")
	} else if e, ok := err.(net.Error); ok && e.Timeout() {
		t.Error("is held for ever")
	}
	for _, c := range held {
		c.Close()
	}
	if code, _ := ask(t, http.MethodGet, addr, nil); code != http.StatusOK {
		t.Errorf("%d", code)
	}
}
