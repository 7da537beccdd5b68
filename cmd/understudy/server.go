package main

import (
	"context"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
)

func newServer() *cobra.Command {
	c := &cobra.Command{
		Use:   "server",
		Short: "take a server of an entry point out of service, and back into it",
		Args:  cobra.NoArgs,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	for _, v := range []struct {
		use, short, long string
		drained          bool
	}{
		{"drain ENTRY SERVER", "give a server no new flows; established ones stay",
			"Gives the server, which is named as in the configuration (ADDRESS:PORT), no new flows. Its\n" +
				"established flows stay; `understudy status` counts what is left of them. That lasts until\n" +
				"`understudy server undrain`, over reloads, upgrades and restarts of the program, until the\n" +
				"machine boots. It is of this node alone: drain the server on the others too.", true},
		{"undrain ENTRY SERVER", "give a server new flows again", "", false},
	} {
		var socket string
		sub := &cobra.Command{
			Use: v.use, Short: v.short, Long: v.long,
			Args: cobra.ExactArgs(2),
			RunE: func(cmd *cobra.Command, args []string) error {
				return ask(cmd.Context(), socket, askBound, func(ctx context.Context, client *control.Client) error {
					return client.DrainServer(ctx, args[0], args[1], v.drained)
				})
			},
		}
		controlFlag(sub, &socket)
		completes(sub, offerServers)
		asUsage(sub)
		c.AddCommand(sub)
	}
	return c
}
