package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBenchChecks() *cobra.Command {
	var (
		f benchFlags
		o bench.ChecksOptions
	)
	c := &cobra.Command{
		Use:   "checks",
		Short: "processor time and memory of thousands of TCP checks, beside keepalived's checker",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunChecks(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&o.Checks, "checks", 2000, "each once a second")
	c.Flags().IntVar(&o.Runs, "runs", 3, "measurements of each")
	c.Flags().DurationVar(&o.Window, "window", 20*time.Second, "of each measurement")
	return c
}

// newBenchPretend starts what believes in IPVS: see [bench.Pretend].
func newBenchPretend() *cobra.Command {
	return &cobra.Command{
		Use:    bench.PretendCommand + " -- COMMAND...",
		Hidden: true,
		Args:   cobra.MinimumNArgs(1),
		RunE:   func(_ *cobra.Command, args []string) error { return bench.Pretend(args) },
	}
}
