package main

import (
	"context"
	"io"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBenchSteering() *cobra.Command {
	var (
		f benchFlags
		o bench.SteeringOptions
	)
	c := &cobra.Command{
		Use:   "steering",
		Short: "entry points: how even each way to steer is, and who moves when a server goes",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, _ io.Writer) (benchReport, error) {
				o.Progress = progress
				return bench.RunSteering(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&o.Flows, "flows", 100_000, "flows, each of a client of its own")
	c.Flags().IntVar(&o.Servers, "servers", 10, "equal servers")
	c.Flags().Uint64Var(&o.Seed, "seed", 1, "of the clients' addresses")
	return c
}

func newBenchDeath() *cobra.Command {
	var (
		f benchFlags
		o bench.DeathOptions
	)
	c := &cobra.Command{
		Use:   "death",
		Short: "entry points: a server dies under its connections; when its clients are served again",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunDeath(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&o.Deaths, "deaths", 10, "deaths")
	c.Flags().IntVar(&o.Clients, "clients", 2000, "with a connection each, half of them silent")
	c.Flags().DurationVar(&o.Every, "every", 100*time.Millisecond, "between checks, and what one may take")
	c.Flags().IntVar(&o.Fall, "fall", 3, "failures until a server is down")
	return c
}
