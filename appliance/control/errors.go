package control

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// explain says what an operator can do about a question that has not arrived.
func (c *Client) explain(err error) error {
	fail := func(what string) error { return fmt.Errorf("control: %s: %s", c.path, what) }
	const running = "is understudy running? (systemctl status understudy; --control or UNDERSTUDY_CONTROL, if it listens elsewhere)"
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("control: %s: no answer in time: the daemon is just starting, or hangs; its log says more (journalctl -u understudy): %w", c.path, err)
	case errors.Is(err, context.Canceled):
		return fmt.Errorf("control: %w", err)
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM):
		return fail("permission denied: the socket is root's alone; run as root (sudo understudy …)")
	case errors.Is(err, fs.ErrNotExist):
		return fail("there is no such socket: " + running)
	case errors.Is(err, syscall.ECONNREFUSED):
		if fi, statErr := os.Stat(c.path); statErr == nil && fi.Mode()&fs.ModeSocket == 0 {
			return fail("that is no socket: is --control (UNDERSTUDY_CONTROL) right?")
		}
		return fail("nobody answers at the socket, which one that has died has left: " + running)
	case strings.Contains(err.Error(), "malformed HTTP"):
		return fail("what answers there is not understudy: is --control (UNDERSTUDY_CONTROL) right?")
	}
	return fmt.Errorf("control: %s: no answer: %w", c.path, err)
}

// unknown says of a node that does not know what it is asked for of what version it is.
func (c *Client) unknown(ctx context.Context, method, path string) error {
	path, _, _ = strings.Cut(path, "?")
	its := "another version than this program"
	if path != statusPath {
		if s, err := c.Status(ctx); err == nil && s.Version != "" {
			its = "version " + s.Version
		}
	}
	return fmt.Errorf("control: %s: the node does not know %s %s: it is of %s; understudy upgrade there, or ask with the program of its version", c.path, method, path, its)
}

// unreadable says of an answer that it is not understood.
func (c *Client) unreadable(err error) error {
	return fmt.Errorf("control: %s: the answer is not understood; is the node of another version than this program? (understudy version): %w", c.path, err)
}
