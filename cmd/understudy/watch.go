package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/history"
)

// watchPeriod is how often a status is looked at again.
const watchPeriod = time.Second

// The terminal's language: what a watch says to it. The screen that was there before comes
// back at the end.
const (
	screenOpen  = "\x1b[?1049h\x1b[?25l" // another screen, no cursor
	screenClose = "\x1b[?25h\x1b[?1049l"
	screenTop   = "\x1b[H"
	lineEnd     = "\x1b[K\r\n" // the rest of the line is empty
	screenRest  = "\x1b[J"     // the rest of the screen is empty
)

// coloured tells whether what is written there is to have colours: to a person's
// terminal, unless the person has said no (https://no-color.org).
func coloured(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && isTerminal(f) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// watchStatus shows the status until it is interrupted: again and again in the same place
// of a terminal; elsewhere a line when something has changed.
func watchStatus(ctx context.Context, client *control.Client, w io.Writer) error {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	defer stop()
	if f, ok := w.(*os.File); ok && isTerminal(f) && os.Getenv("TERM") != "dumb" {
		return watchScreen(ctx, client, f)
	}
	return watchLines(ctx, client, w)
}

// watchScreen draws over what it has drawn, line by line: nothing flickers, and over a
// slow line only what is seen is sent.
func watchScreen(ctx context.Context, client *control.Client, f *os.File) error {
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, unix.SIGWINCH)
	defer signal.Stop(resized)
	if _, err := client.Status(ctx); err != nil {
		return err // said once, where it can be read
	}
	fmt.Fprint(f, screenOpen)
	defer fmt.Fprint(f, screenClose)
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	var text string
	for {
		asked, cancel := context.WithTimeout(ctx, askBound)
		s, err := client.Status(asked)
		cancel()
		now := time.Now()
		head := fmt.Sprintf("%s  every %v; Ctrl-C ends", now.Format("2006-01-02 15:04:05"), watchPeriod)
		if err == nil {
			var b strings.Builder
			if err := s.WriteText(&b, now, coloured(f)); err != nil {
				return err
			}
			text = b.String()
		} else {
			head = "NO ANSWER; as it was. " + firstLine(err.Error())
		}
		if ctx.Err() != nil {
			return nil
		}
		if _, err := io.WriteString(f, screenful(head, text, f)); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-resized:
		}
	}
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// screenful is what draws a text into a terminal, as far as it has room.
func screenful(head, text string, f *os.File) string {
	columns, rows := 80, 24
	if size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		columns, rows = int(size.Col), int(size.Row)
	}
	lines := append([]string{head, ""}, strings.Split(strings.TrimRight(text, "\n"), "\n")...)
	if more := len(lines) - rows; more > 0 {
		lines = append(lines[:rows-1], fmt.Sprintf("… %d lines more", more+1))
	}
	var b strings.Builder
	b.WriteString(screenTop)
	for i, l := range lines {
		b.WriteString(appliance.Clip(l, columns))
		if i < len(lines)-1 {
			b.WriteString(lineEnd)
		} else {
			b.WriteString("\x1b[K")
		}
	}
	b.WriteString(screenRest)
	return b.String()
}

// watchLines prints how things stand, and then a line for each thing that happens. A
// node that is away for a moment, for an upgrade say, is waited for.
func watchLines(ctx context.Context, client *control.Client, w io.Writer) error {
	s, err := client.Status(ctx)
	if err != nil {
		return err
	}
	begin, err := client.Events(ctx, history.Query{Last: 1}, 0)
	if err != nil {
		return err
	}
	stamp := func(t time.Time) string { return t.Format("2006-01-02 15:04:05.000") }
	for _, g := range s.Groups {
		fmt.Fprintf(w, "%s  %s: %s is %s: %s\n", stamp(time.Now()), s.Node, g.Name, g.State, g.Why())
	}
	for _, a := range s.Alarms {
		fmt.Fprintf(w, "%s  %s: alarm %s: %s\n", stamp(time.Now()), s.Node, a.Name, a.Detail)
	}
	after, away := begin.Rev, false
	for {
		wait := 20 * time.Second
		if away {
			wait = 0 // say soon that it is back
		}
		a, err := client.Events(ctx, history.Query{After: after}, wait)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil && !away:
			away = true
			fmt.Fprintf(w, "%s  %s: no answer: %v\n", stamp(time.Now()), s.Node, firstLine(err.Error()))
			fallthrough
		case err != nil:
			select {
			case <-ctx.Done():
				return nil
			case <-time.After(watchPeriod):
			}
			continue
		case away:
			away = false
			fmt.Fprintf(w, "%s  %s: answers again\n", stamp(time.Now()), s.Node)
		}
		if a.Rev < after { // its history is gone with a boot
			after = 0
			continue
		}
		for _, e := range a.Events {
			if !e.Open {
				if _, err := fmt.Fprintf(w, "%s  %s: %s\n", stamp(e.At.Local()), s.Node, e.Line()); err != nil {
					return err
				}
			}
		}
		after = a.Rev
	}
}
