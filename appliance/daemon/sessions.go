package daemon

import (
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/replica"
	"understudy/appliance/replica/journal"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// sessions is the session plane as the rest of the daemon sees it.
type sessions struct {
	*replica.Engine
	log   *slog.Logger
	taken func(group string) // nil: nobody wants to know
}

func openSessions(cfg *config.Config, hooks func() (ipv4, ipv6 bool, err error), view func(context.Context) ([]byte, error), dumping func(on bool), log *slog.Logger) (*sessions, error) {
	c := replicatedFlows(cfg)
	c.Node, c.Listen, c.Also, c.Logger, c.NATHooks = cfg.Node, cfg.Sessions.Listen[0], cfg.Sessions.Listen[1:], log, hooks
	c.View, c.Dumping = view, dumping
	for _, p := range cfg.Sessions.Peers {
		c.Peers = append(c.Peers, replica.Peer{Name: p.Name, Addr: p.Addresses[0], Also: p.Addresses[1:]})
	}
	c.Secrets = secrets(cfg)
	c.Journal.Dir = cfg.Sessions.JournalDir
	e, err := replica.Open(c)
	if err != nil {
		return nil, err
	}
	return &sessions{Engine: e, log: log}, nil
}

func secrets(cfg *config.Config) (out [][]byte) {
	for _, s := range cfg.Sessions.Secret {
		out = append(out, s[:])
	}
	return out
}

// replicatedFlows is that part of an engine's configuration which a reload can
// change: whose flows are whose, and which of them are replicated.
func replicatedFlows(cfg *config.Config) replica.Config {
	// Inside bounds whose sessions a peer may put into our kernel: those that are
	// translated here.
	c := replica.Config{Hash: cfg.Hash(), Inside: cfg.Mappings.Inside(), Routed: cfg.Sessions.Routed, Bound: cfg.FlowsBound()}
	c.Knobs, c.Cold = cfg.Sessions.Knobs, cfg.Sessions.Install == config.InstallTakeover
	c.Journal.When = replica.JournalWhen(cfg.Sessions.Journal)
	for _, g := range cfg.Groups {
		rg := replica.Group{Name: g.Name, Networks: cfg.FlowNetworks(g.Name), Blocks: cfg.Blocks(g.Name)}
		for _, a := range cfg.Identity(g.Name).Addresses {
			// Nothing is translated to what counts on one link only.
			if addr := a.Prefix.Addr(); !addr.IsLinkLocalUnicast() || addr.Is4() {
				rg.Addresses = append(rg.Addresses, addr)
			}
		}
		c.Groups = append(c.Groups, rg)
	}
	c.Classes = cfg.Policy()
	return c
}

// How long sessions may hold up the identity: an address without its sessions is worse
// than late, but better than none. Beside that, several times what it takes to install
// one of those that the kernel has not got.
const (
	activateBound = 2 * time.Second
	installBound  = 40 * time.Microsecond
)

// Activate is the engine's, in the holder's words.
func (s *sessions) Activate(ctx context.Context, group string, term uint64) error {
	ctx, cancel := context.WithTimeout(ctx, activateBound+time.Duration(s.Leftovers(group))*installBound)
	defer cancel()
	r, err := s.Engine.Activate(ctx, group, term)
	if s.taken != nil {
		s.taken(group)
	}
	if err == nil {
		s.log.Info("sessions taken", "group", group, "term", r.Term, "installed", r.Installed, "took", r.Duration)
	}
	return err
}

// watchPeriod is how often readiness and alarms are looked at without a cause.
const watchPeriod = time.Second

// watchSessions tells Core of readiness and terms, and looks for what an
// operator should know.
func (n *node) watchSessions(ctx context.Context) {
	tick := time.NewTicker(watchPeriod)
	defer tick.Stop()
	w := sessionWatch{node: n, claimed: make(map[string]bool)}
	w.look(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case c := <-n.sessions.Notify():
			w.note(c)
		}
		w.look(ctx, time.Now())
	}
}

// sessionWatch remembers what alarms need from one look to the next.
type sessionWatch struct {
	node     *node
	last     appliance.Synced
	claimed  map[string]bool
	told     bool
	overruns uint64
	lostAt   time.Time
	named    time.Time // when it was last looked for flows that a takeover lost
}

// lostShown is how long lost events stay an alarm after the last loss.
const lostShown = time.Minute

func (w *sessionWatch) note(c replica.Change) {
	if c.Kind == replica.TermHeard {
		w.node.runner.Post(appliance.TermHeard{Group: c.Group, Term: c.Term})
	}
}

func (w *sessionWatch) look(ctx context.Context, now time.Time) {
	st := w.node.sessions.Engine.Status()
	s := appliance.Synced{Connected: st.Connected, InSync: st.InSync, Lag: max(0, st.Lag-st.Allowed), Covered: st.Covered, NotReady: strings.Join(st.NotReady, "; "),
		Incomplete: slices.ContainsFunc(st.Groups, func(g replica.GroupStatus) bool { return g.Incomplete })}
	if !w.told || s.Connected != w.last.Connected || s.InSync != w.last.InSync || s.NotReady != w.last.NotReady || s.Covered != w.last.Covered || s.Incomplete != w.last.Incomplete || (s.Lag > time.Second) != (w.last.Lag > time.Second) {
		w.told, w.last = true, s
		w.node.runner.Post(s)
	}
	for _, g := range st.Groups {
		if g.Claimed != w.claimed[g.Name] {
			w.claimed[g.Name] = g.Claimed
			w.node.runner.Post(appliance.Claimed{Group: g.Name, On: g.Claimed})
		}
	}
	if now.Sub(w.named) >= watchPeriod {
		w.named = now
		w.node.nameUnknown(now)
	}
	if st.Counters.Overruns > w.overruns {
		w.overruns, w.lostAt = st.Counters.Overruns, now
	}
	differs := slices.ContainsFunc(st.Peers, func(p replica.PeerStatus) bool { return p.ConfigDiffers })
	limits, err := conntrack.ReadLimits()
	full := fullness(limits, st)
	if err != nil {
		full = ""
	}
	w.node.runner.Ask(ctx, func(c *appliance.Core) {
		c.Alarm(now, appliance.AlarmEventsLost, st.Overload.Step >= session.Gap || !w.lostAt.IsZero() && now.Sub(w.lostAt) < lostShown,
			eventsLost(st))
		c.Alarm(now, appliance.AlarmConfigMismatch, differs, "a peer has other addresses or mappings")
		c.Alarm(now, appliance.AlarmConntrackFull, full != "", full)
		c.Alarm(now, appliance.AlarmJournal, st.Journal.State == journal.Failing, "sessions are not written to disk: "+st.Journal.LastError)
	})
}

func (s *sessions) status(cfg *config.Sessions) *appliance.SessionsStatus {
	st := s.Engine.Status()
	out := &appliance.SessionsStatus{
		Mode: string(cfg.Mode), Ack: cfg.Knobs.Ack.String(), Install: string(cfg.Install), Held: st.Held, LagAllowed: st.Allowed.Seconds(), Local: st.Local, Foreign: st.Foreign, InSync: st.InSync, Dirty: st.Dirty, Young: st.Young, NotReady: st.NotReady, Offloaded: st.Offloaded,
		Peers: []appliance.PeerStatus{}, Counters: counters(st.Counters), Overload: overload(st.Overload),
	}
	if st.Connected {
		out.LagSeconds = appliance.Seconds(st.Lag)
	}
	for _, p := range st.Peers {
		ps := appliance.PeerStatus{Name: p.Name, Connected: p.Connected, TableMax: p.Table.Max}
		if p.Connected {
			ps.Address = p.Addr.String()
			ps.LagSeconds = appliance.Seconds(p.Lag)
		}
		if !p.LastResync.IsZero() {
			ps.LastResync = &p.LastResync
		}
		out.Peers = append(out.Peers, ps)
	}
	if t := st.LastTakeover; t != nil {
		last := takeoverStatus(t)
		last.Lost = last.Lost[:min(len(last.Lost), statusLost)] // the report has them all
		out.LastTakeover = &last
	}
	out.Unprotected = unprotectedStatus(s.Engine.Unprotected())
	out.Journal = journalStatus(st.Journal)
	return out
}

// statusLost is how many lost flows the status names: it is asked for often.
const statusLost = 256

func journalStatus(j replica.JournalStatus) *appliance.JournalStatus {
	return &appliance.JournalStatus{State: string(j.State), Bytes: j.Bytes, Records: j.Records, Fsyncs: j.Fsyncs, Failures: j.Failures,
		LastError: j.LastError, Restored: j.Restored, Outcome: j.Outcome}
}

func counters(c replica.Counters) map[string]uint64 {
	return map[string]uint64{
		"events": c.Events, "overruns": c.Overruns, "stray": c.Stray, "partial": c.Partial, "unsupported": c.Unsupported, "excluded": c.Excluded,
		"full": c.Full, "dumps": c.Dumps, "dump_errors": c.DumpErrors, "swept": c.Swept, "installed": c.Installed,
		"updated": c.Updated, "removed": c.Removed, "renewed": c.Renewed, "reinstalled": c.Reinstalled, "stale": c.Stale,
		"clashes": c.Clashes, "kernel_full": c.KernelFull, "errors": c.Errors, "strict": c.Strict, "liberal": c.Liberal,
		"conflicts": c.Conflicts, "refused": c.Refused, "salvaged": c.Salvaged, "tunnels": c.Tunnels, "expected": c.Expected, "bare": c.Bare,
		"overloads": c.Overloads, "spared": c.Spared,
	}
}
