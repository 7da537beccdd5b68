package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"understudy/appliance/config"
	"understudy/appliance/config/keepalived"
	"understudy/appliance/daemon"
	"understudy/appliance/dropin"
)

// spokenVersion is the version of keepalived whose language, flags and exit codes
// these are; programs read it of the first line of --version.
const spokenVersion = "Keepalived v2.2.7 (understudy %s)"

// Exit codes of keepalived's, beside 1 for what is fatal.
const (
	exitKeepalivedConfig   = 2 // it cannot be used
	exitKeepalivedNoConfig = 6 // there is none
)

// newKeepalived is keepalived: its flags, files, signals and log lines. It is what the
// program does if it is called by that name.
func newKeepalived() *cobra.Command {
	return &cobra.Command{
		Use:                "keepalived",
		Short:              "stand in for keepalived: its flags, files, signals and log lines",
		Args:               cobra.ArbitraryArgs,
		DisableFlagParsing: true, // they are read as getopt reads them
		RunE: func(cmd *cobra.Command, args []string) error {
			return asKeepalived(cmd.Context(), args, cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
}

// said ends with a code; everything worth saying has been said.
func said(code int, err error) error { return &codeError{code: code, quiet: true, err: err} }

func asKeepalived(ctx context.Context, args []string, out, errs io.Writer) error {
	if len(args) > 0 && (args[0] == "--genhash" || args[0] == "-T") {
		return errors.New("genhash is not built in: sum the page with md5sum, and write that as digest")
	}
	o, err := dropin.Parse(args)
	if err != nil {
		fmt.Fprintf(errs, "keepalived: %v\n", err)
		return said(exitFailed, err)
	}
	for _, a := range o.Stray {
		fmt.Fprintf(errs, "Unexpected argument '%s'\n", a)
	}
	switch {
	case o.Help:
		fmt.Fprint(errs, dropin.Usage())
		return nil
	case o.Version:
		fmt.Fprintf(errs, spokenVersion+"\n", version)
		return nil
	case o.Signum != "":
		n, ok := dropin.Signum(o.Signum)
		if !ok {
			fmt.Fprintf(errs, "Unknown sigfunc %s\n", o.Signum)
			return said(exitFailed, errors.New("no such signal"))
		}
		fmt.Fprintln(out, n)
		return nil
	case o.ConfigTest:
		return configTest(o, errs)
	}
	return standIn(ctx, o)
}

// configTest judges a configuration as keepalived -t does.
func configTest(o dropin.Options, errs io.Writer) error {
	if o.TestLog != "" {
		to, err := os.OpenFile(o.TestLog, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		defer to.Close()
		errs = to
	}
	w := keepalived.Here()
	w.ID, w.Tunnels = o.ID, daemon.CanTunnel
	src, err := w.Open(o.File)
	if err != nil {
		fmt.Fprintf(errs, "Unable to find configuration file %s (%v)\n", o.File, err)
		if o.AllConfig {
			return said(4, err)
		}
		return nil // as keepalived has it
	}
	list := keepalived.Test(o.File, src, w)
	// One file only: its name would say nothing.
	several := slices.ContainsFunc(list, func(m keepalived.Message) bool { return m.File != o.File })
	for _, m := range list {
		switch {
		case m.Level == keepalived.Note:
		case several:
			fmt.Fprintln(errs, m)
		default:
			fmt.Fprintln(errs, m.Short())
		}
	}
	if code := keepalived.ExitCode(list); code != 0 {
		return said(code, errors.New("the configuration has errors"))
	}
	return nil
}

// keepalivedError gives a failure the code that keepalived has for it.
func keepalivedError(err error) error {
	var problems config.Problems
	switch {
	case errors.As(err, &problems):
		return &codeError{code: exitKeepalivedConfig, err: err}
	case errors.Is(err, fs.ErrNotExist):
		return &codeError{code: exitKeepalivedNoConfig, err: err}
	}
	return err
}
