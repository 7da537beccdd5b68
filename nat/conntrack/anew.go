package conntrack

import "understudy/nat/session"

// Anew deletes the kernel's entry of a record and creates it again, in one system call:
// what an entry has once been given cannot be taken from it. Between the two are
// microseconds, in which a packet makes an entry of its own; that is ErrClash, as in
// [Kernel.Install] with KeepLocal, and else the result is as there.
func (k *Kernel) Anew(r *session.Record, o InstallOptions) error {
	recs, results := []session.Record{*r}, [1]error{Installable(r)}
	if results[0] != nil {
		return results[0]
	}
	k.o = o
	k.o.KeepLocal = true
	k.begin()
	seq := k.next(0)
	k.out = AppendDelete(k.out, seq, &r.Key, 0)
	k.appendCreate(recs, 0)
	if err := k.install(recs, results[:]); err != nil {
		return err
	}
	return results[0]
}
