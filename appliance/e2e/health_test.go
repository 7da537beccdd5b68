package e2e

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"understudy/appliance"
	"understudy/appliance/lab"
	"understudy/appliance/lab/pair"
)

// serviceVar makes this test program a service of a gateway: it serves a page, and
// resets a timer at the socket that is its value. While the file beside the socket
// is there the page does not come; the timer is reset all the same.
const serviceVar = "UNDERSTUDY_TEST_SERVICE"

func init() {
	if socket := os.Getenv(serviceVar); socket != "" {
		fmt.Fprintln(os.Stderr, service(socket))
		os.Exit(1)
	}
}

func service(socket string) error {
	go func() {
		for ; ; time.Sleep(50 * time.Millisecond) {
			if c, err := net.Dial("unixgram", socket); err == nil {
				_, _ = c.Write([]byte("WATCHDOG=1"))
				c.Close()
			}
		}
	}()
	return http.ListenAndServe("127.0.0.1:8080", http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if _, err := os.Stat(socket + ".half-dead"); err == nil {
			<-r.Context().Done()
		}
	}))
}

// A service on the active gateway dies by half: its timer goes on to be reset, its
// page does not come. A check of both notices, and the other gateway takes over
// with every flow; when it is well again the role comes back.
func TestHalfDeadServiceMovesTheRole(t *testing.T) {
	const socket = "/run/lab/timer"
	s := newScene(t, pair.Options{RouterKeys: `track = ["check:service:-150"]`, Extra: `
[[check]]
name = "timer"
kind = "watchdog"
socket = "` + socket + `"
every = "100ms"
timeout = "2s"

[[check]]
name = "page"
kind = "http"
target = "127.0.0.1:8080"
every = "100ms"
timeout = "500ms"

[[check]]
name = "service"
kind = "all"
checks = ["timer", "page"]`})
	for _, g := range s.Gateways {
		s.must(g.WriteFile("/run/lab/here", nil, 0o644))
		self, err := os.Executable()
		s.must(err)
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), serviceVar+"="+socket)
		_, err = g.StartWith(cmd)
		s.must(err)
	}
	s.settle()
	s.load(s.gw1, 10)
	s.wait("the service to be up", all(checkIs(s.gw1, "service", "up"), checkIs(s.gw2, "service", "up")))

	began := time.Now()
	s.must(s.gw1.WriteFile(socket+".half-dead", nil, 0o644))
	s.settled(s.gw2)
	s.intact(began)
	s.wait("who says what", all(checkIs(s.gw1, "timer", "up"), checkIs(s.gw1, "page", "down"), checkIs(s.gw1, "service", "down"), alarmed(s.gw1, "check-down")))
	s.wait("the reason", func(context.Context) error {
		return effective(s.status(s.gw1), 50, "check service down (-150): 1 of 2 up, 2 wanted: page: http 127.0.0.1:8080/: no answer")
	})
	back := time.Now()
	s.unlink(s.gw1, socket+".half-dead")
	s.settled(s.gw1)
	s.intact(back)
	s.whole()
}

// A server outside pushes heartbeats to both gateways and answers for them: it says
// that its own check fails, is stopped, goes on, and leaves. Others speak in its name.
func TestHeartbeatsOfAServer(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true, Extra: `
[[check]]
name = "pushed"
kind = "heartbeat"
listen = "0.0.0.0:7791"
server = "web1"
secret_file = "web1.secret"
every = "100ms"
timeout = "1s"

[[check]]
name = "pulled"
kind = "heartbeat"
target = "203.0.113.254:7791"
server = "web1"
secret_file = "web1.secret"
every = "100ms"
timeout = "1s"

[[check]]
name = "pushed-too"
kind = "heartbeat"
listen = "0.0.0.0:7791"
server = "web2"
secret_file = "web1.secret"

[[check]]
name = "seen"
kind = "any"
checks = ["pushed", "pulled"]`})
	secret, err := exec.Command(binary, "keygen").Output()
	s.must(err)
	for _, n := range []*lab.Node{s.gw1.Node, s.gw2.Node, s.Outside} {
		s.must(n.WriteFile("/run/lab/web1.secret", secret, 0o600))
	}
	s.must(s.gw1.Start())
	s.must(s.gw2.Start())
	s.wait("gw1 active", s.gw1.Is("active"))
	start := func() *lab.Process {
		p, err := s.Outside.Start(binary, "heartbeat", "--to", "203.0.113.2:7791,203.0.113.3:7791", "--listen", "203.0.113.254:7791",
			"--secret-file", "/run/lab/web1.secret", "--name", "web1", "--every", "100ms", "--", "/bin/sh", "-c", "test ! -e /run/lab/sick")
		s.must(err)
		return p
	}
	both := func(name, state string) func(context.Context) error {
		return all(checkIs(s.gw1, name, state), checkIs(s.gw2, name, state))
	}
	server := start()
	s.wait("its heartbeats", all(both("pushed", "up"), both("pulled", "up"), both("seen", "up")))
	s.must(s.Outside.WriteFile("/run/lab/sick", nil, 0o644))
	s.wait("its own check", all(both("pushed", "down"), both("pulled", "down"), both("seen", "down")))
	s.wait("what it says", lastError(s.gw1, "pushed", "web1 says that its own check failed"))
	s.unlink(s.Outside, "/run/lab/sick")
	s.wait("its own check to be well", both("seen", "up"))
	s.must(s.Outside.Freeze())
	s.wait("its silence", all(both("pushed", "down"), both("pulled", "down")))
	s.wait("why", all(lastError(s.gw1, "pushed", "no result"), lastError(s.gw1, "pulled", "no answer")))
	s.must(s.Outside.Thaw())
	s.wait("it to go on", both("seen", "up"))
	if err := server.Stop(patience); err != nil {
		t.Errorf("%v\n%s", err, server.Output())
	}
	s.wait("its goodbye", all(both("pushed", "down"), lastError(s.gw1, "pushed", "web1 says that it stops")))
	start()
	s.wait("another life of it", both("pushed", "up"))
	s.impostors()

	// A stranger, and one who has not got the secret.
	var conn net.Conn
	s.must(s.Outside.Do(func() (err error) { conn, err = net.Dial("udp", "203.0.113.2:7791"); return err }))
	defer conn.Close()
	s.wait("strangers to be counted", func(context.Context) error {
		_, _ = conn.Write([]byte("hello"))
		for _, h := range s.status(s.gw1).Heartbeats {
			if h.Listen == "0.0.0.0:7791" && h.Drops["format"] > 0 {
				return nil
			}
		}
		return fmt.Errorf("%+v", s.status(s.gw1).Heartbeats)
	})
}

// lastError is a condition: what a gateway says of the last failure of a check.
func lastError(g *pair.Gateway, name, want string) func(context.Context) error {
	return func(ctx context.Context) error {
		st, err := g.Status(ctx)
		if err != nil {
			return err
		}
		for _, c := range st.Checks {
			if c.Name == name && strings.Contains(c.LastError, want) {
				return nil
			}
		}
		return fmt.Errorf("%s: %+v", g.Name, st.Checks)
	}
}

// A watchdog that is none is told of, and the gateway serves all the same.
func TestWatchdogThatIsNone(t *testing.T) {
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true, Top: `watchdog = "/dev/null"`})
	s.must(s.gw1.Start())
	s.wait("gw1 active", s.gw1.Is("active"))
	s.wait("the alarm", alarmed(s.gw1, appliance.AlarmWatchdog))
}

// systemd's timer is reset while election and daemon are well, also by an election
// that took the place of another; not while nothing runs.
func TestSystemdsTimerIsReset(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "notify")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var resets atomic.Int64
	marks := make(chan struct{}, 1)
	go func() {
		buf := make([]byte, 4096)
		for {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			switch string(buf[:n]) {
			case "WATCHDOG=1":
				resets.Add(1)
			case "mark":
				marks <- struct{}{}
			}
		}
	}()
	s := newScene(t, pair.Options{NoNAT: true, NoSessions: true, Env: []string{"NOTIFY_SOCKET=" + socket, "WATCHDOG_USEC=1000000"}})
	more := func(context.Context) error {
		was := resets.Load()
		for range 20 {
			time.Sleep(100 * time.Millisecond)
			if resets.Load() > was+1 {
				return nil
			}
		}
		return fmt.Errorf("%d resets, and no more", was)
	}
	s.must(s.gw1.Start())
	s.wait("gw1 active", s.gw1.Is("active"))
	s.wait("resets", more)
	s.kill(s.gw1, "run")
	s.wait("resets by another election", more)
	// counted is how many there were until now.
	counted := func() int64 {
		t.Helper()
		mark, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: socket, Net: "unixgram"})
		s.must(err)
		defer mark.Close()
		_, err = mark.Write([]byte("mark"))
		s.must(err)
		<-marks
		return resets.Load()
	}
	s.must(s.gw1.Freeze())
	s.wait("gw1 to stand still", standsStill(s.gw1))
	was := counted()
	time.Sleep(time.Second)
	if n := counted(); n != was {
		t.Errorf("%d resets by nobody", n-was)
	}
	s.must(s.gw1.Thaw())
	s.wait("resets", more)
}

// standsStill is a condition: every process of the gateway has been stopped.
func standsStill(g *pair.Gateway) func(context.Context) error {
	return func(context.Context) error {
		pids, err := g.Pids()
		if err != nil {
			return err
		}
		for _, pid := range pids {
			stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
			if err != nil {
				return err
			}
			if _, rest, _ := strings.Cut(string(stat), ") "); !strings.HasPrefix(rest, "T") {
				return fmt.Errorf("process %d runs: %s", pid, stat)
			}
		}
		return nil
	}
}
