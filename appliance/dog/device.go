package dog

import (
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// Device is a watchdog of the kernel (Documentation/watchdog/watchdog-api): once
// it is open it resets the machine unless it is written to in time, also when the
// process that had it open has died.
type Device struct {
	fd      int
	path    string
	timeout time.Duration
}

// control asks a device; it stands for ioctl in tests.
type control interface {
	set(fd int, seconds int) error
	get(fd int) (seconds int, err error)
}

type ioctls struct{}

func (ioctls) set(fd, seconds int) error {
	return unix.IoctlSetPointerInt(fd, unix.WDIOC_SETTIMEOUT, seconds)
}
func (ioctls) get(fd int) (int, error) { return unix.IoctlGetInt(fd, unix.WDIOC_GETTIMEOUT) }

// OpenDevice opens the device and sets its timeout, in whole seconds. A driver may
// take another one; if that is shorter, the device is closed again: it is fed too
// seldom for it.
func OpenDevice(path string, timeout time.Duration) (*Device, error) {
	return openDevice(path, timeout, ioctls{})
}

func openDevice(path string, timeout time.Duration, c control) (*Device, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, fmt.Errorf("watchdog %s: %w", path, err)
	}
	d := &Device{fd: fd, path: path}
	if err := d.adjust(timeout, c); err != nil {
		return nil, errors.Join(fmt.Errorf("watchdog %s: %w", path, err), d.Release())
	}
	return d, nil
}

func (d *Device) adjust(timeout time.Duration, c control) error {
	if err := c.set(d.fd, int(timeout/time.Second)); err != nil && !errors.Is(err, unix.EOPNOTSUPP) && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("it is no watchdog: %w", err)
	}
	seconds, err := c.get(d.fd)
	if err != nil {
		return fmt.Errorf("it does not say its timeout: %w", err)
	}
	d.timeout = time.Duration(seconds) * time.Second
	if d.timeout < timeout {
		return fmt.Errorf("its timeout is %v and cannot be %v", d.timeout, timeout)
	}
	return nil
}

// Timeout is what the driver goes by.
func (d *Device) Timeout() time.Duration { return d.timeout }

var fed, magic = []byte{0}, []byte{'V'}

// Feed resets the timer.
func (d *Device) Feed() error { return d.write(fed) }

// Release stops the timer, by the magic close, and closes the device. A kernel
// with nowayout goes on counting all the same.
func (d *Device) Release() error {
	err := d.write(magic)
	if cerr := unix.Close(d.fd); cerr != nil {
		err = errors.Join(err, os.NewSyscallError("close", cerr))
	}
	return err
}

func (d *Device) write(b []byte) error {
	if _, err := unix.Write(d.fd, b); err != nil {
		return os.NewSyscallError("write", err)
	}
	return nil
}
