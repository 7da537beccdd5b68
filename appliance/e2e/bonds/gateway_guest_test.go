//go:build guest

package bonds

import (
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"understudy/appliance"
	"understudy/appliance/control"
	"understudy/appliance/lab"
	"understudy/appliance/lab/guest"
)

// Priorities of the gateway with the aggregate, and of the other one.
const (
	priority  = 200
	priority2 = 190
)

// gateway is a node with the program on it.
type gateway struct {
	*lab.Node
	uplink   string
	priority uint8

	proc   *lab.Process
	client *control.Client
}

const config = `node = %q
guard = "off"

[[router]]
name = "lan"
interface = "lan0"
vrid = 51
priority = %[2]d
advertise = "500ms"
settle = "0s"
addresses = ["10.0.0.1/24"]
track = [%[4]s]

[[router]]
name = "wan"
interface = %[3]q
vrid = 52
priority = %[2]d
advertise = "500ms"
settle = "0s"
addresses = ["10.9.0.1/24"]

[[group]]
name = "gateway"
routers = ["lan", "wan"]

%[5]s
`

const (
	configFile = "/run/understudy.toml"
	socket     = "/run/understudy/control.sock"
)

// tracks is what a configuration has to say of the gateway's aggregate: what tracks it,
// and the keys of its [[bond]] but the name.
type tracks struct{ track, keys string }

// weigh tracks the aggregate with a weight for each member that is lost.
func (g *gateway) weigh(weight int) tracks {
	return tracks{track: fmt.Sprintf("bond:%s:%d", g.uplink, weight)}
}

func (g *gateway) write(is tracks) error {
	track, bond := "", ""
	if is.track != "" {
		track, bond = fmt.Sprintf("%q", is.track), fmt.Sprintf("[[bond]]\nname = %q\n%s", g.uplink, is.keys)
	}
	return g.WriteFile(configFile, fmt.Appendf(nil, config, g.Name, g.priority, g.uplink, track, bond), 0o644)
}

// starting is held while gateways start: an emulated machine can start two at a time,
// not a dozen.
var starting sync.Mutex

// start runs both gateways, and waits until they answer.
func (s *scene) start(is tracks) {
	s.t.Helper()
	starting.Lock()
	defer starting.Unlock()
	for _, g := range []*gateway{s.gw, s.gw2} {
		if g == s.gw2 {
			is = tracks{}
		}
		s.must(g.write(is))
		proc, err := g.StartWith(exec.Command(guest.Program, "run", "--config", configFile, "--control", socket))
		s.must(err)
		path, err := g.Path(socket)
		s.must(err)
		g.proc, g.client = proc, control.NewClient(path)
		t := s.t
		t.Cleanup(func() {
			g.client.Close()
			if err := proc.Stop(30 * time.Second); err != nil {
				t.Error(err)
			}
			if t.Failed() {
				t.Logf("%s said:\n%s", g.Name, proc.Output())
			}
		})
	}
	for _, g := range []*gateway{s.gw, s.gw2} {
		s.untilOf(g, g.Name+" to answer")
	}
}

// said is a line of the gateway's log about a finding that was raised.
type said struct {
	Time      time.Time
	Msg       string
	Interface string `json:"iface"`
	Finding   string
	Evidence  string
}

// found are the findings that were raised since then.
func (g *gateway) found(since time.Time) (all []said) {
	for line := range strings.Lines(g.proc.Output()) {
		var f said
		if strings.Contains(line, `"bond finding"`) && json.Unmarshal([]byte(line), &f) == nil && f.Time.After(since) {
			all = append(all, f)
		}
	}
	return all
}

// reload changes what the first gateway tracks.
func (s *scene) reload(is tracks) {
	s.t.Helper()
	s.must(s.gw.write(is))
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	for err := s.gw.client.Reload(ctx); err != nil; err = s.gw.client.Reload(ctx) { // a starved process may not answer in time
		s.t.Logf("reload: %v", err)
		if ctx.Err() != nil {
			s.t.Fatal("the configuration was not reloaded")
		}
		time.Sleep(time.Second)
	}
}

// patience is how long anything may take beyond the timers of LACP, of which the
// longest are a minute and a half. The machine is an emulated one.
const patience = 4 * time.Minute

// condition is something about a gateway's status.
type condition func(appliance.Status) error

// until waits until the first gateway's status meets every condition at once.
func (s *scene) until(what string, met ...condition) {
	s.t.Helper()
	s.untilOf(s.gw, what, met...)
}

func (s *scene) untilOf(g *gateway, what string, met ...condition) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var last appliance.Status
	var why error
	for {
		st, err := g.client.Status(ctx)
		for _, c := range met {
			if err == nil {
				err = c(st)
			}
		}
		if err == nil {
			return
		}
		if ctx.Err() == nil {
			last, why = st, err
		}
		select {
		case <-ctx.Done():
			s.t.Fatalf("waited for %s: %v\n%s is: %+v\n%+v", what, why, g.Name, last.Routers, last.Bonds)
		case <-time.After(200 * time.Millisecond):
		}
	}
}

// role is a condition: every router is in that state.
func role(state string) condition {
	return func(st appliance.Status) error {
		for _, r := range st.Routers {
			if r.State != state {
				return fmt.Errorf("router %s is %s: %s", r.Name, r.State, r.Reason)
			}
		}
		return nil
	}
}

// weighs is a condition: the routers' priority is that.
func weighs(priority uint8) condition {
	return func(st appliance.Status) error {
		for _, r := range st.Routers {
			if r.EffectivePriority != priority {
				return fmt.Errorf("router %s has priority %d", r.Name, r.EffectivePriority)
			}
		}
		return nil
	}
}

// aggregate is a condition: the aggregate is in that state, and so many members carry.
func aggregate(state string, carrying int) condition {
	return func(st appliance.Status) error {
		if len(st.Bonds) != 1 || st.Bonds[0].State != state || st.Bonds[0].Carrying != carrying {
			return fmt.Errorf("it is %+v", st.Bonds)
		}
		return nil
	}
}

// find returns the finding of that name about a member (empty: the aggregate).
func find(st appliance.Status, name, member string) (appliance.BondFinding, bool) {
	if len(st.Bonds) == 1 {
		for _, f := range st.Bonds[0].Findings {
			if f.Name == name && (member == "" || strings.HasPrefix(f.Detail, member+": ")) {
				return f, true
			}
		}
	}
	return appliance.BondFinding{}, false
}

// lasting are findings that stay for a while after their cause is gone.
var lasting = []string{"partner_changed", "flapping", "flood"}

// clean is a condition: there is no finding but those that are lasting.
func clean(st appliance.Status) error {
	if len(st.Bonds) != 1 {
		return fmt.Errorf("there are %d bonds", len(st.Bonds))
	}
	for _, f := range st.Bonds[0].Findings {
		if !slices.Contains(lasting, f.Name) {
			return fmt.Errorf("there is %+v", f)
		}
	}
	return nil
}
