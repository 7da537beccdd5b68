package conntrack

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"

	"golang.org/x/sys/unix"
)

// Listeners returns the netlink ports, but for our own, of the sockets in the calling
// thread's network namespace that hear connection events: conntrack -E, ulogd,
// conntrackd and the like.
func Listeners(own ...uint32) ([]uint32, error) {
	f, err := os.Open("/proc/thread-self/net/netlink")
	if err != nil {
		return nil, fmt.Errorf("conntrack: who listens: %w", err)
	}
	defer f.Close()
	ports, err := listeners(f, own)
	if err != nil {
		return nil, fmt.Errorf("conntrack: who listens: %w", err)
	}
	return ports, nil
}

// listeners reads the kernel's list of netlink sockets, a line each: address,
// protocol, port, groups as a bit mask in hex (those up to 32), and more.
func listeners(r io.Reader, own []uint32) (ports []uint32, err error) {
	const flows = 1<<(GroupNew-1) | 1<<(GroupUpdate-1) | 1<<(GroupDestroy-1)
	lines := bufio.NewScanner(r)
	lines.Scan() // the heading
	for lines.Scan() {
		words := bytes.Fields(lines.Bytes())
		if len(words) < 4 {
			return nil, fmt.Errorf("line %q", lines.Text())
		}
		protocol, err := strconv.Atoi(string(words[1]))
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		port, err := strconv.ParseInt(string(words[2]), 10, 64) // the kernel prints it with a sign
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		groups, err := strconv.ParseUint(string(words[3]), 16, 32)
		if err != nil {
			return nil, fmt.Errorf("line %q: %w", lines.Text(), err)
		}
		if protocol == unix.NETLINK_NETFILTER && groups&flows != 0 && !slices.Contains(own, uint32(port)) {
			ports = append(ports, uint32(port))
		}
	}
	return ports, lines.Err()
}
