package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/bench"
)

func newBenchVRRP() *cobra.Command {
	c := &cobra.Command{
		Use:   "vrrp",
		Short: "VRRP beside keepalived, in the same networks in turn",
		Long: "Each measurement runs this program and keepalived in turn in the same networks of unnamed\n" +
			"namespaces, and prints both with their ratio. `make bench-vrrp` runs all of them.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &codeError{code: exitUsage, quiet: true, err: errors.New("nothing to measure given")}
		},
	}
	c.AddCommand(newBenchOutage(), newBenchRelease(), newBenchShut(), newBenchScale(), newBenchMass(), newBenchLoad(), newBenchFlood())
	for _, sub := range c.Commands() {
		asUsage(sub)
	}
	return c
}

// besideFlags are what every measurement beside keepalived has.
type besideFlags struct {
	benchFlags
	bench.Beside
}

// newBeside makes the command of such a measurement, which is made so many times.
func newBeside(use, short string, runs int, measure func(context.Context, bench.Beside) (benchReport, error)) *cobra.Command {
	var f besideFlags
	c := &cobra.Command{
		Use:   use,
		Short: short,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return f.run(cmd, func(ctx context.Context, progress, log io.Writer) (benchReport, error) {
				f.Progress, f.Log = progress, log
				return measure(ctx, f.Beside)
			})
		},
	}
	f.add(c)
	c.Flags().IntVar(&f.Runs, "runs", runs, "measurements of each")
	return c
}

// macsFlag reads kinds of hardware addresses.
func macsFlag(names []string) (virtual []bool, err error) {
	for _, n := range names {
		if n != "interface" && n != "virtual" {
			return nil, usageError(fmt.Errorf("--mac %s: use interface or virtual", n))
		}
		virtual = append(virtual, n == "virtual")
	}
	return virtual, nil
}

func newBenchOutage() *cobra.Command {
	var (
		o    bench.OutageOptions
		macs []string
	)
	c := newBeside("outage", "the outage of a crash, 1 ms after an advert", 20, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunOutage(ctx, o)
	})
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		o.MACs, err = macsFlag(macs)
		return err
	}
	c.Flags().DurationSliceVar(&o.Intervals, "interval", []time.Duration{time.Second, 100 * time.Millisecond, 10 * time.Millisecond}, "advert intervals")
	c.Flags().StringSliceVar(&macs, "mac", []string{"interface"}, "hardware address of the virtual addresses: interface, virtual")
	return c
}

func newBenchRelease() *cobra.Command {
	var (
		o    bench.ReleaseOptions
		macs []string
	)
	c := newBeside("release", "what is lost when the active gateway gives up in good order", 20, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunRelease(ctx, o)
	})
	c.PreRunE = func(*cobra.Command, []string) (err error) {
		o.MACs, err = macsFlag(macs)
		return err
	}
	c.Flags().DurationVar(&o.Interval, "interval", 100*time.Millisecond, "advert interval")
	c.Flags().StringSliceVar(&macs, "mac", []string{"interface", "virtual"}, "hardware address of the virtual addresses: interface, virtual")
	return c
}

func newBenchShut() *cobra.Command {
	var o bench.ShutOptions
	c := newBeside("shut", "how long many virtual MACs take to be shut", 5, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunShut(ctx, o)
	})
	c.Flags().IntVar(&o.MACs, "macs", 250, "virtual MACs, at most 250")
	return c
}

func newBenchScale() *cobra.Command {
	var o bench.ScaleOptions
	c := newBeside("scale", "processor time and memory by the number of virtual routers", 5, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunScale(ctx, o)
	})
	c.Flags().IntSliceVar(&o.Routers, "routers", []int{1, 100, 1000}, "numbers of virtual routers")
	c.Flags().DurationVar(&o.Interval, "interval", time.Second, "advert interval")
	c.Flags().DurationVar(&o.Window, "window", 10*time.Second, "how long each is looked at")
	return c
}

func newBenchMass() *cobra.Command {
	var o bench.MassOptions
	c := newBeside("mass", "takeover of many addresses: in the kernel, on the wire", 9, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunMass(ctx, o)
	})
	c.Flags().IntVar(&o.Addresses, "addresses", 1000, "in routers of 250")
	return c
}

func newBenchLoad() *cobra.Command {
	var o bench.LoadOptions
	c := newBeside("load", "false takeovers on a machine that is too busy", 1, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunLoad(ctx, o)
	})
	c.Long = "Ours has sessions that are being resynchronised; keepalived has none. For that many sessions the\n" +
		"limits of this machine's connection table are raised, and put back at the end, whatever ends it."
	c.Flags().DurationVar(&o.Interval, "interval", 10*time.Millisecond, "advert interval")
	c.Flags().DurationVar(&o.Window, "window", time.Minute, "how long each is looked at")
	c.Flags().IntVar(&o.Loops, "loops", 64, "busy loops")
	c.Flags().IntVar(&o.Sessions, "sessions", 500_000, "that ours resynchronises")
	c.Flags().StringVar(&o.Only, "only", "", "watch one of the two alone: understudy, keepalived")
	return c
}

func newBenchFlood() *cobra.Command {
	var o bench.FloodOptions
	c := newBeside("flood", "forged and malformed adverts by the thousand", 5, func(ctx context.Context, b bench.Beside) (benchReport, error) {
		o.Beside = b
		return bench.RunFlood(ctx, o)
	})
	c.Flags().IntVar(&o.Rate, "rate", 100_000, "adverts a second")
	c.Flags().DurationVar(&o.Window, "window", 10*time.Second, "how long each flood lasts")
	return c
}
