package main

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
)

func newFailover() *cobra.Command {
	var (
		socket string
		force  bool
		bound  time.Duration
	)
	c := &cobra.Command{
		Use:   "failover [GROUP]",
		Short: "hand a group over to the peer gracefully: sessions first, then the role",
		Long: "Hands a group over (every group that is active here, if none is named): waits until the\n" +
			"peer has every session, releases the role, and serves on until the peer does. The node then\n" +
			"stays backup until the peer fails or hands back, whatever its priority.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			group := ""
			if len(args) == 1 {
				group = args[0]
			}
			return ask(cmd.Context(), socket, bound, func(ctx context.Context, client *control.Client) error {
				return client.Failover(ctx, group, force)
			})
		},
	}
	controlFlag(c, &socket)
	completes(c, offerGroups)
	c.Flags().BoolVar(&force, "force", false, "do not wait for sessions or ask whether a peer is there")
	c.Flags().DurationVar(&bound, "timeout", 15*time.Second, "give up waiting after this long")
	return c
}

// reloadBound is how long a reload may take: more than the node gives all of its parts.
const reloadBound = 30 * time.Second

func newReload() *cobra.Command {
	var socket string
	c := &cobra.Command{
		Use:   "reload",
		Short: "load the configuration file again; what did not change does not move",
		RunE: func(cmd *cobra.Command, _ []string) error {
			return ask(cmd.Context(), socket, reloadBound, func(ctx context.Context, client *control.Client) error {
				return client.Reload(ctx)
			})
		},
	}
	controlFlag(c, &socket)
	return c
}

func ask(ctx context.Context, socket string, bound time.Duration, question func(context.Context, *control.Client) error) error {
	ctx, cancel := context.WithTimeout(ctx, bound)
	defer cancel()
	client := control.NewClient(socket)
	defer client.Close()
	return question(ctx, client)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "print the version",
		RunE: func(cmd *cobra.Command, _ []string) error {
			fmt.Fprintln(cmd.OutOrStdout(), "understudy", version)
			return nil
		},
	}
}
