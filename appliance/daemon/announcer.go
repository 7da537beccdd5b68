package daemon

import (
	"context"
	"log/slog"
	"time"

	"understudy/appliance/identity"
	"understudy/garp"
)

// claimSender puts announcements on the wire (garpnet.Sender).
type claimSender interface {
	SendAll([]garp.Claim) (int, error)
	Close() error
}

// announcer is the lane that tells the neighbours where the addresses are:
// announcements with a goroutine around them.
type announcer struct {
	sender claimSender
	log    *slog.Logger
	// workC holds 64 orders; each is a group's change of state or a hundred
	// addresses of one, so the channel fills only if sending hangs, and then the order
	// has to wait.
	workC chan announcement
	// paceC holds one: the paces of a configuration that has come into force.
	paceC chan map[garp.Claim]garp.Pace
}

func newAnnouncer(sender claimSender, log *slog.Logger) *announcer {
	return &announcer{sender: sender, log: log, workC: make(chan announcement, 64), paceC: make(chan map[garp.Claim]garp.Pace, 1)}
}

// announce tells of all addresses of the group.
func (a *announcer) announce(group string, addresses []identity.Address) {
	a.workC <- announcement{group: group, kind: whole, claims: claims(addresses)}
}

// begin tells of some of them; announce follows, or withdraw.
func (a *announcer) begin(group string, addresses []identity.Address) {
	a.workC <- announcement{group: group, kind: part, claims: claims(addresses)}
}

func (a *announcer) withdraw(group string) {
	a.workC <- announcement{group: group, kind: none}
}

// pace goes over to the paces of a configuration. Only the last one told counts.
func (a *announcer) pace(paces map[garp.Claim]garp.Pace) {
	for {
		select {
		case a.paceC <- paces:
			return
		default:
		}
		select {
		case <-a.paceC:
		default:
		}
	}
}

func claims(addresses []identity.Address) []garp.Claim {
	out := make([]garp.Claim, 0, len(addresses))
	for _, x := range addresses {
		if x.Prefix.Addr().IsMulticast() {
			continue // nobody asks who has it
		}
		out = append(out, garp.Claim{Interface: x.Interface, Addr: x.Prefix.Addr()})
	}
	return out
}

func (a *announcer) run(ctx context.Context) {
	defer a.sender.Close()
	s := newAnnouncements()
	due := make([]garp.Claim, 256)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for {
		if d := s.Deadline(); d.IsZero() {
			timer.Reset(time.Hour)
		} else {
			timer.Reset(max(0, time.Until(d)))
		}
		select {
		case <-ctx.Done():
			return
		case paces := <-a.paceC:
			s.repace(time.Now(), paces)
		case w := <-a.workC:
			// What it tells of is to go by what the configuration says, which was there first.
			select {
			case paces := <-a.paceC:
				s.repace(time.Now(), paces)
			default:
			}
			s.take(time.Now(), w)
		case <-timer.C:
		}
		for {
			n := s.Step(time.Now(), due)
			if n == 0 {
				break
			}
			if _, err := a.sender.SendAll(due[:n]); err != nil {
				a.log.Warn("announcing addresses", "err", err)
			}
		}
	}
}
