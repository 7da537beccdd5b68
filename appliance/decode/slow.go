package decode

import (
	"fmt"

	"understudy/lacp"
)

// judgeSlow judges LACPDUs, Marker PDUs, and what comes in their place.
func judgeSlow(r *Result, e ethernet) {
	r.Protocol = LACP
	kind, reason := lacp.Classify(e.dst, e.etherType, e.body)
	if kind == lacp.SubtypeMarker && reason != lacp.ReasonEtherType {
		r.Protocol = Marker
	}
	if reason != lacp.ReasonEtherType && len(e.body) > 0 {
		r.Fields.add("subtype", uint8(kind))
	}
	switch {
	case reason == lacp.ReasonEtherType:
		r.refuseSlow(reason, fmt.Sprintf("EtherType 0x%04x: ", e.etherType))
	case reason == lacp.ReasonSubtype:
		r.refuseSlow(reason, fmt.Sprintf("subtype %d: ", kind))
	case r.Protocol == Marker:
		judgeMarker(r, e, reason)
	case kind == lacp.SubtypeLACP:
		judgeLACPDU(r, e, reason)
	default:
		r.refuseSlow(reason, "")
	}
	if r.Reason == "" && e.vlans != nil {
		r.note("tagged: 802.1AX sends these frames without a tag")
	}
}

func (r *Result) refuseSlow(reason lacp.Reason, figures string) {
	if reason != lacp.ReasonNone {
		r.Reason, r.Detail = reason.String(), figures+meaningLACP(reason)
	}
}

// judgeLACPDU reads the PDU even if the frame around it is refused already.
func judgeLACPDU(r *Result, e ethernet, reason lacp.Reason) {
	var p lacp.PDU
	inner := lacp.Parse(e.body, &p)
	if reason == lacp.ReasonNone {
		reason = inner
	}
	r.refuseSlow(reason, slowFigures(reason, e))
	if len(e.body) > 1 {
		r.Fields.add("version", p.Version)
	}
	if inner != lacp.ReasonNone {
		return
	}
	r.Fields.add("actor", infoFields(p.Actor))
	r.Fields.add("partner", infoFields(p.Partner))
	r.Fields.add("collector_max_delay", p.CollectorMaxDelay)
	if p.Version >= 2 {
		r.extensions(&p)
	}
	r.Summary = fmt.Sprintf("version %d, actor %s, partner %s", p.Version, infoText(p.Actor), infoText(p.Partner))
}

// extensions says what version 2 adds: the types of all TLVs, and what those that
// are known say.
func (r *Result) extensions(p *lacp.PDU) {
	types := []int{}
	for tlv := range p.TLVs() {
		types = append(types, int(tlv.Type))
	}
	r.Fields.add("extensions", types)
	if a, ok := p.Algorithm(); ok {
		r.Fields.add("port_algorithm", fmt.Sprintf("%02x-%02x-%02x-%02x", byte(a>>24), byte(a>>16), byte(a>>8), byte(a)))
	}
	if link, digest, ok := p.ConversationDigest(); ok {
		r.Fields.add("link_number", link)
		r.Fields.add("link_list_digest", fmt.Sprintf("%x", digest))
	}
	if digest, ok := p.ServiceMapping(); ok {
		r.Fields.add("service_mapping_digest", fmt.Sprintf("%x", digest))
	}
}

func slowFigures(reason lacp.Reason, e ethernet) string {
	switch reason {
	case lacp.ReasonTruncated:
		return fmt.Sprintf("%d octets after the EtherType: ", len(e.body))
	case lacp.ReasonDMAC:
		return fmt.Sprintf("%v: ", e.dst)
	}
	return ""
}

func infoFields(i lacp.Info) Fields {
	var bits Fields
	for _, b := range lacp.Bits() {
		bits.add(b.Name, i.State.Has(b.State))
	}
	return Fields{
		{"system_priority", i.SystemPriority}, {"system", i.System.String()}, {"key", i.Key},
		{"port_priority", i.PortPriority}, {"port", i.Port},
		{"state", fmt.Sprintf("0x%02x", uint8(i.State))}, {"state_bits", bits},
	}
}

func infoText(i lacp.Info) string {
	return fmt.Sprintf("%s key %d port %d 0x%02x", i.System, i.Key, i.Port, uint8(i.State))
}

func judgeMarker(r *Result, e ethernet, reason lacp.Reason) {
	m, inner := lacp.ParseMarker(e.body)
	if reason == lacp.ReasonNone {
		reason = inner
	}
	r.refuseSlow(reason, slowFigures(reason, e))
	if inner != lacp.ReasonNone {
		return
	}
	f := &r.Fields
	f.add("version", m.Version)
	f.add("tlv", uint8(m.Kind))
	f.add("requester_port", m.Port)
	f.add("requester_system", m.System.String())
	f.add("transaction_id", m.Transaction)
	kind := fmt.Sprintf("TLV %d", m.Kind)
	switch m.Kind {
	case lacp.MarkerInformation:
		kind = "information"
	case lacp.MarkerResponse:
		kind = "response"
	default:
		if reason == lacp.ReasonNone {
			r.note("neither information nor response: accepted, and answered by nobody")
		}
	}
	r.Summary = fmt.Sprintf("%s, transaction %d of %s port %d", kind, m.Transaction, m.System, m.Port)
}
