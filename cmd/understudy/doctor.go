package main

import (
	"context"
	"encoding/json"
	"errors"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/appliance/control"
	"understudy/appliance/doctor"
)

func newDoctor() *cobra.Command {
	var (
		o                   doctor.Options
		socket              string
		asJSON, all, strict bool
	)
	c := &cobra.Command{
		Use:   "doctor",
		Short: "look for what keeps this machine from being a gateway: each finding with evidence and fix",
		Long: "Looks at the configuration, privileges, kernel, interfaces, kernel parameters, packet filters, connection table,\n" +
			"clock, peers, and at what is heard on the wire, before the node is started or while it runs. It changes nothing.\n" +
			"It takes as long as the slowest router waits for adverts, at most 40 s. Exit codes: 0 nothing that keeps it from\n" +
			"its work; 1 an error was found (with --strict: or a warning); 2 the configuration cannot be used.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt, syscall.SIGTERM)
			defer stop()
			o.Config, o.Problem = config.Load(o.File)
			client := control.NewClient(socket)
			defer client.Close()
			asked, cancel := context.WithTimeout(ctx, askBound)
			if s, err := client.Status(asked); err == nil {
				o.Status = &s
			}
			cancel()
			r := doctor.Examine(ctx, o)
			var err error
			if asJSON {
				err = json.NewEncoder(cmd.OutOrStdout()).Encode(&r)
			} else {
				err = r.WriteText(cmd.OutOrStdout(), all, severityPaint(coloured(cmd.OutOrStdout())))
			}
			switch {
			case err != nil:
				return err
			case o.Problem != nil:
				return &codeError{code: exitUsage, quiet: true, err: o.Problem}
			case r.Errors > 0 || strict && r.Warnings > 0:
				return &codeError{code: exitFailed, quiet: true, err: errors.New("something keeps this machine from being a gateway")}
			}
			return nil
		},
	}
	controlFlag(c, &socket)
	c.Flags().StringVar(&o.File, "config", "/etc/understudy/understudy.toml", "configuration file")
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON (a stable form)")
	c.Flags().BoolVar(&all, "all", false, "show what is well, too")
	c.Flags().BoolVar(&strict, "strict", false, "a warning counts as an error")
	c.Flags().DurationVar(&o.Listen, "listen", 0, "how long to listen for adverts (as long as the slowest router waits)")
	return c
}

// severityPaint colours the word for a severity.
func severityPaint(colours bool) func(doctor.Severity, string) string {
	return func(s doctor.Severity, word string) string {
		colour := map[doctor.Severity]string{doctor.Error: "\x1b[1;31m", doctor.Warning: "\x1b[33m", doctor.Unknown: "\x1b[33m", doctor.OK: "\x1b[32m"}[s]
		if !colours || colour == "" {
			return word
		}
		return colour + word + "\x1b[0m"
	}
}
