package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"understudy/appliance/control"
	"understudy/appliance/history"
)

func newEvents() *cobra.Command {
	var (
		socket, since string
		asJSON        bool
		follow        bool
		q             history.Query
	)
	c := &cobra.Command{
		Use:   "events",
		Short: "say what happened to a running node, and why: the last changes of state and what led to them",
		Long: "Prints the last events of the node, the oldest first: changes of state with their cause, what was known\n" +
			"then, and how long each part took; checks, links, alarms, orders. They are kept over a restart.\n" +
			"--since takes a time (2026-03-01T03:00:00Z, \"2026-03-01 03:00\", 03:00) or a duration (2h: since two hours ago).",
		RunE: func(cmd *cobra.Command, _ []string) error {
			if since != "" {
				var err error
				if q.Since, err = parseSince(since, time.Now()); err != nil {
					return usageError(err)
				}
			}
			client := control.NewClient(socket)
			defer client.Close()
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGINT, syscall.SIGTERM)
			defer stop()
			if follow {
				return followEvents(ctx, client, cmd.OutOrStdout(), q, asJSON)
			}
			ctx, cancel := context.WithTimeout(ctx, askBound)
			defer cancel()
			a, err := client.Events(ctx, q, 0)
			if err != nil {
				return err
			}
			return writeEvents(cmd.OutOrStdout(), a.Events, asJSON)
		},
	}
	controlFlag(c, &socket)
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON: an object a line (a stable form)")
	c.Flags().StringVar(&since, "since", "", "only what happened since then")
	c.Flags().StringVar(&q.Group, "group", "", "only what concerns this group, or all")
	c.Flags().StringVar((*string)(&q.Kind), "kind", "", "only of this kind: transition, check, bond, link, peers, alarm, kernel, operator, moved, process")
	c.Flags().IntVarP(&q.Last, "lines", "n", 50, "so many at most, the last ones; 0: all that is kept")
	c.Flags().BoolVarP(&follow, "follow", "f", false, "go on with what happens, until interrupted")
	return c
}

// followEvents prints events when they are whole; one that goes on (a takeover) once it
// has ended.
func followEvents(ctx context.Context, client *control.Client, w io.Writer, q history.Query, asJSON bool) error {
	const wait = 20 * time.Second
	for first := true; ctx.Err() == nil; first = false {
		a, err := client.Events(ctx, q, wait)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		var whole []history.Event
		for _, e := range a.Events {
			if !e.Open || first {
				whole = append(whole, e)
			}
		}
		if err := writeEvents(w, whole, asJSON); err != nil {
			return err
		}
		q.After, q.Last = max(q.After, a.Rev), 0
	}
	return nil
}

func writeEvents(w io.Writer, events []history.Event, asJSON bool) error {
	lines := json.NewEncoder(w)
	for i := range events {
		var err error
		if asJSON {
			err = lines.Encode(&events[i])
		} else {
			err = events[i].WriteText(w, time.Local)
		}
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
	}
	return nil
}

// parseSince takes a time, of today if it has no date, or how long ago it was.
func parseSince(s string, now time.Time) (time.Time, error) {
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			return t, nil
		}
	}
	for _, form := range []string{"15:04:05", "15:04"} {
		if t, err := time.ParseInLocation(form, s, now.Location()); err == nil {
			t = time.Date(now.Year(), now.Month(), now.Day(), t.Hour(), t.Minute(), t.Second(), 0, now.Location())
			if t.After(now) {
				t = t.AddDate(0, 0, -1) // 23:00, asked after midnight
			}
			return t, nil
		}
	}
	return time.Time{}, errors.New("--since: " + s + " is neither a time (2026-03-01T03:00:00Z, 03:00) nor a duration (2h)")
}
