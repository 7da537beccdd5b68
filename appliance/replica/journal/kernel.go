package journal

import (
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// ThisKernel tells which table of connections the caller is in: the running kernel's,
// in the network namespace of the calling thread.
func ThisKernel() (k session.Kernel, err error) {
	text, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return k, fmt.Errorf("journal: %w", err)
	}
	id := strings.ReplaceAll(strings.TrimSpace(string(text)), "-", "")
	if n, err := hex.Decode(k.Boot[:], []byte(id[:min(len(id), 2*len(k.Boot))])); err != nil || n != len(k.Boot) {
		return k, fmt.Errorf("journal: boot_id %q", text)
	}
	s, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return k, fmt.Errorf("journal: %w", os.NewSyscallError("socket", err))
	}
	defer unix.Close(s)
	cookie, err := unix.GetsockoptUint64(s, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err == unix.ENOPROTOOPT { // before Linux 5.14
		return k, nil
	}
	if err != nil {
		return k, fmt.Errorf("journal: %w", os.NewSyscallError("SO_NETNS_COOKIE", err))
	}
	k.Namespace = cookie
	return k, nil
}

// StampOf is the moment now, by both clocks. The kernel's is the one that goes on
// while the machine sleeps, as the time of its connections does not: what slept for
// an hour is an hour old for everyone else.
func StampOf(now time.Time) (at session.Stamp, err error) {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &ts); err != nil {
		return at, fmt.Errorf("journal: %w", os.NewSyscallError("clock_gettime", err))
	}
	return session.Stamp{Wall: now.UnixMilli(), Boot: ts.Nano() / 1e6}, nil
}
