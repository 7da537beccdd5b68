package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
)

func newUpgrade() *cobra.Command {
	var (
		socket   string
		bound    time.Duration
		election bool
	)
	c := &cobra.Command{
		Use:   "upgrade",
		Short: "start the daemon anew, from the program's file as it is now; the role stays here",
		Long: "After the program's file was replaced: asks the new program whether it can work with this\n" +
			"configuration and with the election process that runs, and starts it in place of the daemon.\n" +
			"The election goes on announcing, the kernel goes on forwarding. If the file is the same, the\n" +
			"daemon is restarted. With --election the election process is exchanged after it, for one of the daemon's\n" +
			"version: the new one is started first, and goes on where the old one was; else that happens when the\n" +
			"service is restarted.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd.Context(), socket, bound, func(ctx context.Context, client *control.Client) error {
				if err := upgrade(ctx, client, cmd.OutOrStdout()); err != nil || !election {
					return err
				}
				return upgradeElection(ctx, client, cmd.OutOrStdout())
			})
		},
	}
	controlFlag(c, &socket)
	c.Flags().BoolVar(&election, "election", false, "exchange the election process as well")
	c.Flags().DurationVar(&bound, "timeout", 30*time.Second, "give up waiting after this long")
	return c
}

// upgrade asks for another daemon and waits until one answers.
func upgrade(ctx context.Context, client *control.Client, w io.Writer) error {
	before, err := client.Status(ctx)
	if err != nil {
		return err
	}
	want, err := client.Upgrade(ctx)
	if err != nil {
		return err
	}
	for asked := time.Now(); ; {
		select {
		case <-ctx.Done():
			return fmt.Errorf("no daemon answers: %w", ctx.Err())
		case <-time.After(50 * time.Millisecond):
		}
		now, err := client.Status(ctx)
		switch {
		case err != nil || now.UptimeSeconds > time.Since(asked).Seconds():
			continue // between two daemons, or still the old one
		case now.Version != want:
			return fmt.Errorf("version %s did not come up, %s runs: see the log", want, now.Version)
		}
		fmt.Fprintf(w, "upgrade: daemon of version %s in place of %s, election of version %s\n", now.Version, before.Version, now.Election.Version)
		return nil
	}
}

// upgradeElection asks for another election.
func upgradeElection(ctx context.Context, client *control.Client, w io.Writer) error {
	if err := client.UpgradeElection(ctx); err != nil {
		return err
	}
	now, err := client.Status(ctx)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "upgrade: election of version %s\n", now.Election.Version)
	return nil
}

// newProbe is what a running node asks of a program before it is put in its place.
func newProbe() *cobra.Command {
	var file, protocol string
	c := &cobra.Command{
		Use:    "probe",
		Hidden: true,
		Short:  "print the version if this program could take the daemon's place",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := sameProtocol(protocol); err != nil {
				return err
			}
			if _, err := loadConfig(file); err != nil {
				return err
			}
			fmt.Fprintln(cmd.OutOrStdout(), version)
			return nil
		},
	}
	c.Flags().StringVar(&file, "config", "/etc/understudy/understudy.toml", "configuration file")
	c.Flags().StringVar(&protocol, "protocol", "", "what the election process speaks")
	return c
}
