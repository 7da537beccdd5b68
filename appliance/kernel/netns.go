package kernel

import (
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// NetnsCookie returns the number that names the network namespace of the
// calling thread; no two namespaces of a boot have the same. It tells two nodes
// on one machine apart.
func NetnsCookie() (uint64, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, fmt.Errorf("kernel: %w", os.NewSyscallError("socket", err))
	}
	defer unix.Close(fd)
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_NETNS_COOKIE)
	if err != nil {
		return 0, fmt.Errorf("kernel: %w", os.NewSyscallError("getsockopt SO_NETNS_COOKIE", err))
	}
	return cookie, nil
}

// RuntimeDir returns the directory below base that belongs to the network
// namespace of the calling thread, as /run/understudy/1f. It is not created.
func RuntimeDir(base string) (string, error) {
	cookie, err := NetnsCookie()
	if err != nil {
		return "", err
	}
	return filepath.Join(base, fmt.Sprintf("%x", cookie)), nil
}
