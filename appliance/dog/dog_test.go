package dog

import (
	"bytes"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// pseudo is a device that is a pipe: what is written to it can be read.
type pseudo struct {
	timeout int // 0: as it is set
	setErr  error
	getErr  error
}

func (p *pseudo) set(_, seconds int) error {
	if p.setErr == nil && p.timeout == 0 {
		p.timeout = seconds
	}
	return p.setErr
}

func (p *pseudo) get(int) (int, error) { return p.timeout, p.getErr }

func pipe(t *testing.T) (path string, written func() string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "watchdog")
	if err := unix.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(path, unix.O_RDONLY|unix.O_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(fd) })
	return path, func() string {
		buf := make([]byte, 100)
		n, err := unix.Read(fd, buf)
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		return string(buf[:max(n, 0)])
	}
}

func TestDevice(t *testing.T) {
	path, written := pipe(t)
	d, err := openDevice(path, 30*time.Second, &pseudo{})
	if err != nil {
		t.Fatal(err)
	}
	if d.Timeout() != 30*time.Second || written() != "" {
		t.Errorf("timeout %v", d.Timeout())
	}
	for range 2 {
		if err := d.Feed(); err != nil {
			t.Fatal(err)
		}
	}
	if got := written(); got != "\x00\x00" {
		t.Errorf("fed with %q", got)
	}
	if n := testing.AllocsPerRun(10, func() { _ = d.Feed(); written() }); n > 1 { // the buffer of the reader
		t.Errorf("%v allocations", n)
	}
	if err := d.Release(); err != nil {
		t.Fatal(err)
	}
	if got := written(); got != "V" {
		t.Errorf("released with %q, want the magic close", got)
	}
}

// A device that cannot be used is let go of, so that it resets nothing.
func TestDeviceThatIsNone(t *testing.T) {
	for _, tt := range []struct {
		name string
		p    pseudo
		want string
	}{
		{"no watchdog", pseudo{setErr: unix.ENOTTY}, "it is no watchdog"},
		{"says nothing", pseudo{getErr: unix.EOPNOTSUPP}, "does not say"},
		{"too quick", pseudo{timeout: 10, setErr: unix.EINVAL}, "its timeout is 10s and cannot be 30s"},
		{"longer than wanted", pseudo{timeout: 60, setErr: unix.EOPNOTSUPP}, ""},
	} {
		path, written := pipe(t)
		d, err := openDevice(path, 30*time.Second, &tt.p)
		if tt.want == "" {
			if err != nil || d.Timeout() != time.Minute {
				t.Errorf("%s: %v", tt.name, err)
			}
			continue
		}
		if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v, want %q in it", tt.name, err, tt.want)
		}
		if got := written(); got != "V" {
			t.Errorf("%s: left with %q", tt.name, got)
		}
	}
	if _, err := OpenDevice(filepath.Join(t.TempDir(), "missing"), time.Minute); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("missing: %v", err)
	}
	if _, err := OpenDevice("/dev/null", time.Minute); err == nil || !strings.Contains(err.Error(), "no watchdog") {
		t.Errorf("/dev/null: %v", err)
	}
}

func TestSystemd(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s, err := OpenSystemd(socket)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Feed(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 100)
	n, err := conn.Read(buf)
	if err != nil || !bytes.Equal(buf[:n], alive) {
		t.Errorf("%q, %v", buf[:n], err)
	}
	if err := s.Release(); err != nil {
		t.Error(err)
	}
	if _, err := OpenSystemd(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("connected to nothing")
	}
	for _, tt := range []struct {
		usec, socket string
		want         time.Duration
	}{{"30000000", "/run/x", 30 * time.Second}, {"30000000", "", 0}, {"", "/run/x", 0}, {"x", "/run/x", 0}, {"0", "/run/x", 0}} {
		got, ok := FromSystemd(func(k string) string {
			return map[string]string{"WATCHDOG_USEC": tt.usec, "NOTIFY_SOCKET": tt.socket}[k]
		})
		if got != tt.want || ok != (tt.want > 0) {
			t.Errorf("%q %q: %v %v", tt.usec, tt.socket, got, ok)
		}
	}
}
