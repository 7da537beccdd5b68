package daemon

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/appliance/history"
	"understudy/appliance/notify"
	"understudy/vrrp/election"
)

// node is the control socket's handler.

// Failover hands a group over and returns when it is no longer Active here.
func (n *node) Failover(ctx context.Context, group string, force bool) error {
	return n.runner.Failover(ctx, group, force)
}

// configureBound is how long the election process may take over a reload. It closes and
// opens sockets for it, which a kernel under load takes seconds for, one after the other.
const configureBound = 10 * time.Second

// Reload loads the configuration file again. Nothing changes unless everything
// can: the file is checked, then the kernel's table, then the election; what did
// not change does not move.
func (n *node) Reload(ctx context.Context) error {
	err := n.reload(ctx)
	if err != nil {
		n.settled.refuse(err)
		n.history.note(history.Operator, "reload-refused", "a reload was refused: "+err.Error())
		n.log.Error("reload refused; running on with the configuration from before", "err", err)
	}
	return err
}

func (n *node) reload(ctx context.Context) error {
	n.reloading.Lock()
	defer n.reloading.Unlock()
	old := n.settled.config()
	cfg, err := n.opt.load(namesOf(old))
	if err != nil {
		return err
	}
	if err := needsRestart(old, cfg); err != nil {
		return err
	}
	for _, w := range cfg.Warnings {
		n.log.Warn(NotCarried, "line", w)
	}
	plan, err := n.planOf(cfg)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	if err := n.sysctls.Apply(settings(cfg)); err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	// Devices that are not in the file any more stay until nothing is on them.
	if err := n.makeDevices(cfg); err != nil {
		return fmt.Errorf("reload: %w", errors.Join(err, n.makeDevices(old)))
	}
	if _, err := n.table.Change(plan); err != nil {
		return fmt.Errorf("reload: %w", errors.Join(err, n.makeDevices(old)))
	}
	if err := n.entries.prepare(cfg); err != nil {
		_, undo := n.table.Change(n.settled.current())
		return fmt.Errorf("reload: %w", errors.Join(err, undo, n.makeDevices(old)))
	}
	told, err := n.configured.ask(ctx, configureBound, func() error {
		return n.client.Send(election.Configure{Config: cfg.Election()})
	})
	if err == nil && told.Error != "" {
		err = errors.New(told.Error)
	}
	if err != nil {
		// Back to what the election still goes by.
		_, undo := n.table.Change(n.settled.current())
		n.entries.repair()
		return fmt.Errorf("reload: %w", errors.Join(err, undo, n.makeDevices(old)))
	}
	n.settled.set(cfg, plan)
	n.rememberNames(cfg)
	n.entries.set(cfg)
	if err := n.tellGuard(cfg); err != nil && !errors.Is(err, election.ErrLost) {
		return fmt.Errorf("reload: %w", err) // config has checked the secret
	}
	if n.sessions != nil {
		if err := n.sessions.Rekey(secrets(cfg)); err != nil {
			return fmt.Errorf("reload: %w", err) // config has checked them
		}
		if err := n.sessions.Reconfigure(replicatedFlows(cfg)); err != nil {
			return fmt.Errorf("reload: %w", err) // needsRestart has seen to it that there is none
		}
	}
	n.notify.Set(notifySpecs(cfg))
	n.mail.Set(mailConfig(cfg))
	n.setPipes(ctx, old, cfg)
	n.entries.begin(old)
	n.announce.pace(cfg.Paces())
	core := coreConfig(cfg)
	n.fences.set(core.Groups)
	n.tellFences()
	n.runner.Post(appliance.Reloaded{Config: core})
	InitFiles(old, cfg, n.log)
	n.checks.set(cfg) // what they say is of the new configuration
	n.bonds.set(cfg)
	n.advertise(cfg)
	n.tellLinks()
	n.shown.set(cfg.Web)
	return nil
}

// needsRestart refuses changes that cannot be made under traffic.
func needsRestart(old, now *config.Config) error {
	refuse := func(what string) error {
		return fmt.Errorf("%s: %s cannot be changed by a reload; restart understudy (the peer takes over meanwhile)", now.File, what)
	}
	switch {
	case old.Node != now.Node:
		return refuse("node")
	case old.Watchdog != now.Watchdog:
		return refuse("watchdog")
	case (old.Sessions == nil) != (now.Sessions == nil):
		return refuse("adding or removing [sessions]")
	case old.Sessions == nil:
		return nil
	case !slices.Equal(old.Sessions.Listen, now.Sessions.Listen):
		return refuse("sessions.listen")
	case !slices.EqualFunc(old.Sessions.Peers, now.Sessions.Peers, samePeer):
		return refuse("sessions.peers")
	case old.Sessions.JournalDir != now.Sessions.JournalDir:
		return refuse("sessions.journal_dir")
	case !slices.Equal(groupNames(old), groupNames(now)):
		return refuse("which groups there are, while sessions are replicated,")
	}
	return nil
}

func samePeer(a, b config.Peer) bool {
	return a.Name == b.Name && slices.Equal(a.Addresses, b.Addresses)
}

// Status composes the node's status from what each edge knows. A part that does
// not answer in time is left at what it was configured to be.
func (n *node) Status(ctx context.Context) (appliance.Status, error) {
	cfg := n.settled.config()
	s := appliance.NewStatus()
	s.Node, s.Version, s.UptimeSeconds = cfg.Node, n.opt.Version, time.Since(n.started).Seconds()
	s.ReloadError = n.settled.refused()

	s.Checks, s.Heartbeats = n.checks.status(), n.checks.heartbeats()
	s.Bonds = n.bonds.status()

	stats, statsErr := n.stats.ask(ctx, statsBound, func() error { return n.client.Send(election.StatsRequest{}) })
	tracked := make(map[string]string)
	groups := make(map[string]appliance.GroupState)
	putBack := make(map[string]int)
	n.runner.Ask(ctx, func(c *appliance.Core) {
		s.Alarms = append(s.Alarms, c.Alarms()...)
		for _, g := range c.Groups() {
			groups[g.Group] = g
			tracked[g.Group] = c.Tracked(g.Group)
			putBack[g.Group] = c.PutBack(g.Group)
		}
	})
	ras := n.speaker.Stats()
	for _, r := range cfg.Routers {
		rs := routerStatus(r, stats)
		rs.RA = raStatus(r, ras)
		rs.Reason = because(rs.Reason, tracked[cfg.GroupOf(r.Name).Name])
		rs.Notify = n.notifyStatus(notify.Router, r.Name)
		s.Routers = append(s.Routers, rs)
	}
	s.Election, _ = electionStatus(stats, statsErr, time.Now())
	s.Alarms = append(s.Alarms, electionAlarms(stats, statsErr, time.Now())...)
	slices.SortStableFunc(s.Alarms, func(a, b appliance.Alarm) int { return strings.Compare(a.Name, b.Name) })
	for _, g := range cfg.Groups {
		state := groups[g.Name]
		gs := appliance.GroupStatus{Name: g.Name, State: state.State.String(), Term: state.Term,
			Members: slices.Clone(g.Routers), Leaving: state.Leaving, Held: held(stats, g.Name), Restored: putBack[g.Name],
			Notify: n.notifyStatus(notify.Group, g.Name)}
		for _, e := range stats.Status.Groups {
			if e.Name == g.Name {
				gs.Reason = because(e.Reason, tracked[g.Name])
				if !e.LastTransition.IsZero() {
					gs.LastTransition = &e.LastTransition
				}
			}
		}
		s.Groups = append(s.Groups, gs)
	}
	s.Mail = n.mailStatus(cfg)
	s.Guard = guardStatus(cfg, stats.Guard)
	s.NAT = n.natStatus(cfg)
	if n.sessions != nil {
		s.Sessions = n.sessions.status(cfg.Sessions)
		s.Sessions.Filtered = n.settled.current().Events != nil
	}
	return s, ctx.Err()
}

// because adds to the reason for a state what is tracked and not as it should be. A fault
// of something tracked has it as its reason already.
func because(reason, tracked string) string {
	if tracked == "" || strings.Contains(reason, tracked) {
		return reason
	}
	return strings.TrimPrefix(reason+"; "+tracked, "; ")
}

func (n *node) natStatus(cfg *config.Config) appliance.NATStatus {
	out := appliance.NATStatus{Entries: n.entries.status(), Log: n.entries.logStatus()}
	if cfg.Mappings != nil {
		out.Source, out.Static, out.Forwards = len(cfg.Mappings.Sources), len(cfg.Mappings.Statics), len(cfg.Mappings.Forwards)
	}
	c, err := n.table.Counters()
	if err != nil {
		n.log.Debug("reading counters", "err", err)
		return out
	}
	if n.settled.current().Mirror != nil {
		out.Mirror = mirrorStatus(c)
	}
	out.Drops = map[string]uint64{"gate": c.Gate, "untranslated": c.Untranslated, "stray": c.Stray, "refused": c.Refused, "unknown": c.Unknown}
	return out
}

// routerStatus joins what is configured with what the election says of it.
func routerStatus(r config.Router, stats election.Stats) appliance.RouterStatus {
	out := appliance.RouterStatus{
		Name: r.Name, Interface: r.Interface, VRID: r.VRID, Family: fmt.Sprintf("ipv%d", r.Family), Version: r.Version,
		State: "initialize", Priority: r.Priority, EffectivePriority: r.Priority,
		MAC: string(r.MAC), Accept: r.Accept,
		AdvertIntervalSeconds: r.Advertise.Seconds(), Addresses: []string{}, Unicast: []string{}, Drops: map[string]uint64{},
		Rivals: []appliance.RivalStatus{},
	}
	if d, ok := r.Device(); ok {
		out.Device = d.Name
	}
	for _, a := range r.Held() {
		out.Addresses = append(out.Addresses, a.String())
	}
	for _, a := range r.Unicast {
		out.Unicast = append(out.Unicast, a.String())
	}
	for _, e := range stats.Status.Routers {
		if e.Name != r.Name || e.Family != r.Family {
			continue
		}
		out.State, out.Reason = e.State.String(), e.Reason
		out.EffectivePriority = e.Effective
		out.ActiveAddress, out.Source = addressText(e.Active), addressText(e.Source)
		out.Rivals = rivals(e)
		out.Transitions = e.Transitions
		out.Adverts = appliance.AdvertStatus{Sent: e.Sent, Received: e.Received,
			IntervalMismatch: e.IntervalMismatch, AddressMismatch: e.AddressMismatch}
		if !e.LastTransition.IsZero() {
			out.LastTransition = &e.LastTransition
		}
		for reason, count := range e.Drops {
			out.Drops[reason] = count
		}
		for _, p := range stats.Ports {
			if p.Interface == r.Interface && p.Family == r.Family {
				out.DropsEstimated, out.Adverts.Lost = p.Estimated, p.Lost
			}
		}
	}
	return out
}

func addressText(a netip.Addr) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

func groupNames(c *config.Config) (names []string) {
	for _, g := range c.Groups {
		names = append(names, g.Name)
	}
	slices.Sort(names)
	return names
}
