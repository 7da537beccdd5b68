package daemon

import (
	"log/slog"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/appliance/config"
	"understudy/garp"
	"understudy/garp/ranet"
	"understudy/vrrp"
	"understudy/vrrp/election"
)

// newSpeaker returns the lane of router advertisements. Before each of them it looks
// at the board: a daemon that was asleep may not know yet that it is Active no more
// (RFC 9568 6.4.2: a Backup sends none).
func newSpeaker(board *election.Board, log *slog.Logger) *ranet.Speaker {
	return ranet.New(ranet.Config{Logger: log, Active: func(group string) bool {
		p, ok := board.Read(group, time.Now())
		return ok && p.State == vrrp.Active
	}})
}

// advertise tells the lane what the configuration wants to be said.
func (n *node) advertise(cfg *config.Config) {
	n.speaker.Configure(advertising(cfg), func(name string) bool {
		return slices.ContainsFunc(cfg.Routers, func(r config.Router) bool { return r.Name == name && r.Family == 6 })
	})
}

func advertising(cfg *config.Config) (out []ranet.Router) {
	for _, r := range cfg.Routers {
		if r.RA == nil {
			continue
		}
		s := ranet.Router{Name: r.Name, Group: cfg.GroupOf(r.Name).Name, Interface: r.Interface,
			Source: r.Addresses[0].Addr(), Params: *r.RA}
		if r.MAC == config.MACVirtual {
			s.MAC = garp.MAC(vrrp.VirtualMAC(r.Family, r.VRID))
		}
		out = append(out, s)
	}
	return out
}

// advertisedInterfaces are those on which we are the router.
func advertisedInterfaces(cfg *config.Config) (out []string) {
	for _, r := range advertising(cfg) {
		if !slices.Contains(out, r.Interface) {
			out = append(out, r.Interface)
		}
	}
	return out
}

// raStatus is null for a router that does not advertise.
func raStatus(r config.Router, stats map[string]ranet.Stats) *appliance.RAStatus {
	if r.RA == nil {
		return nil
	}
	s := stats[r.Name]
	return &appliance.RAStatus{Sent: s.Sent, Failed: s.Failed, Solicited: s.Solicited, LastError: s.LastError}
}
