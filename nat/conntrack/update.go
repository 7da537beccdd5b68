package conntrack

import (
	"golang.org/x/sys/unix"

	"understudy/nat/session"
)

// UpdateFields selects what an update changes.
type UpdateFields uint16

const (
	UpdateStatus     UpdateFields = 1 << iota // SEEN_REPLY and ASSURED; they can be set, never cleared
	UpdateTimeout                             // not GRE's: it is fixed
	UpdateTCPState                            // to any state, also backwards
	UpdateTCPOptions                          // window scales and flags
	UpdateSCTP
	UpdateMark
	UpdateSeqAdj
	UpdateLiberal // the window check alone, whatever the rest; part of UpdateTCPOptions
	UpdateLabels

	UpdateAll = UpdateStatus | UpdateTimeout | UpdateTCPState | UpdateTCPOptions | UpdateSCTP | UpdateMark | UpdateSeqAdj | UpdateLabels
)

// UpdateOptions says what an update changes.
type UpdateOptions struct {
	Fields  UpdateFields // 0: all
	Hold    uint32       // least timeout in seconds
	Liberal bool         // see InstallOptions
}

func (o *UpdateOptions) fields() UpdateFields {
	if o.Fields == 0 {
		return UpdateAll
	}
	return o.Fields
}

// Update changes entries that are known to be in the kernel, at 0.4 of the price
// of Install, and sets results[i]: nil, [ErrNotFound] or an errno. Translations
// stay as they are. results is as long as recs; the returned error is as
// Install's.
//
// A standby renews timeouts by UpdateTimeout alone. To an entry that this gateway
// forwards by send no protocol state, its kernel knows better: UpdateLiberal
// switches the window check of such an entry.
func (k *Kernel) Update(recs []session.Record, o UpdateOptions, results []error) error {
	for i := 0; i < len(recs); {
		k.begin()
		from := i
		for ; i < len(recs) && !k.full(); i++ {
			seq := k.next(i)
			k.out = AppendUpdate(k.out, seq, &recs[i], &o)
		}
		if err := k.exchangeUpdates(recs, &o, results); err != nil {
			fill(results[from:len(recs)], err)
			return err
		}
	}
	return nil
}

// exchangeUpdates exchanges a batch of updates. One that the kernel refuses for
// its status (EBUSY: it would clear a bit that only the kernel may), or for its labels
// (ENOSPC: no rule here uses any), is sent again without.
func (k *Kernel) exchangeUpdates(recs []session.Record, o *UpdateOptions, results []error) error {
	if err := k.exchange(nil); err != nil {
		return err
	}
	var busy todo
	for i := range k.slots[:k.n] {
		s := &k.slots[i]
		results[s.index] = result(s.errno)
		if s.errno == unix.EBUSY && o.fields()&UpdateStatus != 0 || s.errno == unix.ENOSPC && o.fields()&UpdateLabels != 0 {
			busy.add(todoItem{index: s.index})
		}
	}
	if busy.n == 0 {
		return nil
	}
	again := *o
	again.Fields = o.fields() &^ (UpdateStatus | UpdateLabels)
	k.begin()
	for _, it := range busy.items() {
		seq := k.next(it.index)
		k.out = AppendUpdate(k.out, seq, &recs[it.index], &again)
	}
	return k.exchangeUpdates(recs, &again, results)
}
