package decode

import (
	"bytes"
	"fmt"

	"understudy/garp"
)

func judgeARP(r *Result, e ethernet) {
	p, reason := garp.ParseARP(e.body)
	if reason == garp.ReasonType {
		r.Detail = "ARP, but not for IPv4 over Ethernet"
		return
	}
	r.Protocol = ARP
	f := &r.Fields
	if len(e.body) >= 8 {
		f.add("operation", uint16(p.Op))
	}
	if reason = shortIsLength(reason); reason == garp.ReasonLength {
		r.Reason, r.Detail = reason.String(), meaningARP(reason)
		return
	}
	form := ""
	switch p.Op {
	case garp.OpRequest:
		form = "request"
	case garp.OpReply:
		form = "reply"
	}
	f.add("form", form)
	f.add("gratuitous", p.IsGratuitous())
	f.add("probe", p.IsProbe())
	f.add("sender_mac", p.SenderMAC.String())
	f.add("sender", p.Sender)
	f.add("target_mac", p.TargetMAC.String())
	f.add("target", p.Target)
	if reason != garp.ReasonNone {
		r.Reason, r.Detail = reason.String(), meaningARP(reason)
	} else if [6]byte(p.SenderMAC) != [6]byte(e.src) {
		r.note("the frame comes from another MAC than it speaks of: a switch learns the place of that one")
	}
	switch {
	case p.IsProbe():
		r.Summary = fmt.Sprintf("probe: is %s free? asks %s", p.Target, p.SenderMAC)
	case p.IsGratuitous():
		r.Summary = fmt.Sprintf("gratuitous %s: %s is at %s", form, p.Sender, p.SenderMAC)
	case p.Op == garp.OpReply:
		r.Summary = fmt.Sprintf("reply: %s is at %s, to %s", p.Sender, p.SenderMAC, p.Target)
	case p.Op == garp.OpRequest:
		r.Summary = fmt.Sprintf("request: who has %s? asks %s at %s", p.Target, p.Sender, p.SenderMAC)
	default:
		r.Summary = fmt.Sprintf("operation %d", p.Op)
	}
}

func judgeNA(r *Result, e ethernet) {
	r.Protocol = NA
	p, reason := garp.ParseNA(e.body)
	readable := reason
	if reason == garp.ReasonHopLimit {
		// The verdict stands; what the packet says is worth showing.
		b := bytes.Clone(e.body)
		b[7] = 255
		p, readable = garp.ParseNA(b)
	}
	f := &r.Fields
	f.add("source", p.Source)
	f.add("destination", p.Destination)
	f.add("hop_limit", e.body[7])
	if reason != garp.ReasonNone {
		reason = shortIsLength(reason)
		r.Reason, r.Detail = reason.String(), meaningNA(reason)
		if reason == garp.ReasonHopLimit {
			r.Detail = fmt.Sprintf("Hop Limit %d, not 255: it may come from beyond the link", e.body[7])
		}
	}
	if readable != garp.ReasonNone {
		return
	}
	f.add("target", p.Target)
	f.add("router", p.Router)
	f.add("solicited", p.Solicited)
	f.add("override", p.Override)
	kind, at := "unsolicited", "the address it comes from"
	if p.Solicited {
		kind = "solicited"
	}
	if p.LinkAddr.IsZero() {
		f.add("link_address", nil)
		if reason == garp.ReasonNone && p.Destination.IsMulticast() {
			r.note("no target link-layer address: to a group it is mandatory (RFC 4861, 4.4)")
		}
	} else {
		at = p.LinkAddr.String()
		f.add("link_address", at)
	}
	r.Summary = fmt.Sprintf("%s: %s is at %s%s", kind, p.Target, at, flags(p))
	if reason == garp.ReasonNone && !p.Router {
		r.note("without the router flag: hosts drop a default route by way of the target")
	}
}

func flags(p garp.NA) string {
	text := ""
	if p.Router {
		text += ", router"
	}
	if p.Override {
		text += ", override"
	}
	return text
}
