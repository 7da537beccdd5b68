package logs

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/sys/unix"
)

// journald is a twin of it: it reads records as it does.
type journald struct {
	t    *testing.T
	conn *net.UnixConn
	path string
}

func newJournald(t *testing.T) *journald {
	t.Helper()
	j := &journald{t: t, path: filepath.Join(t.TempDir(), "journal")}
	j.listen()
	return j
}

func (j *journald) listen() {
	j.t.Helper()
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: j.path, Net: "unixgram"})
	if err != nil {
		j.t.Fatal(err)
	}
	j.conn = c
	j.t.Cleanup(func() { c.Close() })
}

// record reads the next one.
func (j *journald) record() map[string]string {
	j.t.Helper()
	j.conn.SetReadDeadline(time.Now().Add(20 * time.Second))
	b, oob := make([]byte, 1<<20), make([]byte, 64)
	n, on, _, _, err := j.conn.ReadMsgUnix(b, oob)
	if err != nil {
		j.t.Fatal(err)
	}
	b = b[:n]
	if on > 0 {
		m, err := unix.ParseSocketControlMessage(oob[:on])
		if err != nil {
			j.t.Fatal(err)
		}
		fds, err := unix.ParseUnixRights(&m[0])
		if err != nil {
			j.t.Fatal(err)
		}
		f := os.NewFile(uintptr(fds[0]), "log")
		defer f.Close()
		if _, err := f.Seek(0, io.SeekStart); err != nil {
			j.t.Fatal(err)
		}
		if b, err = io.ReadAll(f); err != nil {
			j.t.Fatal(err)
		}
	}
	out := map[string]string{}
	for len(b) > 0 {
		i := bytes.IndexAny(b, "=\n")
		name := string(b[:i])
		if b[i] == '=' {
			line, rest, _ := bytes.Cut(b[i+1:], []byte("\n"))
			out[name], b = string(line), rest
			continue
		}
		size := int(binary.LittleEndian.Uint64(b[i+1:]))
		out[name], b = string(b[i+9:i+9+size]), b[i+10+size:]
	}
	return out
}

func TestJournalFields(t *testing.T) {
	j := newJournald(t)
	var level slog.LevelVar
	h, err := NewJournal(j.path, "understudy", &level)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(h)
	log.Debug("not yet")
	log.Info("transition", "group", "gateway", "state", "active", "term", 5)
	log.With("node", "gw1").WithGroup("peer").Warn("link lost", "name", "gw 2", slog.Group("at", "a.b", time.Second))
	log.Error("refused", "why", "line 1\nline 2")
	level.Set(slog.LevelDebug)
	log.Debug("now", "", "nothing")
	for _, want := range []map[string]string{
		{"MESSAGE": "transition group=gateway state=active term=5", "PRIORITY": "6", "SYSLOG_IDENTIFIER": "understudy",
			"UNDERSTUDY_GROUP": "gateway", "UNDERSTUDY_STATE": "active", "UNDERSTUDY_TERM": "5"},
		{"MESSAGE": `link lost node=gw1 peer_name="gw 2" peer_at_a.b=1s`, "PRIORITY": "4", "SYSLOG_IDENTIFIER": "understudy",
			"UNDERSTUDY_NODE": "gw1", "UNDERSTUDY_PEER_NAME": "gw 2", "UNDERSTUDY_PEER_AT_A_B": "1s"},
		{"MESSAGE": `refused why="line 1\nline 2"`, "PRIORITY": "3", "SYSLOG_IDENTIFIER": "understudy", "UNDERSTUDY_WHY": "line 1\nline 2"},
		{"MESSAGE": "now", "PRIORITY": "7", "SYSLOG_IDENTIFIER": "understudy"},
	} {
		if got := j.record(); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("got\n%v, want\n%v", got, want)
		}
	}
	// What no datagram can hold.
	long := strings.Repeat("x", 900_000)
	log.Info("long", "what", long)
	if got := j.record(); got["UNDERSTUDY_WHAT"] != long {
		t.Errorf("%d bytes of %d", len(got["UNDERSTUDY_WHAT"]), len(long))
	}
	// A journald that was restarted.
	j.conn.Close()
	os.Remove(j.path)
	log.Info("lost")
	j.listen()
	log.Info("found again")
	if got := j.record(); got["MESSAGE"] != "found again" {
		t.Errorf("got %v", got)
	}
}

// Records go to journald only if it is what reads the standard error.
func TestWhere(t *testing.T) {
	j := newJournald(t)
	file, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(file.Fd()), &st); err != nil {
		t.Fatal(err)
	}
	stream := fmt.Sprintf("%d:%d", st.Dev, st.Ino)
	for _, row := range []struct {
		name, stream, socket string
		terminal             bool
		want                 string // in the file; empty: it went to journald
	}{
		{"under journald", stream, j.path, false, ""},
		{"inherited from somebody else", "1:2", j.path, false, `"msg":"hello"`},
		{"nobody's", "", j.path, false, `"msg":"hello"`},
		{"a journald that is not there", stream, j.path + ".none", false, `"msg":"hello"`},
		{"a terminal", stream, j.path, true, "msg=hello"},
	} {
		t.Run(row.name, func(t *testing.T) {
			if err := file.Truncate(0); err != nil {
				t.Fatal(err)
			}
			file.Seek(0, io.SeekStart)
			h := NewHandler(Options{Level: slog.LevelInfo, Stderr: file, Terminal: row.terminal, Journal: row.socket,
				Getenv: func(key string) string { return map[string]string{"JOURNAL_STREAM": row.stream}[key] }})
			slog.New(h).Info("hello")
			text, err := os.ReadFile(file.Name())
			if err != nil {
				t.Fatal(err)
			}
			if row.want == "" {
				if got := j.record(); got["MESSAGE"] != "hello" || len(text) > 0 {
					t.Errorf("journald has %v, the file %q", got, text)
				}
			} else if !strings.Contains(string(text), row.want) {
				t.Errorf("the file has %q", text)
			}
		})
	}
}

// Too much of the same is counted, and the count is told; transitions and debug messages
// are not held back, nor is another message.
func TestRateLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var b written // the count is told by a timer
		log := slog.New(newLimited(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
			if a.Key == slog.TimeKey {
				return slog.Attr{}
			}
			return a
		}})))
		count := func(text string) int { return strings.Count(b.String(), text) }
		for i := range 200 {
			log.Warn("flood", "i", i)
			log.With("a", 1).Info("other", "i", i%10)
			log.Info("transition", "i", i)
			log.Debug("detail", "i", i)
		}
		for text, want := range map[string]int{"msg=flood": burst, "msg=other": burst, "msg=transition": 200, "msg=detail": 200} {
			if got := count(text); got != want {
				t.Errorf("%s: %d lines, want %d", text, got, want)
			}
		}
		time.Sleep(window + time.Second)
		synctest.Wait()
		for _, want := range []string{"level=WARN msg=flood suppressed=150 within=10s\n", "level=INFO msg=other a=1 suppressed=150 within=10s\n"} {
			if count(want) != 1 {
				t.Errorf("no %q in\n%s", want, b.String())
			}
		}
		before := count("msg=flood")
		log.Warn("flood", "again", true)
		if count("msg=flood") != before+1 {
			t.Error("after the window it is still held back")
		}
	})
}

// written is a buffer for several goroutines.
type written struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (w *written) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.Write(p)
}

func (w *written) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.b.String()
}

// A slow drip is never held back, and however many sayings there are, they are bounded.
func TestLimiterBounds(t *testing.T) {
	var l Limiter
	now := time.Unix(0, 0)
	for range 1000 {
		now = now.Add(time.Second)
		if ok, _ := l.Allow(now, slog.LevelInfo, "drip"); !ok {
			t.Fatal("one a second is held back")
		}
	}
	for i := range 5000 {
		if ok, _ := l.Allow(now, slog.LevelInfo, fmt.Sprint(i)); !ok {
			t.Fatal("a new saying is held back")
		}
	}
	if len(l.all) > sayings {
		t.Errorf("%d sayings are kept", len(l.all))
	}
	if ok, _ := l.Allow(now.Add(time.Hour), slog.LevelInfo, "later"); !ok || len(l.all) > 1 {
		t.Errorf("what is over is kept: %d", len(l.all))
	}
}

func TestLevels(t *testing.T) {
	var got []string
	for _, s := range []string{"debug", "INFO", "Warn", "error"} {
		l, err := ParseLevel(s)
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, LevelName(l))
	}
	if want := []string{"debug", "info", "warn", "error"}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
	if l, err := ParseLevel("loud"); err == nil {
		t.Errorf("loud is %v", l)
	}
}
