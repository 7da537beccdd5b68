package live_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/appliance/trend"
	"understudy/appliance/web/live"
)

// source is a node in memory.
type source struct {
	mu    sync.Mutex
	s     appliance.Status
	t     trend.Trend
	asked atomic.Int64
}

func newSource() *source {
	s := &source{s: appliance.NewStatus()}
	s.s.Node = "gw1"
	return s
}

func (s *source) set(fn func(*appliance.Status)) { s.mu.Lock(); fn(&s.s); s.mu.Unlock() }

func (s *source) Status(context.Context) (appliance.Status, error) {
	s.asked.Add(1)
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.s, nil
}
func (s *source) Peers(context.Context) []live.Peer { return nil }
func (s *source) History() []history.Event          { return nil }
func (s *source) Coarse(to []trend.Sample, since time.Time) []trend.Sample {
	return s.t.Coarse(to, since)
}
func (s *source) Fine(to []trend.Sample, since time.Time) (all []trend.Sample) {
	return s.t.Fine(to, since)
}

func serve(t *testing.T, s live.Source) (*live.Live, *httptest.Server) {
	t.Helper()
	l := live.New(s, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); l.Run(ctx) }()
	h := httptest.NewUnstartedServer(l)
	// As the real one: what is bounded for a short answer is not for a stream.
	h.Config.ReadTimeout, h.Config.WriteTimeout = 300*time.Millisecond, 300*time.Millisecond
	h.Start()
	t.Cleanup(func() { cancel(); <-done; h.CloseClientConnections(); h.Close() })
	return l, h
}

// look returns events one by one, as name and data.
func look(t *testing.T, url string) (next func() (name, data string)) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	t.Cleanup(cancel)
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("%s, %s", resp.Status, resp.Header.Get("Content-Type"))
	}
	in := bufio.NewReaderSize(resp.Body, 1<<20)
	return func() (name, data string) {
		for {
			line, err := in.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			switch line = strings.TrimSuffix(line, "\n"); {
			case line == "" && name != "":
				return name, data
			case strings.HasPrefix(line, "event: "):
				name = line[len("event: "):]
			case strings.HasPrefix(line, "data: "):
				data = line[len("data: "):]
			}
		}
	}
}

// TestAViewerSeesWhatChanges: the past at once, then the present, and a change when it is
// told of, over more time than an answer of the server may take.
func TestAViewerSeesWhatChanges(t *testing.T) {
	s := newSource()
	start := time.Now().Add(-time.Minute)
	for i := range 3 {
		s.t.Add(trend.Sample{At: start.Add(time.Duration(i) * 2 * time.Second), Own: i + 1, Lag: 1500 * time.Microsecond, Linked: i < 2, Changes: uint64(100 * i)})
	}
	l, h := serve(t, s)
	next := look(t, h.URL)
	name, data := next()
	var past struct{ Fine, Coarse live.Columns }
	if err := json.Unmarshal([]byte(data), &past); err != nil || name != "trend" {
		t.Fatalf("%s, %v", name, err)
	}
	if got := fmt.Sprint(past.Fine.Own, past.Fine.Lag, past.Fine.Changes); got != "[1 2 3] [1.5 1.5 -1] [0 50 50]" {
		t.Errorf("%s", got)
	}
	began := time.Now()
	for time.Since(began) < time.Second || !strings.Contains(data, `"node":"gw9"`) {
		if name, data = next(); name != "view" {
			t.Fatalf("%s", name)
		}
		s.set(func(st *appliance.Status) { st.Node = "gw9" })
		l.Kick()
		if time.Since(began) > 20*time.Second {
			t.Fatalf("still %s", data)
		}
	}
}

// TestNobodyLooksNothingIsAsked: the node is left in peace.
func TestNobodyLooksNothingIsAsked(t *testing.T) {
	s := newSource()
	l, h := serve(t, s)
	for range 20 {
		l.Kick()
		time.Sleep(10 * time.Millisecond)
	}
	if n := s.asked.Load(); n != 0 {
		t.Errorf("asked %d times", n)
	}
	next := look(t, h.URL)
	next()
	next()
	if s.asked.Load() == 0 {
		t.Error("a view out of nothing")
	}
}

// TestViewersAreBounded: one too many is told so, and gets in when another goes.
func TestViewersAreBounded(t *testing.T) {
	l, h := serve(t, newSource())
	var held []net.Conn
	defer func() {
		for _, c := range held {
			c.Close()
		}
	}()
	addr := h.Listener.Addr().String()
	for range 16 {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
		if line, err := bufio.NewReader(c).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("%q, %v", line, err)
		}
	}
	resp, err := http.Get(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusServiceUnavailable || l.Stats().Refused != 1 {
		t.Errorf("%s, %+v", resp.Status, l.Stats())
	}
	held[0].Close()
	until(t, "room", func() bool { return l.Stats().Now < 16 })
	look(t, h.URL)()
}

// TestASlowViewerDelaysNobody: one that does not read misses views and is let go; the
// others see each.
func TestASlowViewerDelaysNobody(t *testing.T) {
	s := newSource()
	s.set(func(st *appliance.Status) { st.ReloadError = strings.Repeat("x", 1<<20) }) // more than sockets hold, soon
	l, h := serve(t, s)
	slow, err := net.Dial("tcp", h.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Close()
	fmt.Fprintf(slow, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
	until(t, "the slow one", func() bool { return l.Stats().Now == 1 })
	next := look(t, h.URL)
	seen := 0
	until(t, "the slow one to be let go", func() bool {
		next()
		seen++
		l.Kick()
		return l.Stats().Ended == 1
	})
	got := l.Stats()
	if got.Dropped == 0 || got.Now != 1 || seen < 10 {
		t.Errorf("%+v, and the other saw %d", got, seen)
	}
}

func until(t *testing.T, what string, met func() bool) {
	t.Helper()
	for began := time.Now(); !met(); time.Sleep(5 * time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}
