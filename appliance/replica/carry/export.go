package carry

import (
	"errors"
	"fmt"
	"io"
	"time"

	"understudy/appliance/replica/journal"
	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// tries bounds how often a table is read that changes its shape meanwhile.
const tries = 5

// Export writes the connections that go through the kernel of the calling thread's
// namespace, and returns how many they are. The table is read once, at once; whoever reads
// w may be slow.
func Export(w io.Writer, node string) (n int, err error) {
	k, err := conntrack.OpenKernel()
	if err != nil {
		return 0, fmt.Errorf("carry: %w", err)
	}
	defer k.Close()
	self, err := journal.ThisKernel()
	if err != nil {
		return 0, fmt.Errorf("carry: %w", err)
	}
	here, err := readLocals()
	if err != nil {
		return 0, err
	}
	var out []byte
	for try := 1; ; try++ {
		out, n, err = dump(k, here, session.JournalHead{Node: node, Kernel: self})
		if !errors.Is(err, conntrack.ErrDumpInterrupted) || try == tries {
			break
		}
	}
	if err != nil {
		return 0, fmt.Errorf("carry: %w", err)
	}
	if _, err := w.Write(out); err != nil {
		return 0, fmt.Errorf("carry: %w", err)
	}
	return n, nil
}

// dump is the stream of the table as it is now.
func dump(k *conntrack.Kernel, here locals, head session.JournalHead) (out []byte, n int, err error) {
	if head.At, err = journal.StampOf(time.Now()); err != nil {
		return nil, 0, err
	}
	out = session.AppendJournalHead(nil, &head)
	recs := make([]session.Record, 0, conntrack.MaxBatch)
	flush := func() {
		if len(recs) > 0 {
			out = session.AppendExchange(out, head.At, recs)
			n, recs = n+len(recs), recs[:0]
		}
	}
	var r session.Record
	err = k.Dump(conntrack.Filter{}, func(ev *conntrack.Event) {
		if carried(ev, &r) && !here.end(&r) {
			if recs = append(recs, r); len(recs) == cap(recs) {
				flush()
			}
		}
	})
	flush()
	return session.AppendExchangeEnd(out), n, err
}
