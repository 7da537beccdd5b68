package replica

import (
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// herald is what the kernel tells of a flow just once, as it begins, when it is not
// worth a record yet.
type herald struct {
	labels session.Labels
	helper session.Name
	master session.Key
}

// heralds bounds how many are remembered; what is beyond, the next dump tells.
const heralds = 4096

const heralded = conntrack.HasLabels | conntrack.HasHelper | conntrack.HasMaster

// remember keeps what an event says of a flow that is not replicated yet. Held: e.mu.
func (e *Engine) remember(ev *conntrack.Event, r *session.Record) {
	if ev.Has&heralded == 0 && len(e.heralds) == 0 {
		return
	}
	h := herald{r.Labels, r.Helper, r.Master}
	if h == (herald{}) {
		return
	}
	if _, known := e.heralds[r.Key]; known || len(e.heralds) < heralds {
		e.heralds[r.Key] = h
	}
}

// recall completes r, a flow that has no record, by what was told before. Held: e.mu.
func (e *Engine) recall(ev *conntrack.Event, r *session.Record) {
	if len(e.heralds) == 0 || ev.Kind == conntrack.Entry {
		return
	}
	h, ok := e.heralds[r.Key]
	if !ok {
		return
	}
	if ev.Has&conntrack.HasLabels == 0 {
		r.Labels = h.labels
	}
	if ev.Has&conntrack.HasHelper == 0 {
		r.Helper = h.helper
	}
	if ev.Has&conntrack.HasMaster == 0 {
		r.Master = h.master
	}
}

// forget drops what is remembered of a flow. Held: e.mu.
func (e *Engine) forget(k *session.Key) {
	if len(e.heralds) > 0 {
		delete(e.heralds, *k)
	}
}
