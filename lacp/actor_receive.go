package lacp

import "time"

// The Receive machine (802.1AX-2008, 5.4.12) and its functions (5.4.9).

// receive is "CtrlM:M_UNITDATA.indication(LACPDU)" in EXPIRED, DEFAULTED and
// CURRENT; in the other states nothing is listened to.
func (a *Actor) receive(now time.Time, p *port) {
	if p.receiver.state < PartnerExpired {
		return
	}
	a.noticeMove(p)
	a.updateSelected(p, a.pdu.Actor)
	p.updateNTT(a.pdu.Partner)
	p.recordPDU(&a.pdu)
	p.receiver.heard(now, p.actor.State)
	p.say(Expired, false)
}

// expire is the expiry of current_while_timer.
func (a *Actor) expire(now time.Time, p *port) {
	was := p.receiver.state
	if !p.receiver.tick(now) {
		return
	}
	if was == PartnerCurrent {
		a.becomeExpired(now, p)
	} else {
		a.becomeDefaulted(p)
	}
}

// becomeExpired enters EXPIRED.
func (a *Actor) becomeExpired(now time.Time, p *port) {
	p.receiver.enable(now)
	p.partner.State = p.partner.State&^Synchronization | Timeout
	p.say(Expired, true)
	p.ntt = true
}

// becomeDefaulted enters DEFAULTED.
func (a *Actor) becomeDefaulted(p *port) {
	a.updateSelected(p, a.adminPartner())
	a.recordDefault(p)
	p.say(Expired, false)
	p.ntt = true
}

// becomeDisabled enters PORT_DISABLED or LACP_DISABLED.
func (a *Actor) becomeDisabled(p *port, state Receive) {
	p.receiver.disable(state)
	p.partner.State &^= Synchronization
	p.selected = Unselected
	if state == LACPDisabled {
		a.recordDefault(p)
		p.partner.State &^= Aggregation
		p.say(Expired, false)
	}
}

// adminPartner is what is believed of a partner that does not speak. With Fallback
// it is one that is ready for a link of its own.
func (a *Actor) adminPartner() Info {
	if a.cfg.Fallback {
		return Info{State: Synchronization | Collecting | Distributing}
	}
	return Info{}
}

// recordDefault believes it.
func (a *Actor) recordDefault(p *port) {
	p.partner = a.adminPartner()
	p.say(Defaulted, true)
}

// recordPDU believes what the partner says. It is in sync only if what it is in sync
// with is this port, and the link will be kept alive.
func (p *port) recordPDU(pdu *PDU) {
	p.partner = pdu.Actor
	p.say(Defaulted, false)
	same := sameEnd(pdu.Partner, p.actor) && pdu.Partner.State.Has(Aggregation) == p.actor.State.Has(Aggregation)
	alive := pdu.Actor.State.Has(Activity) || p.actor.State.Has(Activity) && pdu.Partner.State.Has(Activity)
	if !(same || !pdu.Actor.State.Has(Aggregation)) || !alive {
		p.partner.State &^= Synchronization
	}
}

// updateSelected is update_Selected and update_Default_Selected: another partner is
// another link aggregation group.
func (a *Actor) updateSelected(p *port, now Info) {
	if !sameEnd(now, p.partner) || now.State.Has(Aggregation) != p.partner.State.Has(Aggregation) {
		p.selected = Unselected
	}
}

// updateNTT sends if the partner knows something else of us than is so.
func (p *port) updateNTT(view Info) {
	const told = Activity | Timeout | Synchronization | Aggregation
	if !sameEnd(view, p.actor) || view.State&told != p.actor.State&told {
		p.ntt = true
	}
}

// sameEnd compares all but the states.
func sameEnd(x, y Info) bool {
	x.State, y.State = 0, 0
	return x == y
}

// noticeMove is port_moved: a partner's port that another port of ours has lost the
// link to is at this one now.
func (a *Actor) noticeMove(p *port) {
	far := a.pdu.Actor
	for i := range a.ports {
		q := &a.ports[i]
		if q != p && q.receiver.state == PortDisabled && q.partner.System == far.System && q.partner.Port == far.Port {
			q.selected = Unselected
			a.recordDefault(q)
			q.say(Expired, false)
		}
	}
}
