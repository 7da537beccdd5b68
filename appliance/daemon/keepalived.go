package daemon

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"understudy/appliance/config"
	"understudy/appliance/config/keepalived"
	"understudy/appliance/dropin"
	"understudy/health"
	"understudy/health/program"
	"understudy/vrrp"
	"understudy/vrrp/election"
)

// spoken is what keepalived's signals ask for.
type spoken struct {
	mu       sync.Mutex // one at a time
	cleared  dropin.Cleared
	stopping atomic.Bool // the end has begun
}

// requested does what a signal of keepalived's asks for.
func (n *node) requested(ctx context.Context, what string) {
	n.spoken.mu.Lock()
	defer n.spoken.mu.Unlock()
	v, err := n.view(ctx)
	if err != nil {
		n.log.Error("dump", "what", what, "err", err)
		return
	}
	if what == dropin.RequestClear {
		n.spoken.cleared.Clear(v)
		n.log.Info("Clearing VRRP stats on signal")
		return
	}
	n.log.Info(map[string]string{dropin.RequestData: "Printing VRRP data on signal", dropin.RequestStats: "Printing VRRP stats on signal",
		dropin.RequestJSON: "Printing VRRP as json on signal"}[what])
	if _, err := n.dumpsTo().Write(what, n.spoken.cleared.Apply(v)); err != nil {
		n.log.Error("dump", "what", what, "err", err)
	}
}

// dumpsTo is where dumps go: by the command line, and by the file.
func (n *node) dumpsTo() dropin.Dumps {
	d := dropin.Dumps{Umask: -1}
	who := n.opt.Keepalived
	if who != nil {
		d.Umask = who.Umask
	}
	cfg := n.settled.config()
	if cfg.Spoken == nil {
		return d
	}
	g := cfg.Spoken.File.Global
	if d.Umask < 0 && g.Umask.Set {
		d.Umask = g.Umask.V // the command line comes first
	}
	d.State, d.Stats, d.JSON, d.JSONVersion = g.StateFile.V, g.StatsFile.V, g.JSONFile.V, g.JSONVersion.V
	if g.DataOfInstance.V {
		d.Namespace, d.Instance = g.Namespace.V, g.Instance.V
		if who != nil && who.Namespace != "" {
			d.Namespace = who.Namespace
		}
	}
	return d
}

// dumpConf writes into the log what the configuration has become, once.
func (n *node) dumpConf(ctx context.Context) {
	if n.opt.Keepalived == nil || !n.opt.Keepalived.DumpConf {
		return
	}
	v, err := n.view(ctx)
	if err != nil {
		n.log.Error("dump", "what", "configuration", "err", err)
		return
	}
	var b strings.Builder
	_ = dropin.WriteData(&b, v) // into memory
	for l := range strings.Lines(b.String()) {
		n.log.Info(strings.TrimSuffix(l, "\n"))
	}
}

// view is the node as keepalived shows itself.
func (n *node) view(ctx context.Context) (dropin.View, error) {
	cfg := n.settled.config()
	stats, err := n.stats.ask(ctx, statsBound, func() error { return n.client.Send(election.StatsRequest{}) })
	if err != nil {
		return dropin.View{}, err
	}
	if cfg.Spoken == nil {
		return dropin.View{}, fmt.Errorf("%s is not in keepalived's language", cfg.File)
	}
	checks, facts := n.checks.facts()
	return viewer{cfg: cfg, file: cfg.Spoken.File, stats: stats, checks: checks, facts: facts}.view(), nil
}

// viewer makes a View of the file and of what has become of it.
type viewer struct {
	cfg    *config.Config
	file   *keepalived.File
	stats  election.Stats
	checks []config.Check
	facts  []health.Facts
}

func (v viewer) view() dropin.View {
	g := v.file.Global
	out := dropin.View{RouterID: g.RouterID.V, Interface: g.DefaultInterface.V}
	if out.RouterID == "" {
		out.RouterID = v.cfg.Node
	}
	if out.Interface == "" {
		out.Interface = "eth0"
	}
	for _, in := range v.file.Instances {
		if i, ok := v.instance(in); ok {
			out.Instances = append(out.Instances, i)
		}
	}
	for _, g := range v.file.Groups {
		if one, ok := v.group(g); ok {
			out.Groups = append(out.Groups, one)
		}
	}
	for _, s := range v.file.Scripts {
		if f, ok := v.fact("vrrp_script", s.Name); ok {
			out.Scripts = append(out.Scripts, v.script(s, f))
		}
	}
	for _, t := range v.file.Files {
		if f, ok := v.fact("track_file", t.Name); ok {
			out.Files = append(out.Files, dropin.TrackFile{Name: t.Name, Path: t.Path.V, Value: f.Value, Weight: weightOr(t.Weight, 1),
				Reverse: t.Reverse, Tracking: v.tracking("file", t.Name, weightOr(t.Weight, 1), t.Reverse)})
		}
	}
	for _, p := range v.file.Processes {
		if f, ok := v.fact("vrrp_track_process", p.Name); ok {
			out.Processes = append(out.Processes, dropin.TrackProcess{Name: p.Name, Process: p.Program.V, Args: p.Args, Min: max(1, p.Quorum.V),
				Max: p.Max.V, Fork: p.Fork.V, Ends: p.Ends.V,
				Quorum: f.State == health.Up, Weight: p.Weight.V, Reverse: p.Reverse, Full: p.ByArgs, Tracking: v.tracking("process", p.Name, p.Weight.V, p.Reverse)})
		}
	}
	return out
}

func weightOr(w keepalived.Of[int], def int) int {
	if w.Set {
		return w.V
	}
	return def
}

// fact is what is known of a check that something of the file has become.
func (v viewer) fact(block, name string) (health.Facts, bool) {
	here := v.cfg.Spoken.Name(block, name)
	i := slices.IndexFunc(v.checks, func(k config.Check) bool { return k.Name == here && here != "" })
	if i < 0 {
		return health.Facts{}, false
	}
	return v.facts[i], true
}

// router is the router that an instance has become, and how it stands.
func (v viewer) router(in *keepalived.Instance) (r config.Router, st vrrp.RouterStatus, ok bool) {
	name := v.cfg.Spoken.Name("vrrp_instance", in.Name)
	i := slices.IndexFunc(v.cfg.Routers, func(r config.Router) bool { return r.Name == name && name != "" })
	if i < 0 {
		return r, st, false
	}
	r = v.cfg.Routers[i]
	k := slices.IndexFunc(v.stats.Status.Routers, func(s vrrp.RouterStatus) bool { return s.Name == r.Name && s.Family == r.Family })
	if k < 0 {
		return r, st, false
	}
	return r, v.stats.Status.Routers[k], true
}

// spokenStates are keepalived's words.
var spokenStates = map[vrrp.State]dropin.State{vrrp.Initialize: dropin.Init, vrrp.Backup: dropin.Backup, vrrp.Active: dropin.Master, vrrp.Fault: dropin.Fault}

func (v viewer) instance(in *keepalived.Instance) (dropin.Instance, bool) {
	r, st, ok := v.router(in)
	if !ok {
		return dropin.Instance{}, false
	}
	g := v.file.Global
	state := spokenStates[st.State]
	out := dropin.Instance{
		Name: in.Name, Version: r.Version, Six: r.Family == 6, State: state, Wants: state, Changed: st.LastTransition,
		Down: vrrp.ActiveDown(r.Version, st.Effective, st.Learned), On: r.Interface, Source: st.Source, Chosen: r.Source.IsValid(), Peers: r.Unicast,
		VRID: r.VRID, Priority: r.Priority, Effective: st.Effective, Interval: r.Advertise, MasterInterval: st.Learned,
		Accept: r.Accept, Preempt: r.Preempt, Strict: in.Strict.V || !in.Strict.Set && g.Strict.V, PreemptDelay: r.PreemptDelay,
		GARP:   dropin.Announcing{Delay: 5 * time.Second, LowerDelay: 5 * time.Second, Repeat: 5, RefreshRepeat: 1, LowerRepeat: 5},
		Notify: map[string][]string{}, User: map[string]string{}, Stats: spokenStats(st),
	}
	if r.AuthPass != "" {
		out.Auth = strings.ToUpper(string(r.AuthType))
	}
	if state == dropin.Fault {
		out.Faults = 1
	}
	for _, s := range v.stats.Status.Groups { // a fault is the group's
		if s.Name == v.cfg.GroupOf(r.Name).Name && s.LastTransition.After(out.Changed) {
			out.Changed = s.LastTransition
		}
	}
	if state == dropin.Backup {
		out.MasterPriority = st.ActivePriority
	}
	if d, ok := r.Device(); ok {
		out.Device = d.Name
	}
	for _, k := range v.file.Groups {
		if slices.ContainsFunc(k.Members, func(m keepalived.Of[string]) bool { return m.V == in.Name }) {
			out.Group = k.Name
			break
		}
	}
	out.Addresses, out.Excluded = spokenAddresses(r, out, in.Addresses), spokenAddresses(r, out, in.Excluded)
	for _, x := range r.Routes {
		out.Routes = append(out.Routes, x.String())
	}
	for _, x := range r.Rules {
		out.Rules = append(out.Rules, x.String())
	}
	for _, t := range in.Track {
		one := dropin.Tracked{Kind: t.Kind, Name: t.Name, Weight: t.Weight.V, Reverse: t.Reverse}
		v.ownWeight(&one, t)
		out.Track = append(out.Track, one)
	}
	spokenNotify(in.Notify, out.Notify, out.User)
	out.Deleted = len(out.Notify["deleted"]) > 0
	return out, true
}

// ownWeight fills in what the thing that is tracked says itself.
func (v viewer) ownWeight(one *dropin.Tracked, t keepalived.Tracked) {
	for _, s := range v.file.Scripts {
		if t.Kind == "script" && s.Name == t.Name {
			one.Command = s.Command.V
			if !t.Weight.Set {
				one.Weight, one.Reverse = s.Weight.V, s.Reverse
			}
		}
	}
	for _, f := range v.file.Files {
		if t.Kind == "file" && f.Name == t.Name && !t.Weight.Set {
			one.Weight, one.Reverse = weightOr(f.Weight, 1), f.Reverse
		}
	}
	for _, p := range v.file.Processes {
		if t.Kind == "process" && p.Name == t.Name && !t.Weight.Set {
			one.Weight, one.Reverse = p.Weight.V, p.Reverse
		}
	}
}

func spokenAddresses(r config.Router, in dropin.Instance, list []keepalived.Address) (out []dropin.Address) {
	held := r.Held()
	for _, a := range list {
		if !slices.Contains(held, a.Prefix) {
			continue // it was left out
		}
		dev := a.Dev
		switch {
		case dev != "":
		case in.Device != "":
			dev = in.Device + "@" + in.On
		default:
			dev = in.On
		}
		out = append(out, dropin.Address{Prefix: a.Prefix, Dev: dev, Set: in.State == dropin.Master})
	}
	return out
}

// spokenNotify lists programs by keepalived's words for states.
func spokenNotify(list []keepalived.Notified, commands map[string][]string, users map[string]string) {
	for _, n := range list {
		commands[n.State], users[n.State] = n.Command, ids(n.User)
	}
}

// ids are the numbers of a user.
func ids(name string) string {
	uid, gid, err := program.IDs(name)
	if err != nil {
		return "-1:-1" // it is not run
	}
	return fmt.Sprintf("%d:%d", uid, gid)
}

func spokenStats(st vrrp.RouterStatus) dropin.Stats {
	d := func(r vrrp.Reason) uint64 { return st.Drops[r.String()] }
	return dropin.Stats{
		Received: st.Received, Sent: st.Sent, Became: st.Became, Released: st.Released,
		Length: d(vrrp.ReasonLength) + d(vrrp.ReasonTruncated), TTL: d(vrrp.ReasonTTL), Type: d(vrrp.ReasonType),
		Interval: d(vrrp.ReasonInterval) + st.IntervalMismatch, Addresses: d(vrrp.ReasonAddressList) + st.AddressMismatch,
		AuthFailure: d(vrrp.ReasonAuth) + d(vrrp.ReasonICV) + d(vrrp.ReasonReplay), ZeroReceived: st.ZeroReceived, ZeroSent: st.ZeroSent,
	}
}

func (v viewer) group(g *keepalived.SyncGroup) (dropin.Group, bool) {
	name := v.cfg.Spoken.Name("vrrp_sync_group", g.Name)
	i := slices.IndexFunc(v.stats.Status.Groups, func(s vrrp.GroupStatus) bool { return s.Name == name && name != "" })
	if i < 0 {
		return dropin.Group{}, false
	}
	out := dropin.Group{Name: g.Name, State: spokenStates[v.stats.Status.Groups[i].State], Notify: map[string][]string{}, User: map[string]string{}}
	for _, m := range g.Members {
		out.Members = append(out.Members, m.V)
	}
	spokenNotify(g.Notify, out.Notify, out.User)
	return out, true
}

func (v viewer) script(s *keepalived.Script, f health.Facts) dropin.Script {
	or := func(o keepalived.Of[int]) int { return weightOr(o, 1) }
	every := time.Second
	if s.Interval.Set {
		every = s.Interval.V
	}
	return dropin.Script{Name: s.Name, Command: s.Command.V, Interval: every, Timeout: s.Timeout.V, Weight: s.Weight.V, Reverse: s.Reverse,
		Rise: or(s.Rise), Fall: or(s.Fall), Good: f.State == health.Up, Known: f.State != health.Unknown, User: ids(s.User),
		Tracking: v.tracking("script", s.Name, s.Weight.V, s.Reverse)}
}

// tracking lists the instances that track something.
func (v viewer) tracking(kind, name string, weight int, reverse bool) (out []dropin.Tracking) {
	for _, in := range v.file.Instances {
		for _, t := range in.Track {
			if t.Kind != kind || t.Name != name {
				continue
			}
			one := dropin.Tracking{Instance: in.Name, Weight: weight, Reverse: reverse}
			if t.Weight.Set {
				one.Weight, one.Reverse = t.Weight.V, t.Reverse
			}
			out = append(out, one)
		}
	}
	return out
}
