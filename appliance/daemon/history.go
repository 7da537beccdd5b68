package daemon

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/history"
	"understudy/appliance/history/histfile"
)

// remembered is the node's history, with a lock around it and a file behind it.
type remembered struct {
	file *histfile.File // nil: over a restart nothing is kept

	mu       sync.Mutex
	observer history.Observer
	others   []appliance.Alarm // that Core does not know of
	changedC chan struct{}     // closed when there is something new
}

// historyDir is where the history is kept: systemd's state directory, where it outlives a
// boot too; else beside what has to survive a crash of ours.
func historyDir() string {
	if dirs := filepath.SplitList(os.Getenv("STATE_DIRECTORY")); len(dirs) > 0 {
		return dirs[0]
	}
	return RunDir
}

// openHistory goes on with what a daemon before has kept. A disk that is of no use is no
// reason to be no gateway.
func openHistory(dir string, log *slog.Logger) *remembered {
	h := &remembered{changedC: make(chan struct{})}
	saved, file, err := histfile.Open(dir, log)
	if err != nil {
		log.Warn("events are not kept over a restart", "err", err)
	}
	h.file = file
	h.observer.Log.Restore(saved)
	return h
}

// told takes what the control loop was given and has decided.
func (h *remembered) told(now time.Time, ev appliance.Event, actions []appliance.Action, core *appliance.Core) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep(h.observer.Step(now, ev, actions))
	h.alarms(now, core)
}

// alarmed takes the alarms when an edge has changed one.
func (h *remembered) alarmed(now time.Time, core *appliance.Core) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.alarms(now, core)
}

// elsewhere takes those that Core does not know of.
func (h *remembered) elsewhere(now time.Time, up []appliance.Alarm, core *appliance.Core) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.others = since(up, h.others)
	h.alarms(now, core)
}

func (h *remembered) alarms(now time.Time, core *appliance.Core) {
	h.keep(h.observer.Alarms(now, append(core.Alarms(), h.others...)))
}

// note adds what the control loop does not hear of.
func (h *remembered) note(kind history.Kind, cause, text string) {
	h.add(history.Event{Kind: kind, Cause: cause, Text: text})
}

// add adds an event that the control loop does not hear of.
func (h *remembered) add(e history.Event) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.keep(h.observer.Note(time.Now(), e))
}

func (h *remembered) keep(events []history.Event) {
	for _, e := range events {
		h.file.Keep(e)
	}
	if len(events) > 0 {
		close(h.changedC)
		h.changedC = make(chan struct{})
	}
}

// events are those that q selects, and what is closed when there are more.
func (h *remembered) events(q history.Query) (history.Answer, <-chan struct{}) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return history.Answer{Rev: h.observer.Log.Rev(), Events: h.observer.Log.Events(q)}, h.changedC
}

// Events returns what q selects. If there is nothing, it waits for it at most so long.
func (n *node) Events(ctx context.Context, q history.Query, wait time.Duration) (history.Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, wait)
	defer cancel()
	for {
		a, changed := n.history.events(q)
		if len(a.Events) > 0 || wait <= 0 {
			return a, nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return a, nil
		}
	}
}
