package carry

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"golang.org/x/sys/unix"

	"understudy/appliance/replica/journal"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Outcome is what an import did.
type Outcome struct {
	From      string // the machine that exported
	Installed int    // connections that this kernel has now, as they were there
	Kept      int    // that it had already, and knows better
	Ends      int    // that end at this machine
	Refused   map[string]int
}

// Left is how many connections this kernel does not have.
func (o *Outcome) Left() (n int) {
	for _, c := range o.Refused {
		n += c
	}
	return n
}

func (o *Outcome) refuse(why string, n int) {
	if n == 0 {
		return
	}
	if o.Refused == nil {
		o.Refused = map[string]int{}
	}
	o.Refused[why] += n
}

// Import has the kernel of the calling thread's namespace take the connections that r has.
// What it has in their place is replaced: a machine that forwards nothing has it of an
// earlier life. keep: it forwards already, and knows better. The Outcome is true also with
// an error, up to there.
func Import(r io.Reader, keep bool) (o Outcome, err error) {
	k, err := conntrack.OpenKernel()
	if err != nil {
		return o, fmt.Errorf("carry: %w", err)
	}
	defer k.Close()
	in := importer{out: &o, k: k, keep: keep}
	if in.here, err = readLocals(); err != nil {
		return o, err
	}
	if keep {
		in.known = map[session.Key]struct{}{}
		if err := k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) { in.known[ev.Rec.Key] = struct{}{} }); err != nil && !errors.Is(err, conntrack.ErrDumpInterrupted) {
			return o, fmt.Errorf("carry: %w", err)
		}
	}
	err = in.read(r)
	err = errors.Join(err, in.children())
	if err != nil {
		return o, fmt.Errorf("carry: %w", err)
	}
	return o, nil
}

type importer struct {
	out   *Outcome
	k     *conntrack.Kernel
	keep  bool
	here  locals
	known map[session.Key]struct{} // with keep

	recs     []session.Record
	expected []session.Record // by others
}

// read takes the stream to its end.
func (in *importer) read(r io.Reader) error {
	typ, body, err := frame(r)
	if err != nil || typ != session.FrameHead {
		return ErrFormat
	}
	head, err := session.ParseJournalHead(body)
	if err != nil {
		return ErrFormat
	}
	self, err := journal.ThisKernel()
	if err != nil {
		return err
	}
	if in.out.From = head.Node; head.Kernel == self {
		return ErrSameTable
	}
	for {
		switch typ, body, err := frame(r); {
		case err != nil:
			return err
		case typ == session.FrameComplete:
			return in.flush()
		case typ != session.FrameRecords:
			return ErrFormat
		default:
			var failed error
			bad, err := session.Exchanged(body, func(rec *session.Record) { failed = errors.Join(failed, in.take(rec)) })
			in.out.refuse("of a form that this version does not know", bad)
			if err != nil || failed != nil {
				return errors.Join(err, failed)
			}
		}
	}
}

// frame reads the next one. Its length is bounded before it is believed.
func frame(r io.Reader) (session.JournalFrame, []byte, error) {
	b := make([]byte, session.JournalHeaderLen)
	if _, err := io.ReadFull(r, b); err != nil {
		return 0, nil, ErrCutOff
	}
	n, err := session.JournalLength(b)
	if err != nil {
		return 0, nil, ErrFormat
	}
	b = append(b, make([]byte, n-len(b))...)
	if _, err := io.ReadFull(r, b[session.JournalHeaderLen:]); err != nil {
		return 0, nil, ErrCutOff
	}
	typ, body, err := session.ParseJournal(b)
	if err != nil {
		return 0, nil, ErrFormat
	}
	return typ, body, nil
}

// take has the record installed, with others.
func (in *importer) take(r *session.Record) error {
	_, known := in.known[r.Key]
	switch {
	case in.here.end(r):
		in.out.Ends++
	case known:
		in.out.Kept++
	case r.Master.Family != 0:
		in.expected = append(in.expected, *r)
	default:
		if in.recs = append(in.recs, *r); len(in.recs) == conntrack.MaxBatch {
			return in.flush()
		}
	}
	return nil
}

// children installs what others expected: their masters are there now, or will not come.
// Those that were expected by one that was itself expected come last.
func (in *importer) children() error {
	keys := make(map[session.Key]bool, len(in.expected))
	for i := range in.expected {
		keys[in.expected[i].Key] = true
	}
	second := func(r session.Record) bool { return keys[r.Master] }
	last := slices.DeleteFunc(slices.Clone(in.expected), func(r session.Record) bool { return !second(r) })
	return errors.Join(in.all(slices.DeleteFunc(in.expected, second)), in.all(last))
}

func (in *importer) flush() error {
	err := in.all(in.recs)
	in.recs = in.recs[:0]
	return err
}

// all installs recs. An error is one of the socket.
func (in *importer) all(recs []session.Record) error {
	results := make([]error, len(recs))
	o := conntrack.InstallOptions{Liberal: true, Hold: uint32(Hold.Seconds()), KeepLocal: in.keep, Spot: true}
	if err := in.k.Install(recs, o, results); err != nil {
		return err
	}
	for i, err := range results {
		if err != nil {
			err = in.again(&recs[i], o, err)
		}
		if err == nil {
			in.out.Installed++
			continue
		}
		in.out.refuse(err.Error(), 1)
	}
	return nil
}

// again tries what may do where the kernel has refused a connection: without what it lacks
// for it, or in place of one of an earlier life that is in the way.
func (in *importer) again(r *session.Record, o conntrack.InstallOptions, refused error) error {
	bare := *r
	switch {
	case refused == conntrack.ErrNotFound && r.Master.Family != 0:
		bare.Master = session.Key{}
	case refused == unix.EOPNOTSUPP && r.Helper != (session.Name{}):
		bare.Helper = session.Name{}
	case refused == conntrack.ErrClash && !in.keep:
		other, err := in.k.Holder(r)
		if err != nil {
			return refused
		}
		var gone [1]error
		if err := in.k.Delete([]session.Key{other.Key}, gone[:]); err != nil {
			return err
		}
	default:
		return refused
	}
	var res [1]error
	if err := in.k.Install([]session.Record{bare}, o, res[:]); err != nil {
		return err
	}
	return res[0]
}
