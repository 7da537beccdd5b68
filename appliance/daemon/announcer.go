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

// announcer is the lane that tells the neighbours where the addresses are: a
// garp.Schedule with a goroutine around it.
type announcer struct {
	sender claimSender
	log    *slog.Logger
	// workC holds 64 orders; each is a group's change of state, so the channel
	// fills only if sending hangs, and then the order has to wait.
	workC chan announcement
}

type announcement struct {
	withdraw bool
	group    string
	claims   []garp.Claim
}

func newAnnouncer(sender claimSender, log *slog.Logger) *announcer {
	return &announcer{sender: sender, log: log, workC: make(chan announcement, 64)}
}

func (a *announcer) announce(group string, addresses []identity.Address) {
	claims := make([]garp.Claim, 0, len(addresses))
	for _, x := range addresses {
		claims = append(claims, garp.Claim{Interface: x.Interface, Addr: x.Prefix.Addr()})
	}
	a.workC <- announcement{group: group, claims: claims}
}

func (a *announcer) withdraw(group string) {
	a.workC <- announcement{withdraw: true, group: group}
}

func (a *announcer) run(ctx context.Context) {
	defer a.sender.Close()
	s := garp.NewSchedule(garp.Config{})
	held := make(map[string][]garp.Claim)
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
		case w := <-a.workC:
			// A group's addresses may have changed: what it no longer has must
			// not be announced again.
			s.Withdraw(held[w.group])
			delete(held, w.group)
			if !w.withdraw {
				held[w.group] = w.claims
				s.Announce(time.Now(), w.claims)
			}
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
