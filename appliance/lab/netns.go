package lab

import (
	"fmt"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
)

// space is one unnamed network namespace and a netlink handle into it.
type space struct {
	ns netns.NsHandle
	nl *netlink.Handle
}

func newSpace() (*space, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		return nil, fmt.Errorf("read own namespace: %w", err)
	}
	defer home.Close()
	ns, err := netns.New()
	if err != nil {
		return nil, fmt.Errorf("new network namespace: %w", err)
	}
	// A thread that cannot go home must not serve other goroutines again.
	if err := netns.Set(home); err != nil {
		panic(fmt.Sprintf("lab: return to own namespace: %v", err))
	}
	nl, err := netlink.NewHandleAt(ns)
	if err != nil {
		ns.Close()
		return nil, fmt.Errorf("netlink in new namespace: %w", err)
	}
	return &space{ns: ns, nl: nl}, nil
}

// do runs fn with the calling goroutine's thread inside the namespace. It
// nests, and it survives a runtime.Goexit in fn (as t.Fatal does).
func (s *space) do(fn func() error) error {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	home, err := netns.Get()
	if err != nil {
		return fmt.Errorf("read own namespace: %w", err)
	}
	defer home.Close()
	if err := netns.Set(s.ns); err != nil {
		return fmt.Errorf("enter namespace: %w", err)
	}
	defer func() {
		if err := netns.Set(home); err != nil {
			panic(fmt.Sprintf("lab: return to own namespace: %v", err))
		}
	}()
	return fn()
}

// sysctl writes a value below /proc/sys/net, which the kernel resolves by the
// namespace of the thread that opens it. path has slashes: interface names may
// have dots in them.
func (s *space) sysctl(path, value string) error {
	return s.do(func() error {
		if err := os.WriteFile("/proc/sys/net/"+path, []byte(value), 0o644); err != nil {
			return fmt.Errorf("sysctl net/%s=%s: %w", path, value, err)
		}
		return nil
	})
}

func (s *space) close() {
	s.nl.Close()
	s.ns.Close()
}
