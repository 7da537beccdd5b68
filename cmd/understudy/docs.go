package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"

	"understudy/appliance/control"
)

// newMan writes manual pages. They, docs/commands.md and the shells' completions are made
// of the commands themselves: there is no second list.
func newMan() *cobra.Command {
	return &cobra.Command{
		Use:   "man [DIRECTORY]",
		Short: "print the manual page, or write those of all commands into a directory",
		Long: "Prints the manual page of understudy (understudy man | man -l -); with a directory, writes the pages of\n" +
			"all commands there, as packages do: understudy man /usr/share/man/man1. SOURCE_DATE_EPOCH dates them.",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				return manPage(cmd.OutOrStdout(), cmd.Root(), pageDate())
			}
			return manPages(args[0], cmd.Root(), pageDate())
		},
	}
}

// pageDate is what a build that is to be reproducible says, or the beginning of time:
// never today.
func pageDate() time.Time {
	var sec int64
	fmt.Sscan(os.Getenv("SOURCE_DATE_EPOCH"), &sec)
	return time.Unix(sec, 0).UTC()
}

// documented are a command and those below it that are for people, in their order.
func documented(c *cobra.Command) (all []*cobra.Command) {
	all = append(all, c)
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() && sub.Name() != "help" {
			all = append(all, documented(sub)...)
		}
	}
	return all
}

func manPages(dir string, root *cobra.Command, date time.Time) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for _, c := range documented(root) {
		var b bytes.Buffer
		if err := manPage(&b, c, date); err != nil {
			return err
		}
		name := strings.ReplaceAll(c.CommandPath(), " ", "-") + ".1"
		if err := os.WriteFile(filepath.Join(dir, name), b.Bytes(), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// manTail is what every page ends with.
const manTail = `.SH EXIT STATUS
0: done. 1: it was tried, and failed. 2: the call or the configuration is wrong. Some commands give 1 another meaning, which is in their description.

.SH ENVIRONMENT
UNDERSTUDY_CONTROL: the control socket, in place of ` + control.DefaultSocket + `. NO_COLOR: no colours.

.SH FILES
/etc/understudy/understudy.toml, ` + control.DefaultSocket + `
`

func manPage(w io.Writer, c *cobra.Command, date time.Time) error {
	plainly(c)
	if err := doc.GenMan(c, &doc.GenManHeader{Section: "1", Date: &date, Source: "understudy", Manual: "Understudy"}, w); err != nil {
		return err
	}
	_, err := io.WriteString(w, manTail)
	return err
}

// plainly leaves away who has generated a page, and when.
func plainly(c *cobra.Command) {
	for ; c != nil; c = c.Parent() {
		c.DisableAutoGenTag = true
	}
}

// commandsReference is docs/commands.md, below its head.
func commandsReference(root *cobra.Command) string {
	var b strings.Builder
	for _, c := range documented(root) {
		if c == root {
			continue
		}
		fmt.Fprintf(&b, "## %s\n\n%s\n\n```\n%s\n", c.CommandPath(), sentenceOf(c), c.UseLine())
		c.InitDefaultHelpFlag()
		if flags := strings.TrimRight(c.LocalFlags().FlagUsages(), "\n"); flags != "" {
			fmt.Fprintf(&b, "\n%s\n", flags)
		}
		b.WriteString("```\n\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

func sentenceOf(c *cobra.Command) string {
	text := c.Short
	if c.Long != "" {
		text = strings.ReplaceAll(c.Long, "\n", " ")
		if !strings.Contains(c.Long, c.Short) {
			text = strings.ToUpper(c.Short[:1]) + c.Short[1:] + ".\n\n" + text
		}
	} else {
		text = strings.ToUpper(text[:1]) + text[1:] + "."
	}
	return text
}

// newCompletion prints what a shell needs to complete our commands.
func newCompletion() *cobra.Command {
	shells := map[string]func(*cobra.Command, io.Writer) error{
		"bash": func(root *cobra.Command, w io.Writer) error { return root.GenBashCompletionV2(w, true) },
		"zsh":  (*cobra.Command).GenZshCompletion,
		"fish": func(root *cobra.Command, w io.Writer) error { return root.GenFishCompletion(w, true) },
	}
	names := []string{"bash", "zsh", "fish"}
	return &cobra.Command{
		Use:       "completion {bash|zsh|fish}",
		Short:     "print the completions of a shell",
		ValidArgs: names,
		Long: "Prints what makes a shell complete commands, flags, and the names of groups and servers of the node that runs:\n" +
			"bash: understudy completion bash > /etc/bash_completion.d/understudy;\n" +
			"zsh: understudy completion zsh > \"${fpath[1]}/_understudy\";\n" +
			"fish: understudy completion fish > ~/.config/fish/completions/understudy.fish.",
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if !slices.Contains(names, args[0]) {
				return usageError(errors.New("completion: " + args[0] + " is none of bash, zsh, fish"))
			}
			return shells[args[0]](cmd.Root(), cmd.OutOrStdout())
		},
	}
}
