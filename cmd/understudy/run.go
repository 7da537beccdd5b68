package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"understudy/appliance/config"
	"understudy/appliance/daemon"
	"understudy/appliance/dropin"
	"understudy/appliance/kernel"
	"understudy/appliance/logs"
	"understudy/appliance/replay"
	"understudy/vrrp/election"
	"understudy/vrrp/record"
)

// processFlags are what the two processes of a node are started with.
type processFlags struct {
	config  string
	control string
	level   slog.LevelVar
	record  string
	program string // the file that we were started from, whatever is in it now; "": not known yet

	// What the process was started with as keepalived; nil: it is none.
	spoken *dropin.Options
	log    *slog.Logger

	// The machine's watchdog, which the election feeds; one that is respawned is told
	// by the daemon.
	watchdog        string
	watchdogTimeout time.Duration
}

func (f *processFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "/etc/understudy/understudy.toml", "configuration file")
	c.Flags().Var((*levelFlag)(&f.level), "log-level", "what is logged: debug, info, warn or error; understudy log-level changes it")
	c.Flags().Var((*verboseFlag)(&f.level), "verbose", "log debug messages too")
	c.Flags().Lookup("verbose").NoOptDefVal = "true"
	c.Flags().StringVar(&f.record, "record", "", "directory for recordings of what both processes are given and decide; see understudy replay")
	controlFlag(c, &f.control)
}

// addHidden adds what only the other process gives.
func (f *processFlags) addHidden(c *cobra.Command) {
	c.Flags().StringVar(&f.program, "program", "", "file that the program was started from")
	c.Flags().MarkHidden("program")
	c.Flags().Var((*spokenFlag)(f), "keepalived", "what keepalived was started with")
	c.Flags().MarkHidden("keepalived")
	c.Flags().StringVar(&f.watchdog, "watchdog", "", "watchdog device")
	c.Flags().MarkHidden("watchdog")
	c.Flags().DurationVar(&f.watchdogTimeout, "watchdog-timeout", 0, "its timeout")
	c.Flags().MarkHidden("watchdog-timeout")
}

// tape begins a recording, if one is wanted. A directory that cannot be written to is no
// reason to be no gateway.
func (f *processFlags) tape(machine, node string) *record.Tape {
	if f.record == "" {
		return nil
	}
	log := f.logger(dropin.IdentVRRP)
	t, err := record.Open(record.Options{Dir: f.record, Machine: machine, Node: node, Program: version, Types: replay.Types(), Logger: log})
	if err != nil {
		log.Error("nothing is recorded", "machine", machine, "err", err)
		return nil
	}
	return t
}

// spawn starts the other process of the pair, from the file that choose names. It
// must outlive us, so it gets no parent death signal.
func (f *processFlags) spawn(subcommand string, choose func() string, more ...string) election.Spawn {
	return func(link, board *os.File) (*os.Process, error) {
		args := []string{subcommand, "--config", f.config, "--control", f.control, "--program", f.program}
		if l := f.level.Level(); l != slog.LevelInfo { // as it is now
			args = append(args, "--log-level", logs.LevelName(l))
		}
		if f.record != "" {
			args = append(args, "--record", f.record)
		}
		if f.spoken != nil {
			args = append(args, "--keepalived", (*spokenFlag)(f).String())
		}
		if f.watchdog != "" {
			args = append(args, "--watchdog", f.watchdog, "--watchdog-timeout", f.watchdogTimeout.String())
		}
		if subcommand == "daemon" {
			args = append(args, "--protocol", election.Protocol())
		}
		cmd := exec.Command(choose(), append(args, more...)...)
		cmd.Args[0] = "understudy"
		cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
		cmd.ExtraFiles = []*os.File{link, board}
		// Ctrl-C is for the election: it tells the daemon when its time has come.
		cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
		if err := cmd.Start(); err != nil {
			return nil, err
		}
		return cmd.Process, nil
	}
}

// relieve starts an election that waits for its predecessor to go. Of keepalived's
// process there is none: its pid files belong to the one that goes.
func (f *processFlags) relieve() election.Spawn {
	if f.spoken != nil {
		return nil
	}
	return f.spawn("election", func() string { return self }, "--relieve")
}

func newRun() *cobra.Command {
	var f processFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "be a gateway: elect, hold the identity, replicate (foreground)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := config.LoadSpoken(f.config, config.SpokenOptions{Runs: true, Tunnels: daemon.CanTunnel})
			err = configError(err)
			if err != nil {
				return err
			}
			if err := needs("a gateway", netAdmin, netRaw); err != nil {
				return err
			}
			return f.elect(cmd.Context(), cfg, f.logger(dropin.IdentParent))
		},
	}
	f.add(c)
	return c
}

// elect is the election process of a node that starts.
func (f *processFlags) elect(ctx context.Context, cfg *config.Config, log *slog.Logger) error {
	unlock, err := daemon.LockElection()
	if err != nil {
		return err
	}
	defer unlock()
	daemon.ForgetNames()
	if err := daemon.CleanKeepalived(cfg, log); err != nil {
		log.Warn("what a keepalived has left", "err", err) // as good as it can be
	}
	for _, w := range cfg.Warnings {
		log.Warn(daemon.NotCarried, "line", w)
	}
	atStart(ctx, cfg, log)
	daemon.InitFiles(nil, cfg, log)
	tape := f.tape(replay.Election, cfg.Node)
	defer tape.Close()
	p := newProgram(invoked(), log)
	f.program = p.path
	f.watchdog, f.watchdogTimeout = cfg.Watchdog.Device, cfg.Watchdog.Timeout
	o := f.election(log)
	relieved := false
	o.Relieved = func() { relieved = true; unlock() }
	o.Tape, o.Config, o.SpawnDaemon, o.Unfit, o.Ready = tape, cfg.Election(), f.spawn("daemon", p.choose), p.unfit, notifyReady(log)
	err = electionError(election.Run(ctx, o))
	if !relieved { // another one goes on
		f.atEnd(cfg, log)
	}
	return err
}

// election is what each election process of this program is started with.
func (f *processFlags) election(log *slog.Logger) election.Options {
	return election.Options{Dogs: f.dogs(), Version: version, OwnAddresses: kernel.Mark, Logger: log, Level: &f.level, Requests: f.requests(), Say: f.news(log)}
}

// notifyReady tells systemd, if it has started us, that the node takes part.
func notifyReady(log *slog.Logger) func() {
	return func() { tellSystemd(log, sd.SdNotifyReady) }
}

func tellSystemd(log *slog.Logger, state string) {
	if _, err := sd.SdNotify(false, state); err != nil {
		log.Warn("telling systemd", "state", state, "err", err)
	}
}

// news tells systemd of reloads and of the stop: `systemctl reload` returns when it is
// done, if the unit has Type=notify-reload.
func (f *processFlags) news(log *slog.Logger) func(election.News) {
	return func(n election.News) {
		if f.spoken != nil {
			sayNews(log, n)
		}
		switch n {
		case election.NewsReloading:
			var now unix.Timespec
			_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) // never fails
			tellSystemd(log, fmt.Sprintf("%s\nMONOTONIC_USEC=%d", sd.SdNotifyReloading, now.Nano()/1000))
		case election.NewsReloaded:
			tellSystemd(log, sd.SdNotifyReady)
		case election.NewsStopping:
			tellSystemd(log, sd.SdNotifyStopping)
		}
	}
}

// requests are signals for the daemon.
func (f *processFlags) requests() map[os.Signal]string {
	if f.spoken == nil {
		return nil
	}
	out := make(map[os.Signal]string, len(dropin.Requests))
	for s, what := range dropin.Requests {
		out[s] = what
	}
	return out
}

// electionError passes the daemon's exit code on: 2 is a configuration it refused.
func electionError(err error) error {
	var exit *election.ExitError
	if errors.As(err, &exit) {
		return &codeError{code: max(exit.Code, exitFailed), err: err}
	}
	return err
}

// newElection is the election process that a daemon starts in place of a dead
// one.
func newElection() *cobra.Command {
	var (
		f       processFlags
		relieve bool
	)
	c := &cobra.Command{
		Use:    "election",
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log := f.logger(dropin.IdentParent)
			unlock := func() {}
			defer func() { unlock() }()
			begin := func() (err error) {
				if unlock, err = daemon.LockElection(); err != nil {
					unlock = func() {}
					return err
				}
				// The service's main process is gone; systemd signals the new one, and so does
				// whoever goes by a file.
				tellSystemd(log, fmt.Sprintf("MAINPID=%d", os.Getpid()))
				return nil
			}
			if !relieve {
				if err := begin(); err != nil {
					return err
				}
				defer f.inheritPIDs(log).Remove()
			}
			link, board := election.InheritedFiles()
			tape := f.tape(replay.Election, "")
			defer tape.Close()
			p := newProgram(f.program, log)
			o := f.election(log)
			o.Tape, o.Link, o.Board, o.SpawnDaemon, o.Unfit = tape, link, board, f.spawn("daemon", p.choose), p.unfit
			relieved := false
			o.Relieved = func() { relieved = true; unlock() }
			if relieve {
				o.Begin = begin
			}
			err := electionError(election.Run(cmd.Context(), o))
			if !relieved {
				f.atEnd(nil, log)
			}
			f.sayStopped(log)
			return err
		},
	}
	f.add(c)
	f.addHidden(c)
	c.Flags().BoolVar(&relieve, "relieve", false, "wait for the election before to go")
	return c
}

// newDaemon is the process that does everything but elect.
func newDaemon() *cobra.Command {
	var (
		f        processFlags
		protocol string
	)
	c := &cobra.Command{
		Use:    "daemon",
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Before anything is touched.
			if err := sameProtocol(protocol); err != nil {
				return err
			}
			link, board := election.InheritedFiles()
			tape := f.tape(replay.Daemon, "")
			defer tape.Close()
			err := daemon.Run(cmd.Context(), daemon.Options{
				Tape: tape, Keepalived: f.spoken,
				ConfigFile: f.config, Control: f.control, Version: version,
				// The very program that this is: it talks as we do, and there is no time
				// to find out about another.
				Link: link, Board: board, SpawnElection: f.spawn("election", func() string { return self }),
				Program: f.program, Logger: f.logger(dropin.IdentVRRP), LogLevel: &f.level,
				RelieveElection: f.relieve(),
			})
			if errors.Is(err, daemon.ErrUpgrade) {
				return nil // it has said so
			}
			return configError(err)
		},
	}
	f.add(c)
	f.addHidden(c)
	c.Flags().StringVar(&protocol, "protocol", "", "what the election process speaks")
	c.Flags().MarkHidden("protocol")
	return c
}

// loadConfig reports a wrong configuration in full, as usage.
func loadConfig(path string) (*config.Config, error) {
	cfg, err := config.Load(path)
	return cfg, configError(err)
}

func configError(err error) error {
	var problems config.Problems
	if !errors.As(err, &problems) {
		return err
	}
	fmt.Fprintln(os.Stderr, strings.TrimRight(problems.Error(), "\n"))
	n := "1 problem"
	if len(problems) != 1 {
		n = fmt.Sprintf("%d problems", len(problems))
	}
	return usageError(fmt.Errorf("%s in %s", n, problems[0].File))
}
