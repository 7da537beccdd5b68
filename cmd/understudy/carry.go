package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
	"understudy/appliance/replica/carry"
)

func newExport() *cobra.Command {
	return &cobra.Command{
		Use:   "export",
		Short: "write the connections that go through this machine's kernel, for the one that takes its place",
		Long: "Reads the kernel's table of connections once, and writes those that go through this machine to standard\n" +
			"output, for `understudy sessions import` on another one: by ssh, say. It takes root, and no running node: it\n" +
			"may be keepalived that has the addresses here (docs/keepalived.md says when).",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			out := cmd.OutOrStdout()
			if f, ok := out.(*os.File); ok && isTerminal(f) {
				return usageError(errors.New("sessions export writes bytes for sessions import: give it a file or a pipe"))
			}
			node, err := os.Hostname()
			if err != nil || node == "" {
				node = "unknown"
			}
			n, err := carry.Export(out, node)
			if err != nil {
				return err
			}
			fmt.Fprintf(cmd.ErrOrStderr(), "%d connections\n", n)
			return nil
		},
	}
}

func newImportSessions() *cobra.Command {
	var (
		socket string
		keep   bool
	)
	c := &cobra.Command{
		Use:   "import [FILE]",
		Short: "put the connections that another machine exported into this machine's kernel",
		Long: "Reads what `understudy sessions export` wrote on the machine whose place this one is about to take, from FILE\n" +
			"or standard input, and puts it into the kernel. It takes root, and no running node; one that runs finds them\n" +
			"there when it takes over. What the kernel has in their place is of an earlier life, and replaced; but not if a\n" +
			"node here is active already, or with --keep: then only what it does not have is added.\n" +
			"The exit code is 1 if the end is missing, or the kernel has not taken them all; what it did is said.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if len(args) > 0 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return usageError(err)
				}
				defer f.Close()
				in = f
			}
			if f, ok := in.(*os.File); ok && isTerminal(f) {
				return usageError(errors.New("sessions import reads what sessions export writes: ssh OTHER understudy sessions export | understudy sessions import"))
			}
			o, err := carry.Import(bufio.NewReaderSize(in, 1<<16), keep || active(cmd.Context(), socket))
			sayImport(cmd.OutOrStdout(), &o)
			if err == nil && o.Left() > 0 {
				err = fmt.Errorf("%d connections are not here", o.Left())
			}
			return err
		},
	}
	controlFlag(c, &socket)
	c.Flags().BoolVar(&keep, "keep", false, "add only what the kernel does not have: the addresses are here already")
	return c
}

// sayImport writes what an import did.
func sayImport(w io.Writer, o *carry.Outcome) {
	if o.From == "" {
		return
	}
	fmt.Fprintf(w, "%d connections of %s are in the kernel", o.Installed, o.From)
	if o.Kept > 0 {
		fmt.Fprintf(w, ", %d were there already", o.Kept)
	}
	if o.Ends > 0 {
		fmt.Fprintf(w, ", %d end at this machine", o.Ends)
	}
	fmt.Fprintln(w)
	for _, why := range slices.Sorted(maps.Keys(o.Refused)) {
		fmt.Fprintf(w, "%d refused: %s\n", o.Refused[why], why)
	}
}

// active tells whether a node that runs here has a group's addresses.
func active(ctx context.Context, socket string) bool {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	client := control.NewClient(socket)
	defer client.Close()
	s, err := client.Status(ctx)
	if err != nil {
		return false
	}
	for _, g := range s.Groups {
		if g.State == "active" {
			return true
		}
	}
	return false
}
