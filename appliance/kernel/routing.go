package kernel

import (
	"errors"
	"fmt"
	"slices"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"understudy/appliance/identity"
)

// ErrRouteTaken is in the Refusal of a route whose destination, table and metric a
// route of somebody else's has that does something else.
var ErrRouteTaken = errors.New("another route has its destination, table and metric")

// Waiting is a route that is not there because none of its links is.
type Waiting struct {
	Route identity.Route
	Why   string
}

// String is for a log line.
func (w Waiting) String() string { return "route " + w.Route.String() + ": " + w.Why }

// Refusal is a route or a rule that the kernel would not have.
type Refusal struct {
	What identity.Identity // one route, or one rule
	Err  error             // names it, and has the kernel's word
}

// routing reads the routes of ours, and all routing rules, of both families.
func (s *socket) routing() ([]route, []rule, error) {
	routes, err := bothFamilies(func(family uint8) ([]route, error) { return s.routes(family, RouteProtocol, 0) })
	if err != nil {
		return nil, nil, fmt.Errorf("kernel: reading routes: %w", err)
	}
	rules, err := bothFamilies(s.rules)
	if err != nil {
		return nil, nil, fmt.Errorf("kernel: reading routing rules: %w", err)
	}
	return routes, rules, nil
}

func bothFamilies[T any](read func(family uint8) ([]T, error)) (all []T, err error) {
	for _, family := range []uint8{unix.AF_INET, unix.AF_INET6} {
		some, err := read(family)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
	}
	return all, nil
}

// withdraw removes the rules and routes of ours that are not wanted. Before the
// addresses: nothing is to be routed by what is only half there.
func (a *Applier) withdraw(want identity.Identity) error {
	if a.bare {
		return nil
	}
	routes, rules, err := a.s.routing()
	if err != nil {
		return err
	}
	a.bare = len(routes) == 0 && !slices.ContainsFunc(rules, rule.ours)
	wanted := make(map[identity.RouteKey]bool, len(want.Routes))
	for _, r := range want.Routes {
		wanted[r.Key()] = true
	}
	return errors.Join(
		take(a.s, unwantedRules(rules, want.Rules)),
		take(a.s, unwantedRoutes(routes, wanted)))
}

// routingChange is a routeStep or a ruleChange.
type routingChange interface {
	message(flags int, seq uint32) []byte
	String() string
}

// take executes removals. What is gone already is no error.
func take[C routingChange](s *socket, changes []C) (err error) {
	each(s, changes, func(c C, verdict error) {
		if verdict != nil && !errors.Is(verdict, unix.ESRCH) && !errors.Is(verdict, unix.ENOENT) {
			err = errors.Join(err, fmt.Errorf("kernel: %s: cannot be removed: %w", c, verdict))
		}
	})
	return err
}

// each executes changes in batches, and tells the verdict on each.
func each[C routingChange](s *socket, changes []C, tell func(C, error)) {
	for batch := range slices.Chunk(changes, batchSize) {
		verdicts, err := execute(s, batch)
		for i, c := range batch {
			if err != nil {
				tell(c, err)
			} else {
				tell(c, verdicts[i])
			}
		}
	}
}

// provision is one attempt to have the wanted routes and rules there.
type provision struct {
	a      *Applier
	want   identity.Identity
	out    *Outcome
	served map[identity.RouteKey]bool // by somebody else's route that does the same
	failed map[string]error           // by what was tried, as text

	added struct {
		routes []identity.Route
		rules  []identity.Rule
	}
}

// provide adds the routes and rules that are wanted, and reads back. After the
// addresses: a route may need one as its source.
func (a *Applier) provide(want identity.Identity, out *Outcome) error {
	a.wantedRoutes = want.Routes
	if len(want.Routes)+len(want.Rules) == 0 {
		return nil
	}
	p := &provision{a: a, want: want, out: out, served: make(map[identity.RouteKey]bool), failed: make(map[string]error)}
	var routes []routeStep
	var rules []ruleChange
	// One round more than for addresses: the first is made without looking, on a
	// box that had nothing.
	for range rounds + 1 {
		var err error
		if routes, rules, err = p.plan(); err != nil {
			return err
		}
		if p.hopeless(routes, rules) {
			break
		}
		looked := !a.bare
		a.bare = false
		each(a.s, routes, func(c routeStep, verdict error) { p.routeDone(c, verdict, looked) })
		each(a.s, rules, p.ruleDone)
	}
	out.Added = out.Added.WithRoutes(p.added.routes...).WithRules(p.added.rules...)
	return p.unfinished(routes, rules)
}

// plan looks at the kernel and says what is left to do. The routes of a box that
// has none of ours need not be looked at, which is the case at a takeover: there
// may be a million others.
func (p *provision) plan() ([]routeStep, []ruleChange, error) {
	var routes []route
	var rules []rule
	var err error
	switch {
	case !p.a.bare:
		routes, rules, err = p.a.s.routing()
	case len(p.want.Rules) > 0:
		rules, err = bothFamilies(p.a.s.rules)
	}
	if err != nil {
		return nil, nil, err
	}
	look := p.a.s.looker()
	var wishes []wish
	p.out.Waiting = p.out.Waiting[:0]
	for _, r := range p.want.Routes {
		w := wishFor(r, look)
		if w.waits != "" {
			p.out.Waiting = append(p.out.Waiting, Waiting{r, w.waits})
		}
		if !p.served[r.Key()] {
			wishes = append(wishes, w)
		}
	}
	return planRoutes(routes, wishes), planRules(rules, p.want.Rules), nil
}

// looker asks the kernel about each link once.
func (s *socket) looker() lookLink {
	type state struct {
		index int
		up    bool
	}
	seen := make(map[string]state)
	return func(name string) (int, bool) {
		l, ok := seen[name]
		if !ok {
			// An error is as good as no link: there is nothing to be done with it.
			if n, err := s.index(name); err == nil {
				l.index = n
				l.up, _ = s.isUp(name)
			}
			seen[name] = l
		}
		return l.index, l.up
	}
}

// hopeless tells whether all that is left to do has been tried already.
func (p *provision) hopeless(routes []routeStep, rules []ruleChange) bool {
	return !slices.ContainsFunc(routes, func(c routeStep) bool { return p.failed[c.String()] == nil }) &&
		!slices.ContainsFunc(rules, func(c ruleChange) bool { return p.failed[c.String()] == nil })
}

func (p *provision) routeDone(c routeStep, verdict error, looked bool) {
	switch {
	case verdict == nil && !c.remove:
		p.added.routes = append(p.added.routes, c.wish.want)
	case verdict == nil, c.remove && errors.Is(verdict, unix.ESRCH):
	case !c.remove && errors.Is(verdict, unix.EEXIST) && !looked: // ours, perhaps: look
	case !c.remove && errors.Is(verdict, unix.EEXIST):
		p.taken(c)
	default:
		p.failed[c.String()] = verdict
	}
}

// taken finds the route that is there in place of ours.
func (p *provision) taken(c routeStep) {
	all, err := p.a.s.routes(familyOf(c.To.Addr()), 0, c.Table)
	if err != nil {
		p.failed[c.String()] = err
		return
	}
	for _, r := range all {
		switch {
		case r.Key() != c.Key() || r.TOS != c.TOS || r.protocol == RouteProtocol:
		case c.wish.met(r):
			p.served[c.Key()] = true
			return
		default:
			p.failed[c.String()] = fmt.Errorf("%w (%s, of protocol %s); give one of them another metric",
				ErrRouteTaken, p.a.s.named(r), netlink.RouteProtocol(r.protocol))
			return
		}
	}
}

func (p *provision) ruleDone(c ruleChange, verdict error) {
	switch {
	case verdict == nil && !c.remove:
		p.added.rules = append(p.added.rules, c.Rule)
	case verdict == nil, c.remove && errors.Is(verdict, unix.ENOENT):
	case !c.remove && errors.Is(verdict, unix.EEXIST): // the next round sees whose it is
	default:
		p.failed[c.String()] = verdict
	}
}

// unfinished notes what could not be added, in the end, and returns what does not go
// away.
func (p *provision) unfinished(routes []routeStep, rules []ruleChange) error {
	var errs []error
	stays := func(what string) {
		err := p.failed[what]
		if err == nil {
			err = errors.New("does not go away")
		}
		errs = append(errs, fmt.Errorf("kernel: %s: %w", what, err))
	}
	refused := func(id identity.Identity, what string, hint func(error) string) {
		err := p.failed[what]
		if err == nil {
			err = errors.New("added, but gone again")
		}
		p.out.Refused = append(p.out.Refused, Refusal{id, fmt.Errorf("%s: %w%s", what, err, hint(err))})
	}
	for _, c := range routes {
		if c.remove {
			stays(c.String())
			continue
		}
		refused(identity.Identity{}.WithRoutes(c.wish.want), c.String(), c.hint)
	}
	for _, c := range rules {
		if c.remove {
			stays(c.String())
			continue
		}
		refused(identity.Identity{}.WithRules(c.Rule), c.String(), func(error) string { return "" })
	}
	return errors.Join(errs...)
}

// hint says what the kernel's terse answer may mean.
func (c routeStep) hint(err error) string {
	switch {
	case errors.Is(err, unix.ENETUNREACH), errors.Is(err, unix.EHOSTUNREACH):
		return " (the gateway is in no network of the interface)"
	case errors.Is(err, unix.EINVAL) && c.Source.IsValid():
		return " (is " + c.Source.String() + " an address of this node?)"
	}
	return ""
}

// String is what is tried, for an error.
func (c routeStep) String() string {
	if c.remove {
		return "removing route " + c.route.text(nil)
	}
	return "route " + c.wish.want.String()
}

// String is what is tried, for an error.
func (c ruleChange) String() string {
	if c.remove {
		return "removing rule " + c.Rule.String()
	}
	return "rule " + c.Rule.String()
}

// named is the route with the names of its interfaces.
func (s *socket) named(r route) string {
	names := make(map[int]string)
	if links, err := s.links(); err == nil {
		for i, l := range links {
			names[i] = l.Name
		}
	}
	return r.text(names)
}

// with returns the route as an identity has it.
func (r route) with(names map[int]string) identity.Route {
	out := r.Route
	for _, h := range r.hops {
		out.Hops = append(out.Hops, identity.Hop{Via: h.via, Interface: names[h.index], Weight: h.weight, Onlink: h.onlink, Encap: h.encap})
	}
	return out
}

func (r route) text(names map[int]string) string { return r.with(names).String() }

// routingRemovals are the messages that remove the rules and routes of an
// identity, whatever has become of them.
func routingRemovals(id identity.Identity) (changes []routingChange) {
	for _, r := range id.Rules {
		changes = append(changes, ruleChange{remove: true, Rule: r})
	}
	for _, r := range id.Routes {
		changes = append(changes, routeStep{routeChange: routeChange{remove: true, route: route{Route: r}}})
	}
	return changes
}

// UsesLink tells whether a route that the last Apply wanted leads by the
// interface: it comes and goes with it.
func (a *Applier) UsesLink(name string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.wantedRoutes, func(r identity.Route) bool { return r.Uses(name) })
}

// WantsRoute tells whether the last Apply wanted a route with that key.
func (a *Applier) WantsRoute(key identity.RouteKey) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.ContainsFunc(a.wantedRoutes, func(r identity.Route) bool { return r.Key() == key })
}

// CleanRouting removes every routing rule and route with our mark, and returns
// how many of each there were.
func (a *Applier) CleanRouting() (rules, routes int, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bare, a.wantedRoutes = false, nil
	for round := range rounds {
		haveRoutes, haveRules, err := a.s.routing()
		if err != nil {
			return rules, routes, err
		}
		takeRules, takeRoutes := unwantedRules(haveRules, nil), unwantedRoutes(haveRoutes, nil)
		if len(takeRules)+len(takeRoutes) == 0 {
			return rules, routes, nil
		}
		if round == 0 {
			rules, routes = len(takeRules), len(takeRoutes)
		}
		if err := errors.Join(take(a.s, takeRules), take(a.s, takeRoutes)); err != nil {
			return rules, routes, err
		}
	}
	return rules, routes, errors.New("kernel: routes or rules with our mark keep coming back")
}
