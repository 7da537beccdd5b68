package main

import (
	"context"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"understudy/appliance/config"
	"understudy/health/heartbeat"
)

func TestHeartbeatIsCalledRightly(t *testing.T) {
	dir := t.TempDir()
	_, secret, _ := understudy(t, dir, "keygen")
	write(t, dir, "secret", secret, 0o600)
	write(t, dir, "open", secret, 0o644)
	write(t, dir, "password", "secret\n", 0o600)
	to := []string{"--to", "127.0.0.1:7790", "--name", "web1"}
	for _, tt := range []struct {
		args []string
		want string
	}{
		{nil, "name a gateway to send heartbeats to (--to)"},
		{[]string{"--to", "127.0.0.1"}, "--to 127.0.0.1: write an IP address and a port"},
		{[]string{"--listen", "127.0.0.1:0"}, "--listen 127.0.0.1:0: write an IP address and a port"},
		{to, "--secret-file is missing"},
		{append(to, "--secret-file", "missing"), "missing: no such file"},
		{append(to, "--secret-file", "open"), "has mode 0644"},
		{append(to, "--secret-file", "password"), "not a cluster secret"},
		{append(to, "--secret-file", "secret", "--every", "1ms"), "--every 1ms: use 10ms to 1h"},
		{append(to, "--secret-file", "secret", "--name", strings.Repeat("x", 64)), "use at most 63 characters"},
		{append(to, "--secret-file", "secret", "--", "true"), "the command behind --: true is not an absolute path"},
	} {
		code, stdout, stderr := understudy(t, dir, append([]string{"heartbeat"}, tt.args...)...)
		if code != exitUsage || !strings.Contains(stderr, tt.want) {
			t.Errorf("%q: exit code %d, want %q in\n%s%s", tt.args, code, tt.want, stdout, stderr)
		}
	}
}

// What the command sends is what a gateway accepts, and the last of it a goodbye.
func TestHeartbeatIsSent(t *testing.T) {
	dir := t.TempDir()
	_, secret, _ := understudy(t, dir, "keygen")
	write(t, dir, "secret", secret, 0o600)
	keys, err := config.ParseSecret([]byte(secret))
	if err != nil {
		t.Fatal(err)
	}
	key, err := heartbeat.NewKey(keys[0][:], "web1")
	if err != nil {
		t.Fatal(err)
	}
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	defer context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, self, "heartbeat", "--to", conn.LocalAddr().String(), "--secret-file", filepath.Join(dir, "secret"), "--name", "web1", "--every", "20ms")
	cmd.Env = append(os.Environ(), asMain+"=1")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	var peer heartbeat.Peer
	beats, leaving := 0, false
	for buf := make([]byte, 1500); !leaving; {
		n, _, err := conn.ReadFrom(buf)
		if err != nil {
			t.Fatalf("after %d beats: %v", beats, err)
		}
		m, reason := heartbeat.Parse(buf[:n])
		if reason == heartbeat.ReasonNone && key.Fits(buf[:n]) {
			reason = peer.Admit(time.Now(), m)
		}
		if reason != heartbeat.ReasonNone || m.Name != "web1" || m.Failing || m.Interval != 20*time.Millisecond {
			t.Fatalf("%v: %+v", reason, m)
		}
		if beats++; beats == 3 {
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
		}
		leaving = m.Leaving
	}
	if err := cmd.Wait(); err != nil || beats < 3 {
		t.Errorf("%d beats, %v", beats, err)
	}
}
