package control_test

import (
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// TestSilentClientsAreBounded: of many that connect and say nothing no more are taken than
// there are places; and when they go, whoever asks is answered.
func TestSilentClientsAreBounded(t *testing.T) {
	const places, silent = 256, 300
	c, path := serve(t)
	var held []net.Conn
	for range silent {
		conn, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		held = append(held, conn)
	}
	deadline := time.Now().Add(3 * time.Second) // before the first are thrown out
	most := 0
	for time.Now().Before(deadline) {
		most = max(most, taken(t, path))
		time.Sleep(10 * time.Millisecond)
	}
	if most != places {
		t.Errorf("%d were taken, want %d", most, places)
	}
	for _, conn := range held {
		conn.Close()
	}
	if _, err := c.Status(t.Context()); err != nil {
		t.Error(err)
	}
}

// taken counts the connections to the socket that its server has taken: the kernel lists
// those in the queue as well, but as of no file.
func taken(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := os.ReadFile("/proc/self/net/unix")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		// Num RefCount Protocol Flags Type St Inode Path
		if f := strings.Fields(line); len(f) == 8 && f[7] == path && f[6] != "0" {
			n++
		}
	}
	return n - 1 // the socket itself
}
