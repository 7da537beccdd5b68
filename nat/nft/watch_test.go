package nft

import (
	"context"
	"testing"
	"time"

	"github.com/google/nftables"
)

// TestWatcherTellsWhatOthersRemoved: what we do ourselves, and what is done to
// other tables, is no news; a flush of the whole ruleset is, once, and Apply then
// finds that the gate is new.
func TestWatcherTellsWhatOthersRemoved(t *testing.T) {
	l := newLab(t)
	var w *Watcher
	l.gateway.do(func() (err error) {
		w, err = OpenWatcher(Config{})
		return err
	})
	ctx, cancel := context.WithCancel(context.Background())
	told := make(chan struct{}, 16)
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx, l.a.PortID, func() { told <- struct{}{} }) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("run: %v", err)
		}
		w.Close()
	})
	quiet := func(what string) {
		t.Helper()
		select {
		case <-told:
			t.Errorf("told of %s", what)
		case <-time.After(10 * settle):
		}
	}

	p := plan(t, config())
	l.apply(config())
	if err := l.a.OpenGate(allOfGroup); err != nil {
		t.Fatal(err)
	}
	if err := l.a.SetUnknown(UnknownReset); err != nil {
		t.Fatal(err)
	}
	quiet("our own changes")

	other, err := nftables.New(nftables.WithNetNSFd(int(l.gateway.handle)))
	if err != nil {
		t.Fatal(err)
	}
	foreign := other.AddTable(&nftables.Table{Family: nftables.TableFamilyIPv4, Name: "other"})
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	other.DelTable(foreign)
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	quiet("another's table")

	other.FlushRuleset()
	if err := other.Flush(); err != nil {
		t.Fatal(err)
	}
	select {
	case <-told:
	case <-time.After(20 * time.Second):
		t.Fatal("a flush of the whole ruleset was not noticed")
	}
	quiet("one flush twice")
	report, err := l.a.Apply(p)
	if err != nil || !report.NewGate {
		t.Fatalf("after the flush: %+v, %v; want a new gate", report, err)
	}
}
