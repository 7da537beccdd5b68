package dropin

import (
	"bytes"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

func TestHandler(t *testing.T) {
	file := filepath.Join(t.TempDir(), "ka.log")
	h, err := NewHandler(Options{NoSyslog: true, LogFile: file}, IdentVRRP, slog.LevelInfo)
	if err != nil {
		t.Fatal(err)
	}
	var console bytes.Buffer
	h.(*handler).out.console = &console
	log := slog.New(h)
	log.Debug("not this")
	log.Info("(VI_1) Entering MASTER STATE")
	log.With("router", "lan").WithGroup("g").Warn("it\nfailed", "err", errors.New("no such thing"), "n", 3, slog.Group("in", "x", ""))
	want := regexp.MustCompile(`^[A-Z][a-z]{2} [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}: \(VI_1\) Entering MASTER STATE
[^\n]*: it failed router=lan g\.err="no such thing" g\.n=3 g\.in\.x=""
$`)
	b, err := os.ReadFile(filepath.Join(filepath.Dir(file), "ka_vrrp.log"))
	if err != nil {
		t.Fatal(err)
	}
	for name, got := range map[string]string{"console": console.String(), "file": string(b)} {
		if !want.MatchString(got) {
			t.Errorf("%s:\n%s", name, got)
		}
	}
}

func TestLogFile(t *testing.T) {
	for _, tt := range [][3]string{
		{"/var/log/k.log", IdentVRRP, "/var/log/k_vrrp.log"}, {"/var/log/k", IdentVRRP, "/var/log/k_vrrp"}, {"/var/log/k.log", IdentParent, "/var/log/k.log"},
	} {
		if got := logFile(tt[0], tt[1]); got != tt[2] {
			t.Errorf("%v: %s", tt, got)
		}
	}
}

func TestFacility(t *testing.T) {
	for name, want := range map[string]int{"": 3, "daemon": 3, "user": 1, "local0": 16, "local7": 23, "5": 21, "LOCAL": -1, "8": -1, "local-1": -1} {
		p, err := facility(name)
		if got := int(p) >> 3; err == nil && got != want || (err != nil) != (want < 0) {
			t.Errorf("%q is %d, %v", name, got, err)
		}
	}
	if _, err := NewHandler(Options{Facility: "nobody"}, IdentVRRP, slog.LevelInfo); err == nil || !strings.Contains(err.Error(), "nobody") {
		t.Error(err)
	}
}
