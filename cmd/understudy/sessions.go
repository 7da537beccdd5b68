package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance"
	"understudy/appliance/control"
)

// diffBound is how long the peer may take to tell what it has.
const diffBound = 30 * time.Second

// errDiffer is the answer, not a failure: the difference has been printed.
var errDiffer = errors.New("the sessions differ")

func newSessions() *cobra.Command {
	var (
		socket, peer            string
		asJSON, diff, takeovers bool
		filter                  appliance.FlowFilter
	)
	c := &cobra.Command{
		Use:   "sessions",
		Args:  cobra.NoArgs,
		Short: "list the replicated sessions of a running node, or how they differ from a peer's",
		Long: "Lists the sessions that the node has, its own and those that it holds for a peer.\n" +
			"With --diff: what the peer lacks, flow by flow, and why; what it has otherwise; what only it\n" +
			"has. The exit code is 0 if there is no difference, 1 if there is one.\n" +
			"With --takeovers: what the last 16 takeovers of the node did.",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if diff && takeovers || peer != "" && !diff || diff && filter != (appliance.FlowFilter{}) {
				return usageError(errors.New("--diff, --takeovers and a selection do not go together; --peer goes with --diff (see understudy sessions --help)"))
			}
			out := cmd.OutOrStdout()
			switch {
			case diff:
				return ask(cmd.Context(), socket, diffBound, func(ctx context.Context, client *control.Client) error {
					return showDiff(ctx, client, out, peer, asJSON)
				})
			case takeovers:
				return ask(cmd.Context(), socket, askBound, func(ctx context.Context, client *control.Client) error {
					return showTakeovers(ctx, client, out, asJSON)
				})
			}
			client := control.NewClient(socket)
			defer client.Close()
			return listSessions(cmd.Context(), client, out, filter, asJSON)
		},
	}
	controlFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: an object a line")
	c.Flags().BoolVar(&diff, "diff", false, "how the sessions differ from a peer's")
	c.Flags().StringVar(&peer, "peer", "", "with --diff: which peer (the one that has most)")
	c.Flags().BoolVar(&takeovers, "takeovers", false, "what the last takeovers did")
	c.Flags().StringVar(&filter.Group, "group", "", "only those of this group")
	c.AddCommand(newExport(), newImportSessions())
	c.Flags().StringVar(&filter.Protocol, "protocol", "", "only those of this protocol: tcp, udp, icmp, icmpv6, sctp, gre or a number")
	return c
}

func listSessions(ctx context.Context, client *control.Client, w io.Writer, filter appliance.FlowFilter, asJSON bool) error {
	if asJSON {
		lines := json.NewEncoder(w)
		return client.Sessions(ctx, filter, func(f *appliance.Flow) error { return lines.Encode(f) })
	}
	// In pieces: a million lines are not held to find the widest.
	const piece = 1000
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	appliance.WriteFlowsHead(t)
	n := 0
	err := client.Sessions(ctx, filter, func(f *appliance.Flow) error {
		f.WriteText(t)
		if n++; n%piece == 0 {
			return t.Flush()
		}
		return nil
	})
	return errors.Join(err, t.Flush())
}

func showDiff(ctx context.Context, client *control.Client, w io.Writer, peer string, asJSON bool) error {
	d, err := client.Diff(ctx, peer)
	if err != nil {
		return err
	}
	if asJSON {
		lines := json.NewEncoder(w)
		for i := range d.Flows {
			if err := lines.Encode(&d.Flows[i]); err != nil {
				return err
			}
		}
		err = lines.Encode(struct {
			Summary *appliance.DiffSummary `json:"summary"`
		}{&d.DiffSummary})
	} else {
		err = d.WriteText(w)
	}
	if err == nil && !d.Equal {
		err = &codeError{code: exitFailed, quiet: true, err: errDiffer}
	}
	return err
}

func showTakeovers(ctx context.Context, client *control.Client, w io.Writer, asJSON bool) error {
	all, err := client.Takeovers(ctx)
	if err != nil {
		return err
	}
	if !asJSON {
		return appliance.WriteTakeovers(w, all, time.Now())
	}
	lines := json.NewEncoder(w)
	for i := range all {
		if err := lines.Encode(&all[i]); err != nil {
			return fmt.Errorf("sessions: %w", err)
		}
	}
	return nil
}
