package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"understudy/appliance/demo"
)

func newDemo() *cobra.Command {
	var (
		o       demo.Options
		asJSON  bool
		file    string
		verbose bool
	)
	c := &cobra.Command{
		Use:   "demo",
		Short: "two gateways, a client and a server in namespaces here; kills one; shows what survived (root)",
		Long: "Builds a network out of unnamed network namespaces on this machine, runs this program twice in\n" +
			"it, puts traffic through, crashes the active gateway, lets it return, reloads, restarts and\n" +
			"upgrades it while it serves, hands over, and reports the outage of each probe, which flows\n" +
			"survived, and which state changed. It touches nothing outside its namespaces and leaves\n" +
			"nothing behind. Exit code 1 if a flow established before the crash was lost, or a role moved\n" +
			"by a reload, a restart or an upgrade.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if os.Geteuid() != 0 {
				return usageError(errors.New("the demo makes network namespaces, which takes root: sudo understudy demo"))
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o.Progress = cmd.OutOrStdout()
			if asJSON {
				o.Progress = cmd.ErrOrStderr()
			}
			if verbose {
				o.Log = cmd.ErrOrStderr()
			}
			report, err := demo.Run(ctx, o)
			if err != nil {
				return err
			}
			if err := writeReport(cmd.OutOrStdout(), report, asJSON); err != nil {
				return err
			}
			if file != "" {
				if err := writePage(file, report); err != nil {
					return err
				}
				fmt.Fprintf(cmd.ErrOrStderr(), "report: %s\n", file)
			}
			if !report.OK {
				return &codeError{code: exitFailed, quiet: true, err: errors.New("not all was as it should be")}
			}
			return nil
		},
	}
	f := c.Flags()
	f.BoolVar(&asJSON, "json", false, "end with one JSON object on standard output; progress goes to standard error")
	f.StringVar(&file, "report", "", "write the result as a page, too: one HTML file that needs nothing else")
	f.BoolVar(&verbose, "verbose", false, "show what the gateways log")
	f.DurationVar(&o.Interval, "interval", 0, "advert interval (default 100ms)")
	f.IntVar(&o.Crashes, "crashes", 1, "crash and return this many times")
	f.IntVar(&o.Connections, "connections", 0, "connections through the port forward (default 200)")
	return c
}

func writeReport(w io.Writer, r *demo.Report, asJSON bool) error {
	if asJSON {
		return r.WriteJSON(w)
	}
	if err := r.WriteText(w); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// writePage writes the report as a page, whole or not at all.
func writePage(file string, r *demo.Report) error {
	var b bytes.Buffer
	if err := r.WriteHTML(&b, version); err != nil {
		return err
	}
	if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}
