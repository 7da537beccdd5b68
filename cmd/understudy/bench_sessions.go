package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBenchSessions() *cobra.Command {
	c := &cobra.Command{
		Use:   "sessions",
		Short: "replication of sessions: crashes, every mode, beside conntrackd",
		Long: "Measures what replication keeps, costs and loses: in every mode of sessions.mode, and beside conntrackd.\n" +
			"`make bench-sessions` runs all of it. A mode that this program does not run in is said to be refused.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &codeError{code: exitUsage, quiet: true, err: errors.New("nothing to measure given")}
		},
	}
	c.AddCommand(newBenchMatrix(), newBenchModes(), newBenchVersus())
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
	return c
}

// modesFlag are the modes to measure.
func modesFlag(c *cobra.Command, modes *[]string) {
	c.Flags().StringSliceVar(modes, "modes", bench.Modes(), "of sessions.mode")
}

func checkModes(modes []string) error {
	for _, m := range modes {
		if !slices.Contains(bench.Modes(), m) {
			return usageError(fmt.Errorf("--modes %s: use %s", m, strings.Join(bench.Modes(), ", ")))
		}
	}
	return nil
}

func newBenchMatrix() *cobra.Command {
	var (
		f    benchFlags
		o    bench.MatrixOptions
		keys []string
	)
	c := &cobra.Command{
		Use:   "crash",
		Short: "which flows a crash loses, of every class, in every mode",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkModes(o.Modes); err != nil {
				return err
			}
			o.Keys = strings.Join(keys, "\n")
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunMatrix(ctx, o)
			})
		},
	}
	f.add(c)
	modesFlag(c, &o.Modes)
	c.Flags().IntVar(&o.Crashes, "runs", 20, "crashes in each mode")
	c.Flags().IntVar(&o.Few, "few", 0, "crashes in modes other than hybrid, incremental and leader-follower (default as many)")
	c.Flags().IntVar(&o.Rate, "rate", 600, "new connections a second until the crash")
	c.Flags().DurationVar(&o.Interval, "interval", 100*time.Millisecond, "advert interval")
	c.Flags().Uint64Var(&o.Seed, "seed", 0, "of the moments (default another one each time)")
	c.Flags().StringArrayVar(&keys, "key", nil, "a line for the [sessions] table of both gateways")
	return c
}

// sessionsFlags are what measurements by the number of sessions have.
func sessionsFlags(c *cobra.Command, o *bench.SessionsOptions, runs int, sessions ...int) {
	modesFlag(c, &o.Modes)
	c.Flags().IntVar(&o.Runs, "runs", runs, "measurements of each")
	c.Flags().IntVar(&o.Once, "once", 1_000_000, "number of sessions from which on each is measured once, 0 for none")
	c.Flags().IntSliceVar(&o.Sessions, "sessions", sessions, "numbers of sessions")
	c.Flags().IntVar(&o.Rate, "rate", 10_000, "connections a second that begin, close and end")
}

const limitsAreRaised = "For that many sessions the limits of this machine's connection table are raised, and put back at\n" +
	"the end, whatever ends it. Nothing else may use connection tracking meanwhile."

func newBenchModes() *cobra.Command {
	var (
		f benchFlags
		o bench.SessionsOptions
	)
	c := &cobra.Command{
		Use:   "modes",
		Short: "what each mode costs, takes and loses, by the number of sessions",
		Long:  limitsAreRaised,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkModes(o.Modes); err != nil {
				return err
			}
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunModes(ctx, o)
			})
		},
	}
	f.add(c)
	sessionsFlags(c, &o, 3, 1_000, 100_000, 1_000_000)
	return c
}

func newBenchVersus() *cobra.Command {
	var (
		f benchFlags
		o bench.VersusOptions
	)
	c := &cobra.Command{
		Use:   "conntrackd",
		Short: "beside conntrackd: its external cache, and its direct injection",
		Long:  "Of --modes the first that this program takes is measured (default hybrid).\n" + limitsAreRaised,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := checkModes(o.Modes); err != nil {
				return err
			}
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunVersus(ctx, o)
			})
		},
	}
	f.add(c)
	sessionsFlags(c, &o.SessionsOptions, 3, 100_000, 1_000_000)
	c.Flags().DurationVar(&o.Idle, "idle", 30*time.Second, "how long a stream of datagrams lasts; below 5m timeouts are shortened to a third")
	c.Flags().IntVar(&o.Truth, "truth", 20_000, "sessions of the tables that are compared, -1 for none")
	return c
}
