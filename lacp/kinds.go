package lacp

import "time"

// What is seen for a moment while a link comes up is no finding. These are longer
// than two ends that are well need.
const (
	linkSettle = ShortTimeout     // an end whose link has just come up is EXPIRED by rule
	noPartner  = 2 * ShortTimeout // both ends have given up waiting
	bothJoined = 5 * time.Second  // AggregateWait on both sides, and a PDU each
	lasting    = 2 * time.Second  // no matter of one PDU
)

// kinds has what there is to know of each kind but how it is seen (see rules.go).
var kinds = [numKinds]struct {
	name     string
	severity Severity
	raise    time.Duration // it has to last that long to be believed
	settle   time.Duration // and the link has to be up for that long (of the bond: or to have carried)
	clear    time.Duration // it has to be gone that long to be over
	meaning  string
	advice   string
}{
	KindLinkDown: {"link_down", SeverityWarning, 0, 0, 0,
		"the member has no carrier, or the driver's own monitor (MII, ARP) calls it down",
		"look at the cable, the transceiver and the port at the other end"},
	KindLoopback: {"loopback", SeverityCritical, 0, 0, lasting,
		"our own PDUs come back: the link leads to this machine, or the far end reflects what it gets",
		"look for a loop plug, a port in loopback mode, or a cable between two ports of this machine"},
	KindPassiveBoth: {"passive_both", SeverityCritical, 0, noPartner, lasting,
		"neither end begins to speak LACP, so no aggregate can form",
		"make one end active (Linux: lacp_active on; switches: mode active)"},
	KindExpired: {"expired", SeverityCritical, 0, 0, 0,
		"the far end was heard, and is silent now for as long as our timeout allows; the link carries nothing",
		"see whether the far end still runs LACP on this port and whether frames get through (counters of both ports)"},
	KindDefaulted: {"defaulted", SeverityCritical, 0, noPartner, 0,
		"the link is up, and nobody at its other end speaks LACP",
		"configure the far end's port for LACP, in the port channel of the other members; a converter or a bridge between may swallow the frames"},
	KindPartnerExpired: {"partner_expired", SeverityCritical, 0, linkSettle, lasting,
		"the far end says that it has not heard us in time",
		"our PDUs do not arrive: look at our direction of the link (optics, one fibre of the pair, errors at the far port)"},
	KindPartnerDefaulted: {"partner_defaulted", SeverityCritical, 0, linkSettle, lasting,
		"the far end says that it does not hear us and goes by its configuration",
		"our PDUs do not arrive or are not sent: look at our direction of the link, and whether LACP is active here"},
	KindUnidirectional: {"unidirectional", SeverityCritical, 10 * time.Second, 0, lasting,
		"the link works in one direction only, or its two directions go to different ports",
		"exchange the cable or the transceivers, and see that both fibres of the pair go to the same port"},
	KindIndividual: {"individual_link", SeverityWarning, lasting, 0, lasting,
		"one end says that the link cannot be aggregated",
		"put the port into the port channel at the end that says so; half duplex does this, too"},
	KindOtherSystem: {"different_partner_system", SeverityCritical, lasting, 0, lasting,
		"this member leads to another system than the others: a cable is in the wrong switch, or two switches that should be one pair (MLAG) are not",
		"plug the cable where the others are, or mend the pair at the far end"},
	KindOtherKey: {"different_partner_key", SeverityWarning, lasting, 0, lasting,
		"this member leads to the right system, but to another of its aggregates",
		"put the far end's port into the same port channel as the others; ports of different speed have different keys, too"},
	KindSplit: {"aggregator_split", SeverityWarning, bothJoined, 0, lasting,
		"the driver has put this member into another aggregator than the one that carries",
		"see the other findings of this member; all members need the same partner, keys, speed and duplex"},
	KindNotCollecting: {"sync_but_not_collecting", SeverityWarning, bothJoined, 0, lasting,
		"the far end says that the link is in its aggregate, and does not take frames from it",
		"the far end is stuck or holds the aggregate down: look at its port channel (minimum links, a failed line card), and take the port down and up there"},
	KindNotDistributing: {"not_distributing", SeverityWarning, bothJoined, 0, lasting,
		"both ends take frames from the link, and one of them does not put any on it",
		"take the port down and up at the end that does not distribute"},
	KindStandby: {"standby", SeverityInfo, bothJoined, 0, lasting,
		"the far end does not take this link into its aggregate for now",
		"nothing, if the far end allows fewer links than there are; else see whether its port channel has all ports"},
	KindActorChurn: {"actor_churned", SeverityWarning, ChurnDetection, 0, 0,
		"for a minute our end has not found an aggregate for the link (actor churn)",
		"see the other findings of this member, and the log of the bonding driver"},
	KindPartnerChurn: {"partner_churned", SeverityWarning, ChurnDetection, 0, 0,
		"for a minute the far end has not found an aggregate for the link (partner churn)",
		"look at the far end's port channel: its ports need the same key, speed and duplex"},
	KindTimeoutMismatch: {"timeout_mismatch", SeverityInfo, lasting, 0, lasting,
		"one end asks for a PDU each second, the other one each 30 s. It is allowed; the slow end notices a silent partner after 90 s only",
		"set the same rate on both ends, fast where a failure has to be seen soon (Linux: lacp_rate fast)"},
	KindPartnerChanged: {"partner_changed", SeverityInfo, 0, 0, 5 * time.Minute,
		"the system at the other end is another one than before",
		"nothing, if a cable was moved or the far end's pair of switches has changed roles"},
	KindSpeedMismatch: {"speed_mismatch", SeverityWarning, bothJoined, 0, lasting,
		"members run at different speed or duplex, which LACP does not aggregate",
		"see what the slower port negotiates, and with what cable"},
	KindFlapping: {"flapping", SeverityWarning, 0, 0, time.Minute,
		"the link, or what it belongs to, has changed again and again within a minute",
		"take the member out of use until its cable, transceiver or far port has been changed"},
	KindFlood: {"flood", SeverityWarning, 0, 0, bothJoined,
		"more Slow Protocols frames come than any conformant system sends",
		"find out who sends them: a loop, a broken switch, or somebody with access to the link"},
	KindBelowMinLinks: {"below_min_links", SeverityCritical, 0, noPartner, 0,
		"fewer members carry traffic than min_links asks for",
		"mend the members that do not carry: see their findings"},
	KindAtMinLinks: {"at_min_links", SeverityWarning, lasting, 0, 0,
		"members are lost, and hardly one more may be",
		"mend the members that do not carry: see their findings"},
	KindBondDown: {"bond_down", SeverityCritical, 0, noPartner, 0,
		"enough members would carry, and the bond itself has no carrier",
		"see whether the bond is up and what its own min_links is; active-backup: whether it has an active member"},
}
