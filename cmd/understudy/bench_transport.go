package main

import (
	"context"
	"io"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBenchTransport() *cobra.Command {
	var (
		f benchFlags
		o bench.TransportOptions
	)
	c := &cobra.Command{
		Use:   "transport",
		Short: "connections that outlive their server: stall, cost of a packet, memory",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				o.Progress, o.Log = progress, log
				return bench.RunTransport(ctx, o)
			})
		},
	}
	f.add(c)
	c.Flags().IntSliceVar(&o.Connections, "connections", []int{1, 100, 1000}, "connections at once")
	c.Flags().IntVar(&o.Deaths, "deaths", 4, "deaths of a server for each")
	c.Flags().IntVar(&o.Rounds, "rounds", 15, "rounds of packets")
	c.Flags().IntVar(&o.Held, "held", 50_000, "connections whose memory is measured")
	return c
}
