package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	sd "github.com/coreos/go-systemd/v22/daemon"
	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/appliance/daemon"
	"understudy/appliance/kernel"
	"understudy/appliance/replay"
	"understudy/vrrp/election"
	"understudy/vrrp/record"
)

// processFlags are what the two processes of a node are started with.
type processFlags struct {
	config  string
	control string
	verbose bool
	record  string
	program string // the file that we were started from, whatever is in it now; "": not known yet

	// The machine's watchdog, which the election feeds; one that is respawned is told
	// by the daemon.
	watchdog        string
	watchdogTimeout time.Duration
}

func (f *processFlags) add(c *cobra.Command) {
	c.Flags().StringVar(&f.config, "config", "/etc/understudy/understudy.toml", "configuration file")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "log debug messages too")
	c.Flags().StringVar(&f.record, "record", "", "directory for recordings of what both processes are given and decide; see understudy replay")
	controlFlag(c, &f.control)
}

// addHidden adds what only the other process gives.
func (f *processFlags) addHidden(c *cobra.Command) {
	c.Flags().StringVar(&f.program, "program", "", "file that the program was started from")
	c.Flags().MarkHidden("program")
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
	log := newLogger(f.verbose)
	t, err := record.Open(record.Options{Dir: f.record, Machine: machine, Node: node, Program: version, Types: replay.Types(), Logger: log})
	if err != nil {
		log.Error("nothing is recorded", "machine", machine, "err", err)
		return nil
	}
	return t
}

// spawn starts the other process of the pair, from the file that choose names. It
// must outlive us, so it gets no parent death signal.
func (f *processFlags) spawn(subcommand string, choose func() string) election.Spawn {
	return func(link, board *os.File) (*os.Process, error) {
		args := []string{subcommand, "--config", f.config, "--control", f.control, "--program", f.program}
		if f.verbose {
			args = append(args, "--verbose")
		}
		if f.record != "" {
			args = append(args, "--record", f.record)
		}
		if f.watchdog != "" {
			args = append(args, "--watchdog", f.watchdog, "--watchdog-timeout", f.watchdogTimeout.String())
		}
		if subcommand == "daemon" {
			args = append(args, "--protocol", election.Protocol())
		}
		cmd := exec.Command(choose(), args...)
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

func newRun() *cobra.Command {
	var f processFlags
	c := &cobra.Command{
		Use:   "run",
		Short: "be a gateway: elect, hold the identity, replicate (foreground)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cfg, err := loadConfig(f.config)
			if err != nil {
				return err
			}
			unlock, err := daemon.LockElection()
			if err != nil {
				return err
			}
			defer unlock()
			for _, w := range cfg.Warnings {
				newLogger(f.verbose).Warn("not carried over from keepalived's language", "line", w)
			}
			tape := f.tape(replay.Election, cfg.Node)
			defer tape.Close()
			p := newProgram(invoked(), newLogger(f.verbose))
			f.program = p.path
			f.watchdog, f.watchdogTimeout = cfg.Watchdog.Device, cfg.Watchdog.Timeout
			err = election.Run(cmd.Context(), election.Options{
				Tape:   tape,
				Config: cfg.Election(), SpawnDaemon: f.spawn("daemon", p.choose), Unfit: p.unfit, Ready: notifyReady(f.verbose), Dogs: f.dogs(),
				Version:      version,
				OwnAddresses: kernel.Mark, Logger: newLogger(f.verbose),
			})
			return electionError(err)
		},
	}
	f.add(c)
	return c
}

// notifyReady tells systemd, if it has started us, that the node takes part.
func notifyReady(verbose bool) func() {
	return func() {
		if _, err := sd.SdNotify(false, sd.SdNotifyReady); err != nil {
			newLogger(verbose).Warn("telling systemd that we are ready", "err", err)
		}
	}
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
	var f processFlags
	c := &cobra.Command{
		Use:    "election",
		Hidden: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			unlock, err := daemon.LockElection()
			if err != nil {
				return err
			}
			defer unlock()
			// The service's main process has died; systemd signals the new one.
			if _, err := sd.SdNotify(false, fmt.Sprintf("MAINPID=%d", os.Getpid())); err != nil {
				newLogger(f.verbose).Warn("telling systemd our process id", "err", err)
			}
			link, board := election.InheritedFiles()
			tape := f.tape(replay.Election, "")
			defer tape.Close()
			p := newProgram(f.program, newLogger(f.verbose))
			return electionError(election.Run(cmd.Context(), election.Options{
				Tape: tape,
				Link: link, Board: board, SpawnDaemon: f.spawn("daemon", p.choose), Unfit: p.unfit, Dogs: f.dogs(),
				Version:      version,
				OwnAddresses: kernel.Mark, Logger: newLogger(f.verbose),
			}))
		},
	}
	f.add(c)
	f.addHidden(c)
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
				Tape:       tape,
				ConfigFile: f.config, Control: f.control, Version: version,
				// The very program that this is: it talks as we do, and there is no time
				// to find out about another.
				Link: link, Board: board, SpawnElection: f.spawn("election", func() string { return self }),
				Program: f.program, Logger: newLogger(f.verbose),
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
