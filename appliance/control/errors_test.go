package control_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"understudy/appliance/control"
	"understudy/appliance/history"
)

// listen answers at a socket with what serve does with a connection.
func listen(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return path
}

// answering is a node of another version: HTTP, but with other answers.
func answering(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "c.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: h}
	go s.Serve(l)
	t.Cleanup(func() { s.Close() })
	return path
}

// Whatever is wrong with the way to the node, who asks is told what, where, and what to do.
func TestErrorsHelp(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(dir, "left.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: left})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	old := answering(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/v1/status" {
			http.NotFound(w, r)
			return
		}
		fmt.Fprintln(w, `{"version":"0.9"}`)
	})
	for _, row := range []struct {
		name, path string
		want       []string
	}{
		{"not there", filepath.Join(dir, "none.sock"), []string{"none.sock", "no such socket", "is understudy running?", "--control"}},
		{"no directory", filepath.Join(dir, "none", "none.sock"), []string{"no such socket", "systemctl status understudy"}},
		{"left by a dead one", left, []string{"left.sock", "one that has died", "is understudy running?"}},
		{"a file", file, []string{"no socket", "--control"}},
		{"not understudy", listen(t, func(c net.Conn) {
			c.Read(make([]byte, 4096)) // an answer before the question may be taken for the end of the connection
			fmt.Fprint(c, "220 mail ready\r\n")
			c.Close()
		}), []string{"not understudy", "--control"}},
		{"an older node", old, []string{"does not know GET /v1/events", "version 0.9", "understudy upgrade"}},
		{"a node with other answers", answering(t, func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, `{"rev":"one"}`) }), []string{"not understood", "another version"}},
	} {
		t.Run(row.name, func(t *testing.T) {
			c := control.NewClient(row.path)
			defer c.Close()
			_, err := c.Events(t.Context(), history.Query{}, 0)
			if err == nil {
				t.Fatal("no error")
			}
			for _, w := range row.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in: %v", w, err)
				}
			}
		})
	}
}

// A node that hangs is told from one that is not there.
func TestErrorOfANodeThatHangs(t *testing.T) {
	end := make(chan struct{})
	defer close(end)
	c := control.NewClient(listen(t, func(net.Conn) { <-end }))
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), "no answer in time") || !strings.Contains(err.Error(), "journalctl") {
		t.Errorf("got %v", err)
	}
}
