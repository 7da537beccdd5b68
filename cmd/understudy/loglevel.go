package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
	"understudy/appliance/logs"
)

// levelFlag is a flag that sets a level by its name.
type levelFlag slog.LevelVar

func (f *levelFlag) String() string { return logs.LevelName((*slog.LevelVar)(f).Level()) }
func (f *levelFlag) Type() string   { return "level" }
func (f *levelFlag) Set(s string) error {
	l, err := logs.ParseLevel(s)
	if err == nil {
		(*slog.LevelVar)(f).Set(l)
	}
	return err
}

// verboseFlag is one that sets it to debug.
type verboseFlag slog.LevelVar

func (f *verboseFlag) String() string { return "false" }
func (f *verboseFlag) Type() string   { return "bool" }
func (f *verboseFlag) Set(s string) error {
	on, err := strconv.ParseBool(s)
	if err == nil && on {
		(*slog.LevelVar)(f).Set(slog.LevelDebug)
	}
	return err
}

func verbosity(verbose bool) slog.Level {
	if verbose {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// newLogLevel changes what a running node logs.
func newLogLevel() *cobra.Command {
	var socket string
	names := []string{"debug", "info", "warn", "error"}
	c := &cobra.Command{
		Use:       "log-level [LEVEL]",
		Short:     "say what a running node logs, or change it: debug, info, warn, error",
		Long:      "Without LEVEL, prints it. The change is of both processes of the node, and lasts until it is stopped.",
		Args:      cobra.MaximumNArgs(1),
		ValidArgs: names,
		RunE: func(cmd *cobra.Command, args []string) error {
			level := ""
			if len(args) == 1 {
				if _, err := logs.ParseLevel(args[0]); err != nil {
					return usageError(errors.New("log-level: " + err.Error()))
				}
				level = args[0]
			}
			return ask(cmd.Context(), socket, askBound, func(ctx context.Context, client *control.Client) error {
				is, err := client.LogLevel(ctx, level)
				if err == nil {
					fmt.Fprintln(cmd.OutOrStdout(), is)
				}
				return err
			})
		},
	}
	controlFlag(c, &socket)
	return c
}
