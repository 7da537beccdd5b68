package e2e

import (
	"net"
	"strings"
	"sync"
	"testing"

	"context"
	"errors"
	"fmt"

	"understudy/appliance/lab/pair"
)

// TestServiceManagerIsTold: the first process says when the node takes part, and
// one that comes in its place says that it is the main one now.
func TestServiceManagerIsTold(t *testing.T) {
	const name = "@understudy-notify" // abstract: of the gateway's network namespace
	s := newScene(t, pair.Options{Env: []string{"NOTIFY_SOCKET=" + name}})
	var conn *net.UnixConn
	s.must(s.gw1.Do(func() (err error) {
		conn, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
		return err
	}))
	t.Cleanup(func() { conn.Close() })
	var mu sync.Mutex
	var told []string
	go func() { // ends with the socket
		b := make([]byte, 4096)
		for {
			n, err := conn.Read(b)
			if err != nil {
				return
			}
			mu.Lock()
			told = append(told, string(b[:n]))
			mu.Unlock()
		}
	}()
	says := func(prefix string) func(context.Context) error {
		return func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			for _, m := range told {
				if strings.HasPrefix(m, prefix) {
					return nil
				}
			}
			return fmt.Errorf("told %q", told)
		}
	}
	s.must(s.gw1.Start())
	s.wait("READY", says("READY=1"))
	s.wait("gw1 active", s.gw1.Is("active"))
	old := s.kill(s.gw1, "run")
	s.wait("a new election process", replaced(s.gw1, old, "election"))
	s.wait("MAINPID", says("MAINPID="))
	mu.Lock()
	defer mu.Unlock()
	ready := 0
	for _, m := range told {
		if strings.HasPrefix(m, "READY=1") {
			ready++
		}
	}
	if ready != 1 {
		t.Error(errors.New("ready was said " + fmt.Sprint(ready) + " times"))
	}
}
