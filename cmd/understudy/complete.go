package main

import (
	"context"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance"
	"understudy/appliance/control"
)

// completeBound is how long a person waits for a word to be completed.
const completeBound = time.Second

// completes has a shell complete arguments by what the running node knows; without one
// nothing is offered.
func completes(c *cobra.Command, offer func(s *appliance.Status, before []string) []string) {
	c.ValidArgsFunction = func(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		const nothingElse = cobra.ShellCompDirectiveNoFileComp
		path, err := cmd.Flags().GetString("control")
		if err != nil {
			return nil, nothingElse
		}
		ctx, cancel := context.WithTimeout(context.Background(), completeBound)
		defer cancel()
		client := control.NewClient(path)
		defer client.Close()
		s, err := client.Status(ctx)
		if err != nil {
			return nil, nothingElse
		}
		return offer(&s, args), nothingElse
	}
}

// offerGroups are the groups, the one argument that a command takes.
func offerGroups(s *appliance.Status, before []string) (out []string) {
	for _, g := range s.Groups {
		if len(before) == 0 {
			out = append(out, g.Name+"\t"+g.State)
		}
	}
	return out
}

// offerServers are the entry points, and then the servers of the one that was named.
func offerServers(s *appliance.Status, before []string) (out []string) {
	for _, e := range s.NAT.Entries {
		switch {
		case len(before) == 0:
			out = append(out, e.Name+"\t"+e.Address)
		case len(before) == 1 && before[0] == e.Name:
			for _, v := range e.Servers {
				out = append(out, v.Address+"\t"+v.State)
			}
		}
	}
	return out
}
