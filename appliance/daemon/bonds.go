package daemon

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/health"
	"understudy/lacp"
	"understudy/lacp/lacpnet"
)

// bonds is the lane that watches aggregates: a monitor each, fed with what the
// kernel shows and what passes on the members.
type bonds struct {
	post    func(appliance.Event)
	log     *slog.Logger
	watcher *lacpnet.Watcher
	startC  chan struct{} // holds one: there may be something to watch

	mu   sync.Mutex
	list []*bond
}

// bond is one aggregate.
type bond struct {
	cfg     config.Bond
	monitor *lacp.Monitor
	seen    bool // it was looked for
	there   bool // and found
	told    appliance.BondChanged
}

func newBonds(cfg *config.Config, post func(appliance.Event), log *slog.Logger) *bonds {
	b := &bonds{post: post, log: log, watcher: lacpnet.NewWatcher(log), startC: make(chan struct{}, 1)}
	b.set(cfg)
	return b
}

// set goes over to the bonds of cfg. Those that stay keep what is known of them, and
// it is said again: their last word may have been on its way.
func (b *bonds) set(cfg *config.Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var list []*bond
	var names []string
	for _, c := range cfg.Bonds {
		one := b.find(c.Name)
		if one == nil {
			one = &bond{monitor: lacp.NewMonitor(lacp.MonitorConfig{})}
		}
		one.cfg = c
		one.monitor.Reconfigure(lacp.MonitorConfig{MinLinks: c.MinLinks})
		list, names = append(list, one), append(names, c.Name)
	}
	b.list = list
	b.watcher.Set(names...)
	for _, one := range b.list {
		one.told = appliance.BondChanged{}
		b.judge(one)
	}
	select {
	case b.startC <- struct{}{}:
	default:
	}
}

func (b *bonds) find(name string) *bond {
	for _, one := range b.list {
		if one.cfg.Name == name {
			return one
		}
	}
	return nil
}

func (b *bonds) any() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.list) > 0
}

// watchAgain is how long after the kernel could not be asked that is tried again.
const watchAgain = 5 * time.Second

// run watches, once there is something to watch.
func (b *bonds) run(ctx context.Context) {
	for ctx.Err() == nil {
		for !b.any() {
			select {
			case <-ctx.Done():
				return
			case <-b.startC:
			}
		}
		if err := b.watcher.Run(ctx, b.event); err != nil {
			b.log.Error("bonds are not watched", "err", err)
			select {
			case <-ctx.Done():
			case <-time.After(watchAgain):
			}
		}
	}
}

// event takes what the watcher says, and returns when it has to say that the time
// has come.
func (b *bonds) event(ev lacpnet.Event) (deadline time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, one := range b.list {
		switch {
		case ev.Kind == lacpnet.Woken:
			if due := one.monitor.Deadline(); !due.IsZero() && !ev.At.Before(due) {
				b.step(one, ev.At, lacp.Input{Kind: lacp.InTick})
			}
		case ev.Bond != one.cfg.Name:
		case ev.Kind == lacpnet.Heard:
			b.step(one, ev.At, lacp.Input{Kind: lacp.InFrame, Member: ev.Member, Frame: ev.Frame.Data, Outgoing: ev.Frame.Outgoing, Lost: ev.Lost})
		case ev.Kind == lacpnet.Gone:
			one.seen, one.there = true, false
			b.step(one, ev.At, lacp.Input{Kind: lacp.InGone})
		case ev.Kind == lacpnet.Seen:
			one.seen, one.there = true, true
			b.step(one, ev.At, lacp.Input{Kind: lacp.InBond, Bond: ev.Seen})
		}
		if due := one.monitor.Deadline(); !due.IsZero() && (deadline.IsZero() || due.Before(deadline)) {
			deadline = due
		}
	}
	return deadline
}

// step gives the monitor an input, logs what it found, and passes on what follows.
func (b *bonds) step(one *bond, now time.Time, in lacp.Input) {
	out := one.monitor.Step(now, in)
	for _, f := range out.Raised {
		level := slog.LevelWarn
		if f.Severity == lacp.SeverityInfo {
			level = slog.LevelInfo
		}
		b.log.Log(context.Background(), level, "bond finding", "bond", one.cfg.Name, "iface", f.Member, "finding", f.Name(),
			"severity", f.Severity.String(), "evidence", f.Evidence)
	}
	for _, f := range out.Cleared {
		b.log.Info("bond finding is over", "bond", one.cfg.Name, "iface", f.Member, "finding", f.Name())
	}
	// A frame that led to nothing is most of them, and a status is made of much.
	if in.Kind != lacp.InFrame || len(out.Raised)+len(out.Cleared) > 0 || out.From != out.To {
		b.judge(one)
	}
}

// judge tells Core when a bond has become another one.
func (b *bonds) judge(one *bond) {
	if !one.seen {
		return
	}
	if is := one.verdict(); is != one.told {
		one.told = is
		b.post(is)
	}
}

func (b *bond) verdict() appliance.BondChanged {
	return verdict(b.cfg, b.there, b.monitor.Status())
}

// verdict says what a bond's state is to those who track it.
func verdict(cfg config.Bond, there bool, s lacp.Status) appliance.BondChanged {
	v := appliance.BondChanged{Name: cfg.Name, State: health.Up, Lost: len(s.Members) - s.Carrying}
	var why []string
	critical := false
	for _, f := range s.Findings {
		critical = critical || f.Severity == lacp.SeverityCritical
		if f.Severity > lacp.SeverityInfo {
			why = append(why, strings.TrimSpace(f.Member+" "+f.Name()))
		}
	}
	v.Why = strings.Join(why, ", ")
	switch {
	case !there:
		v.State, v.Lost, v.Why = health.Down, 0, "there is no such bond"
	case s.State == lacp.BondFailed, critical && cfg.FailOn == config.FailOnCritical:
		v.State = health.Down
	case s.State == lacp.BondUnknown:
		v.State = health.Unknown
	}
	return v
}

func (b *bonds) status() []appliance.BondStatus {
	b.mu.Lock()
	defer b.mu.Unlock()
	out := make([]appliance.BondStatus, 0, len(b.list))
	for _, one := range b.list {
		out = append(out, one.status())
	}
	return out
}

func (b *bond) status() appliance.BondStatus {
	s := b.monitor.Status()
	out := appliance.BondStatus{Name: b.cfg.Name, State: s.State.String(), Mode: s.Mode.String(), Carrying: s.Carrying, Needed: s.Need,
		Findings: []appliance.BondFinding{}, Members: []appliance.BondMember{}}
	if b.seen && b.verdict().State == health.Down {
		out.State = lacp.BondFailed.String()
	}
	for _, f := range s.Findings {
		out.Findings = append(out.Findings, appliance.BondFinding{Name: f.Name(), Severity: f.Severity.String(), Since: f.Since, Detail: f.Detail()})
	}
	for _, m := range s.Members {
		bm := appliance.BondMember{Interface: m.Interface, Up: m.Up, Carries: m.Carries, Synchronized: m.Carries,
			Received: m.Counters.Received, Sent: m.Counters.Sent, Markers: m.Counters.Markers, Looped: m.Counters.Looped, Lost: m.Counters.Lost}
		for _, n := range m.Counters.Refused {
			bm.Refused += n
		}
		if s.Mode == lacp.ModeLACP {
			bm.Synchronized, bm.Receive = m.Synchronized, m.Receive.String()
			if m.PartnerKnown {
				bm.PartnerSystem = m.Partner.System.String()
			}
		}
		out.Members = append(out.Members, bm)
	}
	return out
}

// wrong is what there is to be alarmed about.
func (b *bonds) wrong() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	var all []string
	for _, one := range b.list {
		if !one.seen {
			continue
		}
		if v := one.verdict(); v.Why != "" {
			all = append(all, fmt.Sprintf("%s: %s", one.cfg.Name, v.Why))
		}
	}
	return strings.Join(all, "; ")
}
