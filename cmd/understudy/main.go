// Command understudy keeps a gateway's network identity alive when the gateway
// dies: addresses, translation and sessions move to another box.
package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
	"understudy/appliance/logs"
)

// version is set by the linker.
var version = "dev"

// Exit codes of the command line.
const (
	exitFailed = 1 // it ran, and failed
	exitUsage  = 2 // the call or the configuration is wrong
)

// codeError is an error that decides the exit code. Quiet means that everything
// worth saying has been said.
type codeError struct {
	code  int
	quiet bool
	err   error
}

func (e *codeError) Error() string { return e.err.Error() }
func (e *codeError) Unwrap() error { return e.err }

func usageError(err error) error { return &codeError{code: exitUsage, err: err} }

func main() {
	os.Exit(execute(context.Background(), commandLine(os.Args)))
}

// commandLine is what follows the name of the program; that it was called keepalived
// is part of it.
func commandLine(argv []string) []string {
	if len(argv) == 0 {
		return nil
	}
	switch filepath.Base(argv[0]) {
	case "keepalived":
		return append([]string{"keepalived"}, argv[1:]...)
	case "genhash":
		return append([]string{"keepalived", "--genhash"}, argv[1:]...)
	}
	return argv[1:]
}

func execute(ctx context.Context, args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return 0
	}
	code := &codeError{code: exitFailed}
	errors.As(err, &code)
	if !code.quiet {
		fmt.Fprintln(os.Stderr, "understudy:", err)
	}
	return code.code
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "understudy",
		Short: "a gateway may die, its identity must not",
		Long: "Understudy makes two Linux boxes one gateway to the world: when the active one dies, the other takes its\n" +
			"addresses, its address translation and its sessions, and established connections go on.",
		SilenceErrors: true,
		SilenceUsage:  true,
		Args:          cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cmd.Help()
			return &codeError{code: exitUsage, quiet: true, err: errors.New("no command given")}
		},
	}
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error {
		return usageError(fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath()))
	})
	root.CompletionOptions.DisableDefaultCmd = true // we have one of our own
	root.AddCommand(newRun(), newDaemon(), newElection(), newCheck(), newStatus(), newEvents(), newDoctor(), newSessions(), newFailover(), newReload(), newLogLevel(), newServer(), newUpgrade(), newProbe(),
		newClean(), newDecode(), newLACP(), newImport(), newKeepalived(), newReplay(), newHeartbeat(), newKeygen(), newDemo(), newBench(), newMan(), newCompletion(), newVersion())
	asUsage(root)
	for _, c := range root.Commands() {
		asUsage(c)
	}
	return root
}

// asUsage makes a wrong number of arguments an error of usage.
func asUsage(c *cobra.Command) {
	args := c.Args
	if args == nil {
		args = cobra.NoArgs
	}
	c.Args = func(cmd *cobra.Command, a []string) error {
		if err := args(cmd, a); err != nil {
			return usageError(fmt.Errorf("%w (see %s --help)", err, cmd.CommandPath()))
		}
		return nil
	}
}

// controlFlag adds --control with its default from the environment.
func controlFlag(c *cobra.Command, path *string) {
	def := control.DefaultSocket
	if env := os.Getenv("UNDERSTUDY_CONTROL"); env != "" {
		def = env
	}
	c.Flags().StringVar(path, "control", def, "control socket of the node (also UNDERSTUDY_CONTROL)")
}

// newLogger logs as text to a person, as fields to journald and as JSON to any other
// machine.
func newLogger(level slog.Leveler) *slog.Logger {
	return slog.New(logs.NewHandler(logs.Options{Level: level, Stderr: os.Stderr, Terminal: isTerminal(os.Stderr), Getenv: os.Getenv, Journal: logs.JournalSocket}))
}

func isTerminal(f *os.File) bool {
	fi, err := f.Stat()
	return err == nil && fi.Mode()&os.ModeCharDevice != 0
}
