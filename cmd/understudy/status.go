package main

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
)

// askBound is how long a question to a running node may take.
const askBound = 5 * time.Second

func newStatus() *cobra.Command {
	var (
		socket string
		asJSON bool
		watch  bool
	)
	c := &cobra.Command{
		Use:   "status",
		Short: "show what a running node holds, how safe it is, and what is wrong",
		RunE: func(cmd *cobra.Command, _ []string) error {
			client := control.NewClient(socket)
			defer client.Close()
			switch {
			case !watch:
				return showStatus(cmd.Context(), client, cmd.OutOrStdout(), asJSON)
			case !asJSON:
				return watchStatus(cmd.Context(), client, cmd.OutOrStdout())
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), os.Interrupt)
			defer stop()
			for {
				if err := showStatus(ctx, client, cmd.OutOrStdout(), true); err != nil && ctx.Err() == nil {
					return err
				}
				select {
				case <-ctx.Done():
					return nil
				case <-time.After(watchPeriod):
				}
			}
		},
	}
	controlFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON (a stable form)")
	c.Flags().BoolVar(&watch, "watch", false, "live, until interrupted: in a terminal the same screen anew, elsewhere a line for each change; with --json an object each second")
	return c
}

func showStatus(ctx context.Context, client *control.Client, w io.Writer, asJSON bool) error {
	ctx, cancel := context.WithTimeout(ctx, askBound)
	defer cancel()
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	if asJSON {
		return json.NewEncoder(w).Encode(s)
	}
	return s.WriteText(w, time.Now(), coloured(w))
}
