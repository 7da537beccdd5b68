package garpnet

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"understudy/garp"
)

// Sender sends announcements. It is not safe for concurrent use.
type Sender struct {
	control int // any socket, for ioctls
	ports   map[string]*port
	scratch frames
}

// New returns a Sender for the network namespace of the calling thread. It
// opens no packet socket yet.
func New() (*Sender, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("garpnet: %w", os.NewSyscallError("socket", err))
	}
	return &Sender{control: fd, ports: make(map[string]*port)}, nil
}

// Close closes all sockets.
func (s *Sender) Close() error {
	var errs []error
	for name, p := range s.ports {
		errs = append(errs, p.close())
		delete(s.ports, name)
	}
	errs = append(errs, unix.Close(s.control))
	return errors.Join(errs...)
}

// SendAll sends one frame for each claim, in order, and returns how many left.
// What fails on one interface does not keep back the others; the error joins
// the first failure of each interface. The rest of a failed interface's claims
// is skipped: the schedule comes round again.
func (s *Sender) SendAll(claims []garp.Claim) (sent int, err error) {
	var failed map[string]error
	for len(claims) > 0 {
		name, n := claims[0].Interface, 1
		for n < len(claims) && claims[n].Interface == name {
			n++
		}
		if failed[name] == nil {
			k, err := s.send(name, claims[:n])
			sent += k
			if err != nil {
				if failed == nil {
					failed = make(map[string]error)
				}
				failed[name] = fmt.Errorf("garpnet: %s: %w", name, err)
				s.forget(name)
			}
		}
		claims = claims[n:]
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(failed)) {
		errs = append(errs, failed[name])
	}
	return sent, errors.Join(errs...)
}

func (s *Sender) send(name string, claims []garp.Claim) (int, error) {
	p, err := s.port(name)
	if err != nil {
		return 0, err
	}
	return p.send(&s.scratch, claims)
}

// port returns the open socket of the interface that has the name now.
func (s *Sender) port(name string) (*port, error) {
	index, mac, err := s.lookup(name)
	if err != nil {
		return nil, err
	}
	p := s.ports[name]
	if p != nil && p.index != index {
		s.forget(name)
		p = nil
	}
	if p == nil {
		if p, err = openPort(name, index); err != nil {
			return nil, err
		}
		s.ports[name] = p
	}
	p.mac = mac
	return p, nil
}

func (s *Sender) forget(name string) {
	if p := s.ports[name]; p != nil {
		_ = p.close()
		delete(s.ports, name)
	}
}

// lookup asks the kernel for index and MAC of the interface.
func (s *Sender) lookup(name string) (index int, mac garp.MAC, err error) {
	ifr, err := unix.NewIfreq(name)
	if err != nil {
		return 0, mac, fmt.Errorf("interface name %q: %w", name, err)
	}
	if err := unix.IoctlIfreq(s.control, unix.SIOCGIFINDEX, ifr); err != nil {
		return 0, mac, os.NewSyscallError("ioctl SIOCGIFINDEX", err)
	}
	index = int(ifr.Uint32())
	mac, err = hardwareAddr(s.control, name)
	return index, mac, err
}
