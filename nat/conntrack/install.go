package conntrack

import "understudy/nat/session"

// InstallOptions says how entries are created. The zero value is strict, adds
// nothing to the timeouts, replaces and verifies.
type InstallOptions struct {
	// Liberal switches the TCP window check off for the entry. The kernel knows
	// no window of a flow it has not seen and refuses some packets at the switch
	// otherwise; Update can clear it later. Flows of unknown window scale get it
	// always ([WindowScaleKnown]).
	Liberal bool
	// Hold is the least timeout in seconds: a standby sees no packet that would
	// renew it. At least 1 s is given.
	Hold uint32
	// KeepLocal keeps an entry of this kernel that has the record's key but
	// another translation, and reports ErrClash. Else it is replaced: its
	// translation cannot be changed, so it is deleted and created.
	KeepLocal bool
	// NoVerify skips reading back the translation of each entry, which doubles
	// the price of its installation (measured: 3.6 us, with the echo 7.7, by
	// asking 9). For a bulk that a dump follows anyway: see InEffect.
	NoVerify bool
	// Spot verifies the first translation of each batch alone, once this kernel has
	// shown often enough that it does as it is told. If one turns out wrong, the whole
	// batch is verified, and everything after it: see [Kernel.Distrusted].
	Spot bool
}

// soundAfter is how many translations must have been right for a spot check to do.
const soundAfter = 256

// Install creates the entries of recs, in batches, and sets results[i] for each:
// nil, [ErrNotInstallable], [ErrClash], [ErrNotTranslated], [ErrTableFull] or an
// errno. results is as long as recs. An entry that is there already with the same
// translation is updated.
//
// A record whose translated tuple belongs to another flow is an ErrClash whatever
// the options: which of the two is right is for the caller to say ([Kernel.Holder]).
//
// The returned error is one of the socket; the results of what was under way and
// behind it are then that error too.
func (k *Kernel) Install(recs []session.Record, o InstallOptions, results []error) error {
	k.o = o
	for i := 0; i < len(recs); {
		k.begin()
		from := i
		for ; i < len(recs) && !k.full(); i++ {
			if results[i] = Installable(&recs[i]); results[i] == nil {
				k.appendCreate(recs, i)
			}
		}
		if err := k.install(recs, results); err != nil {
			fill(results[from:len(recs)], err)
			return err
		}
	}
	return nil
}

// install exchanges a batch of creates and settles what is left of it.
func (k *Kernel) install(recs []session.Record, results []error) error {
	var unseen, wrong, taken todo
	if err := k.exchange(recs); err != nil {
		return err
	}
	k.sortCreated(recs, results, &unseen, &wrong, &taken)
	if err := k.readBack(&unseen, recs, results, &wrong); err != nil {
		return err
	}
	if err := k.remove(&wrong); err != nil {
		return err
	}
	return k.settle(&taken, recs, results)
}

// appendCreate adds the create of record i. The kernel echoes what it made of a
// translated one, which is cheaper than to ask for it.
func (k *Kernel) appendCreate(recs []session.Record, i int) {
	seq := k.next(i)
	k.out = k.create(k.out, seq, &recs[i], &k.o)
	if !k.o.NoVerify && translated(&recs[i]) && (!k.o.Spot || k.sound < soundAfter || k.checked == 0) {
		addFlags(k.out, k.last, flagEcho)
		k.slots[k.n-1].check = true
		k.checked++
	}
}

// Distrusted tells whether a translation was ever found wrong: what was installed by
// spot checks before that may be wrong too.
func (k *Kernel) Distrusted() bool { return k.sound < 0 }

// todo is a list of at most a batch of records for a further round.
type todo struct {
	n    int
	item [MaxBatch]todoItem
}

type todoItem struct {
	index int
	// The kernel's entry, where the round needs it.
	key    session.Key
	id     uint32
	status session.Status
}

func (t *todo) add(it todoItem) { t.item[t.n] = it; t.n++ }

func (t *todo) items() []todoItem { return t.item[:t.n] }

func itemOf(s *slot) todoItem {
	return todoItem{index: s.index, key: s.entry.Key, id: s.entry.ID, status: s.entry.Status}
}

// sortCreated reads the answers to creates. unseen were created but not echoed
// (without nf_conntrack_events, or with 2 and no listener, nothing is), wrong are
// not translated as they should be, taken existed.
func (k *Kernel) sortCreated(recs []session.Record, results []error, unseen, wrong, taken *todo) {
	defer func() {
		if wrong.n > 0 {
			k.distrust(recs, unseen)
		}
	}()
	for i := range k.slots[:k.n] {
		s := &k.slots[i]
		r := &recs[s.index]
		results[s.index] = result(s.errno)
		switch {
		case results[s.index] == ErrClash:
			taken.add(todoItem{index: s.index})
		case s.errno != 0 || !s.check:
		case !s.found:
			unseen.add(todoItem{index: s.index})
		case !asWanted(r, &s.entry):
			results[s.index] = ErrNotTranslated
			wrong.add(itemOf(s))
		case k.sound >= 0 && k.sound < soundAfter:
			k.sound++
		}
	}
}

// distrust has those entries of the batch read back as well that were not to be
// verified.
func (k *Kernel) distrust(recs []session.Record, unseen *todo) {
	k.sound = -1
	for i := range k.slots[:k.n] {
		if s := &k.slots[i]; s.errno == 0 && !s.check && !k.o.NoVerify && translated(&recs[s.index]) {
			unseen.add(todoItem{index: s.index})
		}
	}
}

// InEffect tells of an entry as the kernel shows it whether the kernel translates
// as the entry's tuples look. The tuples alone prove nothing, the status bits
// make it happen.
func InEffect(entry *session.Record) bool {
	const nat = session.StatusSrcNAT | session.StatusDstNAT
	return entry.Status&nat == natStatus(entry)
}

// asWanted tells whether the kernel's entry is r's flow with r's translation.
func asWanted(r, entry *session.Record) bool {
	return sameBinding(r, entry) && InEffect(entry)
}

// readBack asks for entries that were created without an echo.
func (k *Kernel) readBack(list *todo, recs []session.Record, results []error, wrong *todo) error {
	if err := k.ask(list, recs); err != nil {
		return err
	}
	for i := range k.slots[:k.n] {
		s := &k.slots[i]
		switch {
		case !s.found:
			results[s.index] = result(s.errno)
		case !asWanted(&recs[s.index], &s.entry):
			results[s.index] = ErrNotTranslated
			wrong.add(itemOf(s))
		}
	}
	return nil
}

// ask exchanges a batch of gets for the records of the list.
func (k *Kernel) ask(list *todo, recs []session.Record) error {
	k.begin()
	for _, it := range list.items() {
		seq := k.next(it.index)
		k.out = AppendGet(k.out, seq, &recs[it.index].Key)
	}
	return k.exchange(nil)
}

// remove deletes the kernel's entries of the list, each only if it is still the
// same incarnation.
func (k *Kernel) remove(list *todo) error {
	k.begin()
	for _, it := range list.items() {
		seq := k.next(it.index)
		k.out = AppendDelete(k.out, seq, &it.key, it.id)
	}
	return k.exchange(nil)
}

// settle treats records whose create said EEXIST: the same flow is updated, the
// same flow with another translation replaced, the rest stays a clash.
func (k *Kernel) settle(taken *todo, recs []session.Record, results []error) error {
	if taken.n == 0 {
		return nil
	}
	if err := k.ask(taken, recs); err != nil {
		return err
	}
	var same, other todo
	for i := range k.slots[:k.n] {
		s := &k.slots[i]
		r := &recs[s.index]
		switch {
		case !s.found: // the translated tuple is another flow's
		case asWanted(r, &s.entry):
			same.add(itemOf(s))
		case !k.o.KeepLocal && (s.entry.Key == r.Key || s.entry.Key == inverse(&r.Key)):
			other.add(itemOf(s))
		}
	}
	if err := k.refresh(&same, recs, results); err != nil {
		return err
	}
	return k.replace(&other, recs, results)
}

// refresh updates entries that are there already.
func (k *Kernel) refresh(list *todo, recs []session.Record, results []error) error {
	u := UpdateOptions{Hold: k.o.Hold, Liberal: k.o.Liberal}
	k.begin()
	for _, it := range list.items() {
		r := recs[it.index]
		r.Status |= it.status // what is set cannot be cleared: EBUSY
		seq := k.next(it.index)
		k.out = AppendUpdate(k.out, seq, &r, &u)
	}
	return k.exchangeUpdates(recs, &u, results)
}

// replace deletes the kernel's entries of the list and creates the records'. An
// entry that was recreated by traffic in between is an ErrClash.
func (k *Kernel) replace(list *todo, recs []session.Record, results []error) error {
	if list.n == 0 {
		return nil
	}
	if err := k.remove(list); err != nil {
		return err
	}
	k.begin()
	for _, it := range list.items() {
		k.appendCreate(recs, it.index)
	}
	var unseen, wrong, taken todo
	if err := k.exchange(recs); err != nil {
		return err
	}
	k.sortCreated(recs, results, &unseen, &wrong, &taken)
	if err := k.readBack(&unseen, recs, results, &wrong); err != nil {
		return err
	}
	return k.remove(&wrong)
}

func fill(results []error, err error) {
	for i := range results {
		results[i] = err
	}
}
