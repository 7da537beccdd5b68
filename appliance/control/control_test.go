package control_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/history"
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

func (n *node) Sessions(_ context.Context, w appliance.FlowFilter, fn func(*appliance.Flow) bool) error {
	for i := range 5 {
		f := appliance.Flow{Group: "gateway", Mark: uint32(i), FlowName: appliance.FlowName{Protocol: []string{"tcp", "udp"}[i%2]}}
		if w.Matches(&f) && !fn(&f) {
			break
		}
	}
	if w.Group == "none" {
		return errors.New("no sessions here")
	}
	return nil
}

func (n *node) Diff(_ context.Context, peer string) (*appliance.FlowsDiff, error) {
	if peer == "gw9" {
		return nil, errors.New("no such peer")
	}
	return &appliance.FlowsDiff{DiffSummary: appliance.DiffSummary{Peer: "gw2", Equal: true}, Flows: []appliance.FlowDifference{}}, nil
}

func (n *node) Events(_ context.Context, q history.Query, wait time.Duration) (history.Answer, error) {
	text := fmt.Sprintf("%+v, waits %v", q, wait)
	return history.Answer{Rev: 9, Events: []history.Event{{ID: 3, Text: text, Evidence: []string{}, Phases: []history.Phase{}}}}, nil
}

func (n *node) UpgradeElection(context.Context) error { return errors.New("no other one comes") }

func (n *node) LogLevel(_ context.Context, level string) (string, error) {
	switch level {
	case "":
		return "info", nil
	case "debug":
		return "debug", nil
	}
	return "", errors.New("no such level")
}

func (n *node) Takeovers(context.Context) ([]appliance.TakeoverStatus, error) {
	return []appliance.TakeoverStatus{{Group: "gateway"}}, nil
}

func (n *node) DrainServer(_ context.Context, entry, server string, drained bool) error {
	if entry != "web" || server != "10.0.0.21:80" || !drained {
		return fmt.Errorf("%s has no server %s to undrain", entry, server)
	}
	return nil
}

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
	if err := c.UpgradeElection(ctx); err == nil || err.Error() != "no other one comes" {
		t.Fatalf("want the node's own words, got %v", err)
	}
	var marks []uint32
	err = c.Sessions(ctx, appliance.FlowFilter{Protocol: "tcp"}, func(f *appliance.Flow) error { marks = append(marks, f.Mark); return nil })
	if err != nil || !slices.Equal(marks, []uint32{0, 2, 4}) {
		t.Fatalf("sessions: %v, %v", marks, err)
	}
	if err := c.Sessions(ctx, appliance.FlowFilter{Group: "none"}, nil); err == nil || err.Error() != "no sessions here" {
		t.Fatalf("want the node's own words, got %v", err)
	}
	if d, err := c.Diff(ctx, ""); err != nil || d.Peer != "gw2" || !d.Equal {
		t.Fatalf("diff: %+v, %v", d, err)
	}
	if _, err := c.Diff(ctx, "gw9"); err == nil || err.Error() != "no such peer" {
		t.Fatalf("want the node's own words, got %v", err)
	}
	if all, err := c.Takeovers(ctx); err != nil || len(all) != 1 || all[0].Group != "gateway" {
		t.Fatalf("takeovers: %+v, %v", all, err)
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
