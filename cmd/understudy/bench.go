package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBench() *cobra.Command {
	c := &cobra.Command{
		Use:   "bench",
		Short: "measure crashes, takeovers and the cost of sessions, in namespaces here (root)",
		Long: "Runs this program twice in a network made of unnamed namespaces, as the demo does, and measures.\n" +
			"Everything shares this machine: repeat, and read times beside the noise. Figures that miss an aim\n" +
			"are no error.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &codeError{code: exitUsage, quiet: true, err: errors.New("nothing to measure given")}
		},
	}
	c.AddCommand(newBenchCrash(), newBenchTakeover(), newBenchVRRP(), newBenchSessions(), newBenchChecks(), newBenchNAT(), newBenchTransport(), newBenchPretend())
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
	return c
}

// benchFlags are what every measurement has.
type benchFlags struct{ asJSON, verbose bool }

func (f *benchFlags) add(c *cobra.Command) {
	c.Flags().BoolVar(&f.asJSON, "json", false, "one JSON object on standard output; progress goes to standard error")
	c.Flags().BoolVar(&f.verbose, "verbose", false, "show what the gateways log")
}

// run measures, and writes the report.
func (f *benchFlags) run(cmd *cobra.Command, measure func(ctx context.Context, progress, log io.Writer) (benchReport, error)) error {
	if os.Geteuid() != 0 {
		return usageError(errors.New("the measurements make network namespaces, which takes root: sudo understudy bench"))
	}
	ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	progress, log := cmd.OutOrStdout(), io.Writer(nil)
	if f.asJSON {
		progress = cmd.ErrOrStderr()
	}
	if f.verbose {
		log = cmd.ErrOrStderr()
	}
	report, err := measure(ctx, progress, log)
	if err != nil {
		return err
	}
	if f.asJSON {
		return bench.WriteJSON(cmd.OutOrStdout(), report)
	}
	return report.WriteText(cmd.OutOrStdout())
}

type benchReport interface{ WriteText(io.Writer) error }

func newBenchCrash() *cobra.Command {
	var (
		f benchFlags
		o bench.CrashOptions
	)
	c := &cobra.Command{
		Use:   "crash",
		Short: "the outage of a crash, beside the protocol's bound and the noise",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunCrash(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().DurationSliceVar(&o.Intervals, "interval", []time.Duration{100 * time.Millisecond, 10 * time.Millisecond}, "advert intervals")
	c.Flags().IntVar(&o.Crashes, "crashes", 5, "at each interval")
	c.Flags().IntVar(&o.Connections, "connections", 200, "through the port forward")
	c.Flags().StringSliceVar(&o.Beside, "beside", nil, "crash other software likewise, with datagrams and a ping alone: "+strings.Join(bench.Rivals(), ", "))
	return c
}

func newBenchTakeover() *cobra.Command {
	var (
		f benchFlags
		o bench.TakeoverOptions
	)
	c := &cobra.Command{
		Use:   "takeover",
		Short: "how long a takeover is by the number of sessions; memory and processor time per session",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunTakeover(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().DurationVar(&o.Interval, "interval", 100*time.Millisecond, "advert interval")
	c.Flags().IntVar(&o.Few, "few", 100, "sessions to compare with")
	c.Flags().IntVar(&o.Many, "sessions", 0, "how many are many (default 100000, or what fills 3/4 of this kernel's table)")
	c.Flags().IntVar(&o.Runs, "runs", 9, "takeovers for each number of sessions")
	c.Flags().IntVar(&o.Sizes, "sizes", 5, "measurements of memory and processor time, -1 for none")
	return c
}
