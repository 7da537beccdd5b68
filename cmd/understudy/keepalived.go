package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"

	"github.com/spf13/cobra"

	"understudy/appliance/config/keepalived"
)

// spokenVersion is the version of keepalived whose language, flags and exit codes
// these are; programs read it of the first line of --version.
const spokenVersion = "Keepalived v2.2.7 (understudy %s)"

// keepalivedDefault is where keepalived looks for its configuration.
const keepalivedDefault = "/etc/keepalived/keepalived.conf"

// signums are the signals that keepalived gives names to, by number.
var signums = map[string]int{"STOP": 15, "RELOAD": 1, "DATA": 10, "STATS": 12, "STATS_CLEAR": 63, "JSON": 36}

// keepalivedFlags are the flags of keepalived that something follows from.
type keepalivedFlags struct {
	file    string
	test    string // "": no test; "-": to standard error; else to a file
	id      string
	strict  bool // all-config: a file that is not there is an error
	signum  string
	version bool
}

// newKeepalived takes the flags of keepalived.
func newKeepalived() *cobra.Command {
	var f keepalivedFlags
	c := &cobra.Command{
		Use:   "keepalived",
		Short: "take keepalived's flags: -t tests a keepalived.conf, with its exit codes",
		Args:  cobra.ArbitraryArgs,
		RunE: func(cmd *cobra.Command, args []string) error {
			for _, a := range args {
				fmt.Fprintf(cmd.ErrOrStderr(), "Unexpected argument '%s'\n", a)
			}
			return f.run(cmd.ErrOrStderr(), cmd.OutOrStdout())
		},
	}
	f.add(c)
	// keepalived ends with 1 for what it does not know, and writes help to standard error.
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return err })
	c.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		fmt.Fprintf(cmd.ErrOrStderr(), "Usage: keepalived [OPTION...]\n%s", cmd.Flags().FlagUsages())
	})
	return c
}

func (f *keepalivedFlags) add(c *cobra.Command) {
	fl := c.Flags()
	fl.SortFlags = false
	fl.StringVarP(&f.file, "use-file", "f", keepalivedDefault, "configuration file")
	fl.StringVarP(&f.test, "config-test", "t", "", "test the configuration: 0 right, 4 cannot run, 5 would run in spite of errors, 6 insecure scripts; messages to this file")
	fl.Lookup("config-test").NoOptDefVal = "-"
	fl.StringVarP(&f.id, "config-id", "i", "", "config-id of @conditions")
	fl.BoolVarP(&f.strict, "all-config", "e", false, "a configuration file that is not there is an error")
	fl.StringVar(&f.signum, "signum", "", "print the number of a signal")
	fl.BoolVarP(&f.version, "version", "v", false, "print the version")
}

func (f *keepalivedFlags) run(errs, out io.Writer) error {
	switch {
	case f.version:
		fmt.Fprintf(errs, spokenVersion+"\n", version)
		return nil
	case f.signum != "":
		n, ok := signums[f.signum]
		if !ok {
			fmt.Fprintf(errs, "Unknown sigfunc %s\n", f.signum)
			return &codeError{code: exitFailed, quiet: true, err: errors.New("no such signal")}
		}
		fmt.Fprintln(out, n)
		return nil
	case f.test != "":
		return f.configTest(errs)
	}
	return errors.New("keepalived's process is not built yet: use understudy run --config " + f.file)
}

// configTest judges a configuration as keepalived -t does.
func (f *keepalivedFlags) configTest(errs io.Writer) error {
	if f.test != "-" {
		to, err := os.OpenFile(f.test, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return err
		}
		defer to.Close()
		errs = to
	}
	w := keepalived.Here()
	w.ID = f.id
	src, err := w.Open(f.file)
	if err != nil {
		fmt.Fprintf(errs, "Unable to find configuration file %s (%v)\n", f.file, err)
		if f.strict {
			return &codeError{code: 4, quiet: true, err: err}
		}
		return nil // as keepalived has it
	}
	said := keepalived.Test(f.file, src, w)
	// One file only: its name would say nothing.
	several := slices.ContainsFunc(said, func(m keepalived.Message) bool { return m.File != f.file })
	for _, m := range said {
		switch {
		case m.Level == keepalived.Note:
		case several:
			fmt.Fprintln(errs, m)
		default:
			fmt.Fprintln(errs, m.Short())
		}
	}
	if code := keepalived.ExitCode(said); code != 0 {
		return &codeError{code: code, quiet: true, err: errors.New("the configuration has errors")}
	}
	return nil
}
