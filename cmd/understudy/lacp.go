package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"understudy/lacp"
	"understudy/lacp/lacpnet"
)

// lacpFlags are what `understudy lacp` is called with.
type lacpFlags struct {
	interfaces  []string
	fast        bool
	passive     bool
	independent bool
	key         uint16
	system      string
	priority    uint16
	minLinks    int
	asJSON      bool
	duration    time.Duration
}

func newLACP() *cobra.Command {
	var f lacpFlags
	c := &cobra.Command{
		Use:   "lacp --interface IF [--interface IF2 …]",
		Short: "be one end of aggregated links, without a bond, and say what is wrong with them",
		Long: "Speaks LACP (IEEE 802.1AX) on the interfaces as a bond with these members would, and prints how each link\n" +
			"stands and what is wrong, whenever something changes. It moves no traffic, and the interfaces must not be members\n" +
			"of a bond. A far end that aggregates them will send its traffic here: it is for links that are not in use yet.\n" +
			"Ends with Ctrl-C, or after --for: then the exit code is 0 if every link carries and nothing is wrong, else 1.",
		Example: "  understudy lacp --interface eth2 --interface eth3 --fast --for 10s",
		RunE:    func(cmd *cobra.Command, _ []string) error { return f.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	flags := c.Flags()
	flags.StringArrayVar(&f.interfaces, "interface", nil, "interface to speak on; once for each link")
	flags.BoolVar(&f.fast, "fast", false, "ask the far end for a PDU each second, not each 30 s")
	flags.BoolVar(&f.passive, "passive", false, "speak only when spoken to")
	flags.BoolVar(&f.independent, "independent", false, "collect before distributing (independent control)")
	flags.Uint16Var(&f.key, "key", 1, "key of the links")
	flags.StringVar(&f.system, "system", "", "system identifier, a MAC address (default that of the first interface)")
	flags.Uint16Var(&f.priority, "system-priority", 65535, "system priority")
	flags.IntVar(&f.minLinks, "min-links", 1, "links that have to carry")
	flags.BoolVar(&f.asJSON, "json", false, "print one JSON object for each change")
	flags.DurationVar(&f.duration, "for", 0, "end after that time, and judge (default: go on)")
	return c
}

// check finds what is wrong with the call.
func (f *lacpFlags) check() (system lacp.MAC, err error) {
	if len(f.interfaces) == 0 {
		return system, errors.New("no --interface given")
	}
	seen := map[string]bool{}
	for _, name := range f.interfaces {
		if seen[name] {
			return system, fmt.Errorf("--interface %s is given twice", name)
		}
		seen[name] = true
		if _, err := os.Stat("/sys/class/net/" + name + "/bonding_slave"); err == nil {
			return system, fmt.Errorf("%s is a member of a bond, whose driver speaks LACP itself: take it out of the bond first", name)
		}
	}
	if f.system != "" {
		mac, err := net.ParseMAC(f.system)
		if err != nil || len(mac) != len(system) || mac[0]&1 != 0 {
			return system, fmt.Errorf("--system %s is no MAC address of a system, as 52:54:00:10:00:01", f.system)
		}
		system = lacp.MAC(mac)
	}
	return system, nil
}

func (f *lacpFlags) run(ctx context.Context, w io.Writer) error {
	system, err := f.check()
	if err != nil {
		return usageError(err)
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	if f.duration > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, f.duration)
		defer cancel()
	}
	cfg := lacp.ActorConfig{System: system, SystemPriority: f.priority, Fast: f.fast, Passive: f.passive, Independent: f.independent, Single: true,
		Ports: []lacp.PortConfig{{Key: f.key, Priority: 255}}}
	s, err := lacpnet.OpenSpeaker(cfg, newLogger(slog.LevelInfo), f.interfaces...)
	if err != nil {
		return err
	}
	self := lacp.NewSelf(lacp.MonitorConfig{MinLinks: f.minLinks}, f.interfaces...)
	out := &lacpPrinter{w: w, asJSON: f.asJSON}
	s.Tap(func(now time.Time, a *lacp.Actor, in lacp.ActorInput, sent []lacp.Sending) {
		self.Saw(now, a, in, sent)
		out.print(now, lacpReportOf(a, self))
	})
	if err := s.Run(ctx); err != nil {
		return err
	}
	if out.err != nil {
		return out.err
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) && self.State() != lacp.BondOK {
		return &codeError{code: exitFailed, quiet: true, err: errors.New("not every link carries, or something is wrong")}
	}
	return nil
}

// lacpPrinter prints a report when it is not the one before.
type lacpPrinter struct {
	w      io.Writer
	asJSON bool
	last   []byte
	err    error
}

func (p *lacpPrinter) print(now time.Time, r lacpReport) {
	same, err := json.Marshal(r)
	if err != nil || bytes.Equal(same, p.last) || p.err != nil {
		p.err = errors.Join(p.err, err)
		return
	}
	p.last = same
	r.At = now.Truncate(time.Millisecond)
	if p.asJSON {
		p.err = json.NewEncoder(p.w).Encode(r)
		return
	}
	_, p.err = io.WriteString(p.w, r.text())
}
