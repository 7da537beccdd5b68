package session

import "time"

// records takes the records of a RECORDS frame. One that is malformed or has an
// unknown critical attribute is skipped and counted: its length stands in
// front. Only a length that leads out of the frame is an error.
func (r *Receiver) records(now time.Time, g int, b []byte) error {
	rd := reader{b: b}
	var rec Record
	for len(rd.b) > 0 {
		body := rd.bytes()
		if rd.bad {
			return ErrMalformed
		}
		r.expects = r.expects[:0]
		op, err := parseRecord(body, &rec, &r.expects, &r.stand)
		switch {
		case err == ErrCritical:
			r.stats.Unknown++
			if r.rx[g].excuse(known(&rec)); rec.Family != 0 {
				r.Refused(g, &rec, RefusedAttribute)
			}
		case err != nil:
			r.stats.Malformed++
			r.rx[g].excuse(nil)
		case op == OpDelete:
			r.delete(now, g, &rec)
		default:
			r.upsert(now, g, &rec)
		}
	}
	return nil
}

// known returns the key of a record that has an unknown critical attribute, nil if
// the record ended in its flags already.
func known(rec *Record) *Key {
	if rec.Family == 0 {
		return nil
	}
	return &rec.Key
}

// lateRecords takes sessions that this node does not know from the previous
// owner of a group. Of those it knows it knows better, and what ended there ends
// here by itself.
func (r *Receiver) lateRecords(now time.Time, typ Type, g int, b []byte) error {
	if typ != TypeRecords || !now.Before(r.late[g]) || !r.groups.list[g].Active {
		return nil
	}
	return r.adopt(now, g, b, &r.stats.Late)
}

// adopt takes those sessions of a frame that this node, the owner of group g,
// does not know, and counts them.
func (r *Receiver) adopt(now time.Time, g int, b []byte, count *uint64) error {
	rd := reader{b: b}
	var rec Record
	for len(rd.b) > 0 {
		r.expects = r.expects[:0]
		op, err := parseRecord(rd.bytes(), &rec, &r.expects, &r.stand)
		if rd.bad {
			return ErrMalformed
		}
		if err != nil || op != OpUpsert || r.table.knows(&rec.Key) && !r.table.rests(&rec.Key) || !rec.Installable() {
			continue
		}
		if !r.scope.Groups(&rec).Has(g) {
			continue
		}
		if s, _, err := r.table.Upsert(&rec, g, r.table.gen); err == nil {
			r.table.SetExpects(s, r.expects)
			r.table.SetStand(s, r.stand)
			r.table.Mark(s, ^Sinks(0), now)
			*count++
		}
	}
	return nil
}

func (r *Receiver) delete(now time.Time, g int, rec *Record) {
	if len(r.refusals.said) > 0 {
		delete(r.refusals.said, rec.Key)
	}
	if s, ok := r.table.Lookup(&rec.Key); ok && r.table.Group(s) == g {
		r.stats.Deletes++
		r.remove(s, now)
	}
}

// remove deletes a session here, and in the kernel if that was given it.
func (r *Receiver) remove(s Slot, now time.Time) {
	to := Sink(SinkDisk)
	if r.table.Installed(s) {
		to |= Sink(SinkKernel)
	}
	r.table.Delete(s, to, now)
}

func (r *Receiver) upsert(now time.Time, g int, rec *Record) {
	if !r.scope.Groups(rec).Has(g) {
		r.stats.Scope++
		r.rx[g].excuse(&rec.Key)
		r.Refused(g, rec, RefusedScope)
		return
	}
	s, ch, err := r.table.Upsert(rec, g, r.rx[g].gen)
	if err != nil {
		r.stats.Full++
		r.rx[g].excuse(&rec.Key)
		r.Refused(g, rec, RefusedTable)
		return
	}
	r.stats.Upserts++
	if ch&ChangeNew != 0 && r.rx[g].synced {
		r.hearing.births++
	}
	if len(r.refusals.said) > 0 {
		r.taken(g, rec)
	}
	if r.table.young > 0 {
		r.table.Mature(s) // a peer knows it
	}
	expects := len(r.expects)+len(r.table.expects) > 0 && r.table.SetExpects(s, r.expects)
	r.table.SetStand(s, r.stand)
	if ch&ChangeWire != 0 || expects {
		r.table.Mark(s, Sink(SinkDisk), now)
	}
	installed := r.table.Installed(s)
	switch {
	case rec.Installable() && (ch&ChangeKernel != 0 || expects || !installed),
		installed && (ch&ChangeBinding != 0 || !rec.Resumable()): // the kernel has an earlier incarnation
		r.table.Mark(s, Sink(SinkKernel), now)
	}
	if ch&ChangeBinding != 0 {
		r.table.SetInstalled(s, false) // what the kernel has is replaced
	}
}

// settle notes that the counted frame just handled is applied once the kernel
// has all that is queued now.
func (r *Receiver) settle() {
	pos := r.table.KernelQueue()
	if n := r.nsettling; n == settleMax || n > 0 && r.settling[n-1].pos == pos {
		// Together with the last one: later than it could be, never too early.
		r.settling[n-1] = settling{r.received, pos}
		return
	}
	r.settling[r.nsettling] = settling{r.received, pos}
	r.nsettling++
}

// Applied tells the receiver how far the kernel has come: the position of the
// last [Table.TakeKernel] whose work is done.
func (r *Receiver) Applied(position uint64) {
	n := 0
	for n < r.nsettling && r.settling[n].pos <= position {
		r.applied = r.settling[n].seq
		n++
	}
	copy(r.settling[:], r.settling[n:r.nsettling])
	r.nsettling -= n
}

// Reply appends what is due on the way back: hello, acknowledgement, pong,
// requests. It returns b unchanged if nothing is.
func (r *Receiver) Reply(b []byte) []byte {
	if !r.connected {
		return b
	}
	if !r.greeted {
		s := Sender{groups: r.groups, hello: r.hello}
		b = AppendHello(b, s.ownHello())
		r.greeted = true
	}
	if r.received != r.ackedR || r.applied != r.ackedA {
		b = appendAck(b, r.received, r.applied)
		r.ackedR, r.ackedA = r.received, r.applied
	}
	if r.pongDue {
		b = appendPong(b, r.pong)
		r.pongDue = false
	}
	b = askFor(b, &r.asks, 0)
	b = askFor(b, &r.keptAsks, markKept)
	b = r.askBuckets(b)
	b = r.tellRefusals(b)
	return r.tellInventory(r.appendLook(b))
}

func askFor(b []byte, asks *GroupSet, flags uint8) []byte {
	for i := 0; *asks != 0; i++ {
		if asks.Has(i) {
			*asks &^= 1 << uint(i)
			b = appendMark(b, TypeResync, mark{group: i, flags: flags})
		}
	}
	return b
}
