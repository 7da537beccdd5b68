package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"understudy/appliance/lab/pair"
)

// Events that are to leave the role where it is.
const (
	eventReload  = "reload"
	eventRestart = "restart"
	eventUpgrade = "upgrade"
)

// staying tells whether an event is to leave the role where it is.
func staying(name string) bool {
	return name == eventReload || name == eventRestart || name == eventUpgrade
}

// inPlace does to the active gateway what operators do to it while it serves.
func (d *demo) inPlace(ctx context.Context, g *pair.Gateway) error {
	for _, do := range []func(context.Context, *pair.Gateway) error{d.reload, d.restart, d.upgrade} {
		if err := do(ctx, g); err != nil {
			return err
		}
	}
	return nil
}

// stay is an event after which g has to be active as before, and both have to be in sync.
func (d *demo) stay(ctx context.Context, name string, g *pair.Gateway, act func(context.Context) error) error {
	return d.event(ctx, name, 0, g, func(ctx context.Context) (from, cut time.Time, err error) {
		from = time.Now()
		ctx, cancel := context.WithTimeout(ctx, 2*patience)
		defer cancel()
		if err := act(ctx); err != nil {
			return from, from, err
		}
		if err := d.wait(ctx, "both in sync", d.pair.Settled(g)); err != nil {
			return from, from, err
		}
		return from, time.Now(), nil
	})
}

// reload gives both gateways another configuration, which has an address and forwards
// more, and tries one of those.
func (d *demo) reload(ctx context.Context, g *pair.Gateway) error {
	return d.stay(ctx, eventReload, g, func(ctx context.Context) error {
		d.say("RELOAD: an address and two forwards more; understudy reload on %s, then on %s", d.pair.Other(g).Name, g.Name)
		for _, g := range []*pair.Gateway{d.pair.Other(g), g} {
			if err := errors.Join(g.SetConfig(g.MoreConfig()), g.Reload(ctx)); err != nil {
				return err
			}
		}
		c, err := d.pair.Through(ctx, pair.MoreForward, 1)
		if err != nil {
			return err
		}
		c.Stop()
		return nil
	})
}

// restart has the active gateway start its daemon anew.
func (d *demo) restart(ctx context.Context, g *pair.Gateway) error {
	return d.stay(ctx, eventRestart, g, func(ctx context.Context) error {
		d.say("RESTART: understudy upgrade on %s, whose file is the same: its daemon is started anew", g.Name)
		return d.renew(ctx, g, false)
	})
}

// upgrade replaces the program's file, and both processes of both gateways.
func (d *demo) upgrade(ctx context.Context, g *pair.Gateway) error {
	return d.stay(ctx, eventUpgrade, g, func(ctx context.Context) error {
		d.say("UPGRADE: the program's file replaced; understudy upgrade --election on %s, then on %s", d.pair.Other(g).Name, g.Name)
		if err := d.program.replace(); err != nil {
			return err
		}
		for _, g := range []*pair.Gateway{d.pair.Other(g), g} {
			if err := d.renew(ctx, g, true); err != nil {
				return err
			}
		}
		return nil
	})
}

// renew exchanges the gateway's daemon, and its election as well, for those of the file
// that is there now.
func (d *demo) renew(ctx context.Context, g *pair.Gateway, election bool) error {
	was, err := g.Processes()
	if err != nil {
		return err
	}
	if err := g.Upgrade(ctx); err != nil {
		return err
	}
	if err := d.wait(ctx, "another daemon on "+g.Name, g.Renewed("", was["daemon"])); err != nil {
		return err
	}
	if !election {
		return nil
	}
	if err := d.wait(ctx, "its answer", g.InSync); err != nil {
		return err
	}
	if err := g.UpgradeElection(ctx); err != nil {
		return err
	}
	return d.wait(ctx, "another election on "+g.Name, g.Renewed(d.program.path, was["daemon"], was["run"], was["election"]))
}

// changes lists the changes of state that the gateways remember since then, a line each.
// One that does not answer has crashed: it remembers nothing.
func (d *demo) changes(ctx context.Context, since time.Time) (lines []string) {
	for _, g := range d.pair.Gateways {
		all, err := g.Transitions(ctx, since.Round(0))
		if err != nil {
			continue
		}
		for i := range all {
			lines = append(lines, g.Name+": "+all[i].Line())
		}
	}
	return lines
}

// program is the file that the gateways run, under a name by which it can be replaced as
// packages do it, and the file that is to replace it.
type program struct{ dir, path, next string }

// newProgram makes both beforehand: to copy a program while traffic is watched would show
// in it. Where the directory is one of which nothing may be executed, the next one is the
// same file by another name.
func newProgram(binary string) (_ *program, err error) {
	if binary == "" {
		binary, err = os.Executable()
	} else {
		binary, err = filepath.Abs(binary)
	}
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	dir, err := os.MkdirTemp("", "understudy-demo-")
	if err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	p := &program{dir: dir, path: filepath.Join(dir, "understudy"), next: filepath.Join(dir, "understudy.new")}
	err = errors.Join(os.Symlink(binary, p.path), copyProgram(binary, p.next))
	if err == nil && exec.Command(p.next, "version").Run() != nil {
		err = errors.Join(os.Remove(p.next), os.Symlink(binary, p.next))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("demo: %w", err), p.remove())
	}
	return p, nil
}

// replace puts the next one in its place.
func (p *program) replace() error { return os.Rename(p.next, p.path) }

func (p *program) remove() error { return os.RemoveAll(p.dir) }

func copyProgram(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
