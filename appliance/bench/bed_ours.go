package bench

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance/lab/pair"
)

// oursIn is our program in a mode, with lines for its [sessions]; mode "off" is
// without any.
func oursIn(binary, mode, setting, keys string, log io.Writer) contender {
	return contender{Software: ours{}.Name(), Setting: setting, build: func(ctx context.Context, _ int) (*bed, error) {
		o := pair.Options{Binary: binary, Log: log, Mode: mode, SessionKeys: keys, NoSessions: mode == modeOff}
		if strings.HasPrefix(mode, "log-") { // a disk of this machine, for its price
			dir, err := os.MkdirTemp("", "understudy-bench-")
			if err != nil {
				return nil, fmt.Errorf("bench: %w", err)
			}
			o.Disk = dir
		}
		d, err := startDuoOf(ctx, o, patientUDP)
		if err != nil {
			return nil, errors.Join(err, removeDisk(o.Disk))
		}
		b := &bed{net: d.Pair, active: d.active, standby: d.standby, copies: d.Mirror != nil}
		b.plane = &oursPlane{bed: b, duo: d, disk: o.Disk, off: o.NoSessions, inKernel: !strings.Contains(keys, "takeover")}
		return b, nil
	}}
}

// Modes that measurements make a difference of: without any replication, and the one in
// which the standby is not told of flows, but sees their packets.
const (
	modeOff    = "off"
	modeActive = "active"
)

// patientUDP has flows of a single question and answer stay for as long as a
// measurement needs them.
func patientUDP(g *pair.Gateway) error { return g.Sysctl("netfilter/nf_conntrack_udp_timeout", "600") }

type oursPlane struct {
	*bed
	disk     string // directory of both journals; "": in the gateways
	duo      *duo
	off      bool
	inKernel bool // what the standby knows
}

func (p *oursPlane) close() error { return errors.Join(p.duo.close(), removeDisk(p.disk)) }

func removeDisk(dir string) error {
	if dir == "" {
		return nil
	}
	return os.RemoveAll(dir)
}

func (p *oursPlane) hot() bool { return p.inKernel }

func (p *oursPlane) told(n int) func(context.Context) error {
	return func(ctx context.Context) error {
		if p.off {
			return nil
		}
		if p.copies { // its program is not told of what its kernel sees
			in, err := passing(p.standby)
			if err == nil && in != n {
				err = fmt.Errorf("%d of %d in the standby's kernel", in, n)
			}
			return err
		}
		s, err := p.standby.Status(ctx)
		if err != nil {
			return err
		}
		if s.Sessions == nil || s.Sessions.Foreign != n || !s.Sessions.InSync {
			return fmt.Errorf("the standby does not have %d sessions: %+v", n, s.Sessions)
		}
		if !p.inKernel {
			return nil
		}
		in, err := tracked(p.standby)
		if err == nil && in < n {
			err = fmt.Errorf("%d of %d in the standby's kernel", in, n)
		}
		return err
	}
}

func (p *oursPlane) knows(ctx context.Context) (int, error) {
	if p.copies {
		return passing(p.standby)
	}
	s, err := p.standby.Status(ctx)
	if err != nil || s.Sessions == nil {
		return 0, err
	}
	return s.Sessions.Foreign, nil
}

func (p *oursPlane) takeover(ctx context.Context, stopped func()) (t Takeover, err error) {
	w, err := watch(p.net)
	if err != nil {
		return t, err
	}
	if err := p.active.Freeze(); err != nil {
		return t, errors.Join(err, w.stop())
	}
	stopped()
	from, err := p.active.Crash()
	if err == nil {
		err = p.wait(ctx, p.standby.Name+" taking over", func(ctx context.Context) error {
			took, err := took(w.sides, p.standby.Name, from)
			if err != nil {
				return err
			}
			t.MS = ms(took)
			if p.off {
				return nil
			}
			return p.duo.told(ctx, from, &t)
		})
	}
	return t, errors.Join(err, w.stop())
}

func (p *oursPlane) resync(ctx context.Context, n int) (time.Duration, error) {
	if err := errors.Join(p.standby.Kill(), p.standby.FlushConntrack(), p.standby.Reboot()); err != nil {
		return 0, err
	}
	if err := p.wait(ctx, "the link down", func(ctx context.Context) error { return p.linked(ctx, false) }); err != nil {
		return 0, err
	}
	if err := p.duo.start(p.standby); err != nil {
		return 0, err
	}
	if p.inKernel { // without a question to the program
		if err := waitUntil(ctx, bedPatience, "connections in the standby's kernel", func(context.Context) error {
			in, err := tracked(p.standby)
			if err == nil && in < n {
				err = fmt.Errorf("%d of %d", in, n)
			}
			return err
		}); err != nil {
			return 0, err
		}
	}
	inKernel := time.Now()
	if err := p.wait(ctx, fmt.Sprintf("%d sessions on a new standby", n), p.told(n)); err != nil {
		return 0, err
	}
	began, err := lastSaid(p.active.Output(), "session link up")
	if err != nil {
		return 0, err
	}
	ended, err := lastSaid(p.standby.Output(), "sessions in sync")
	if p.inKernel && inKernel.After(ended) {
		ended = inKernel
	}
	return ended.Sub(began), err
}

// lastSaid is when the program logged something last.
func lastSaid(log, what string) (time.Time, error) {
	lines := strings.Split(log, "\n")
	for i := len(lines) - 1; i >= 0; i-- {
		var l struct {
			Time time.Time
			Msg  string
		}
		if json.Unmarshal([]byte(lines[i]), &l) == nil && l.Msg == what {
			return l.Time, nil
		}
	}
	return time.Time{}, fmt.Errorf("bench: the program did not say %q", what)
}

// linked is a condition: the active gateway is connected to the standby, or not.
func (p *oursPlane) linked(ctx context.Context, want bool) error {
	s, err := p.active.Status(ctx)
	if err != nil {
		return err
	}
	if s.Sessions == nil || len(s.Sessions.Peers) != 1 || s.Sessions.Peers[0].Connected != want {
		return fmt.Errorf("connected is not %v", want)
	}
	return nil
}

func (p *oursPlane) restart(ctx context.Context, meanwhile func() error) error {
	pid, err := daemonOf(p.active)
	if err != nil {
		return err
	}
	if err := unix.Kill(pid, syscall.SIGKILL); err != nil {
		return fmt.Errorf("bench: kill the daemon of %s: %w", p.active.Name, err)
	}
	if err := meanwhile(); err != nil { // the other process has it run again
		return err
	}
	return p.wait(ctx, "another daemon", func(ctx context.Context) error {
		now, err := daemonOf(p.active)
		if err == nil && now == pid {
			err = errors.New("still the same")
		}
		if err == nil {
			_, err = p.active.Status(ctx)
		}
		return err
	})
}
