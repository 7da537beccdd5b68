package browser

import (
	"fmt"
	"net/netip"
	"os"
	"testing"

	"understudy/appliance/lab/pair"
)

// binary is the program under test.
var binary = os.Getenv("UNDERSTUDY_BINARY")

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	if binary != "" || os.Geteuid() != 0 {
		return m.Run()
	}
	dir, err := os.MkdirTemp("", "understudy-browser-")
	if err == nil {
		defer os.RemoveAll(dir)
		binary, err = pair.Build(dir)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "browser:", err)
		return 1
	}
	return m.Run()
}

func addrPort(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }
