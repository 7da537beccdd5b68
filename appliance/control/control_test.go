package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"understudy/appliance"
	"understudy/appliance/control"
)

// node is a Handler with behaviour: it hands over what it is active for.
type node struct{ active map[string]bool }

func (n *node) Status(context.Context) (appliance.Status, error) {
	s := appliance.NewStatus()
	s.Node = "gw1"
	return s, nil
}

func (n *node) Failover(_ context.Context, group string, force bool) error {
	if !n.active[group] && !force {
		return errors.New("not active here")
	}
	n.active[group] = false
	return nil
}

func (n *node) Reload(context.Context) error { return errors.New("gw.toml:3: node: missing") }

func (n *node) Upgrade(context.Context) (string, error) { return "2.0", nil }

func serve(t *testing.T) (*control.Client, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "run", "control.sock")
	s, err := control.Listen(path, &node{active: map[string]bool{"gateway": true}})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	c := control.NewClient(path)
	t.Cleanup(func() {
		c.Close()
		cancel()
		if err := <-done; err != nil {
			t.Errorf("serve: %v", err)
		}
		if _, err := os.Stat(path); err == nil {
			t.Error("the socket is still there after the end")
		}
	})
	return c, path
}

func TestAskAndAnswer(t *testing.T) {
	c, path := serve(t)
	ctx := context.Background()
	s, err := c.Status(ctx)
	if err != nil || s.Node != "gw1" {
		t.Fatalf("status: %+v, %v", s, err)
	}
	if err := c.Failover(ctx, "gateway", false); err != nil {
		t.Fatalf("failover: %v", err)
	}
	if err := c.Failover(ctx, "gateway", false); err == nil || err.Error() != "not active here" {
		t.Fatalf("want the node's own words, got %v", err)
	}
	if err := c.Failover(ctx, "gateway", true); err != nil {
		t.Fatalf("forced failover: %v", err)
	}
	if err := c.Reload(ctx); err == nil || !strings.Contains(err.Error(), "gw.toml:3") {
		t.Fatalf("want the located problem, got %v", err)
	}
	if v, err := c.Upgrade(ctx); err != nil || v != "2.0" {
		t.Fatalf("upgrade: %q, %v", v, err)
	}
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Fatalf("the socket must be root's alone: %v %v", fi.Mode(), err)
	}
}

func TestListenReplacesOnlyADeadSocket(t *testing.T) {
	_, path := serve(t)
	if s, err := control.Listen(path, &node{}); err == nil {
		t.Fatalf("took over a socket that is answered: %v", s)
	}
	dead := filepath.Join(t.TempDir(), "dead.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: dead})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	if _, err := control.Listen(dead, &node{}); err != nil {
		t.Fatalf("a crashed predecessor's socket was not replaced: %v", err)
	}
}

func TestNobodyThere(t *testing.T) {
	c := control.NewClient(filepath.Join(t.TempDir(), "none.sock"))
	if _, err := c.Status(context.Background()); err == nil || !strings.Contains(err.Error(), "is understudy running") {
		t.Fatalf("want a hint, got %v", err)
	}
}

// TestStatusContract holds the form of `status --json`: arrays present even if
// empty, sessions null without [sessions].
func TestStatusContract(t *testing.T) {
	b, err := json.Marshal(appliance.NewStatus())
	if err != nil {
		t.Fatal(err)
	}
	var m map[string]any
	if err := json.Unmarshal(b, &m); err != nil {
		t.Fatal(err)
	}
	for _, key := range []string{"routers", "groups", "checks", "bonds", "alarms"} {
		if _, ok := m[key].([]any); !ok {
			t.Errorf("%s is %v, want an array", key, m[key])
		}
	}
	if v, ok := m["sessions"]; !ok || v != nil {
		t.Errorf("sessions is %v, want null", v)
	}
	if nat := m["nat"].(map[string]any); nat["entries"] == nil || nat["static"] == nil || nat["source"] == nil {
		t.Errorf("nat lacks a key: %v", nat)
	}
}
