package main

import (
	"context"
	"errors"
	"io"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBenchNAT() *cobra.Command {
	c := &cobra.Command{
		Use:   "nat",
		Short: "address translation: many mappings, entry points",
		Long:  "`make bench-nat` runs all of it.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &codeError{code: exitUsage, quiet: true, err: errors.New("nothing to measure given")}
		},
	}
	c.AddCommand(newBenchMappings(), newBenchSteering(), newBenchDeath())
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
	return c
}

func newBenchMappings() *cobra.Command {
	var (
		f benchFlags
		o bench.MappingsOptions
	)
	c := &cobra.Command{
		Use:   "mappings",
		Short: "load, change and cost of many mappings, beside a rule each (nft -f, iptables-restore)",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, _ io.Writer) (benchReport, error) {
				o.Progress = progress
				return bench.RunMappings(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().IntSliceVar(&o.Mappings, "mappings", []int{1, 1_000, 10_000, 100_000}, "numbers of mappings")
	c.Flags().IntVar(&o.Runs, "runs", 5, "measurements of each")
	c.Flags().IntVar(&o.Flows, "flows", 20_000, "new flows for each rate; fewer through many rules")
	return c
}
