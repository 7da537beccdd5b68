package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/replay"
	"understudy/vrrp/record"
)

func newReplay() *cobra.Command {
	return &cobra.Command{
		Use:   "replay FILE|DIR...",
		Short: "decide again what a recording (run --record) was given, and find what differs",
		Long: "Gives the inputs of recordings to this program's own machines, and compares each decision with\n" +
			"the one that was recorded. Nothing outside is touched. A difference is one between the program\n" +
			"that recorded and this one. Exit code 0 if there is none, 1 if there is, 2 if a file is no recording.",
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			files, err := recordings(args)
			if err != nil {
				return usageError(err)
			}
			differ := 0
			for _, f := range files {
				rep, err := replay.File(f)
				if err != nil {
					if errors.Is(err, record.ErrNoRecording) {
						return usageError(fmt.Errorf("%s: %w", f, err))
					}
					return fmt.Errorf("%s: %w", f, err)
				}
				fmt.Fprintln(cmd.OutOrStdout(), describe(f, rep))
				if rep.Diff != nil {
					differ++
				}
			}
			if differ > 0 {
				return &codeError{code: exitFailed, quiet: true, err: errors.New("recordings differ")}
			}
			return nil
		},
	}
}

// recordings are the files, and those in the directories.
func recordings(args []string) (files []string, err error) {
	for _, a := range args {
		info, err := os.Stat(a)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			files = append(files, a)
			continue
		}
		found, err := filepath.Glob(filepath.Join(a, "*.jsonl"))
		if err != nil || len(found) == 0 {
			return nil, fmt.Errorf("%s: no recording (*.jsonl) is in it", a)
		}
		files = append(files, found...)
	}
	return files, nil
}

func describe(file string, rep replay.Report) string {
	var b strings.Builder
	from := "from a state"
	if rep.Whole {
		from = "from its start"
	}
	fmt.Fprintf(&b, "%s: %s", file, rep.Machine)
	if rep.Node != "" {
		fmt.Fprintf(&b, " of %s", rep.Node)
	}
	fmt.Fprintf(&b, ", %s: %d steps in %v", from, rep.Steps, rep.Span.Round(time.Millisecond))
	if rep.Lost > 0 {
		fmt.Fprintf(&b, ", %d not recorded", rep.Lost)
	}
	if rep.Diff == nil {
		b.WriteString(", all as recorded")
	} else {
		fmt.Fprintf(&b, "; %v", rep.Diff)
	}
	if len(rep.Unknown) > 0 {
		fmt.Fprintf(&b, "\n  recorded by a program (%s) that has more: %s", rep.Program, strings.Join(rep.Unknown, ", "))
	}
	return b.String()
}
