package bench

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// Machine is where and when a measurement was made.
type Machine struct {
	Date       string `json:"date"` // RFC 3339
	Processor  string `json:"processor"`
	Processors int    `json:"processors"`
	Kernel     string `json:"kernel"`
	// LoadBefore is the load average when the measurement began: what others did
	// to it.
	LoadBefore string `json:"load_before"`
	LoadAfter  string `json:"load_after"`
}

func thisMachine(now time.Time) Machine {
	m := Machine{Date: now.Format(time.RFC3339), Processors: runtime.NumCPU(), LoadBefore: load()}
	if b, err := os.ReadFile("/proc/cpuinfo"); err == nil {
		m.Processor = processor(b)
	}
	var u unix.Utsname
	if unix.Uname(&u) == nil {
		m.Kernel = unix.ByteSliceToString(u.Release[:])
	}
	return m
}

func (m Machine) String() string {
	return fmt.Sprintf("%s, %d processors (%s), Linux %s, load %s before, %s after",
		m.Date, m.Processors, m.Processor, m.Kernel, m.LoadBefore, m.LoadAfter)
}

// processor finds the model in the text of /proc/cpuinfo.
func processor(b []byte) string {
	sc := bufio.NewScanner(bytes.NewReader(b))
	for sc.Scan() {
		if key, value, ok := strings.Cut(sc.Text(), ":"); ok && strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

// load is the load average of the last minute.
func load() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	one, _, _ := strings.Cut(string(b), " ")
	return one
}
