package carry

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"

	"understudy/nat/conntrack"
	"understudy/nat/session"
)

// Hold is what an imported connection has to live at least, until its first packet: the
// addresses come some time after it.
const Hold = 2 * time.Minute

var (
	// ErrSameTable: what is to be imported was exported here.
	ErrSameTable = errors.New("these are the connections of this machine itself: export them on the other one")
	// ErrCutOff: the end of the stream is missing. What came of it has been imported.
	ErrCutOff = errors.New("the stream was cut off: there may be more connections than came")
	// ErrFormat: it is no stream of connections, or one of a version that this one cannot read.
	ErrFormat = errors.New("no stream of connections that this version can read (it is what understudy sessions export writes)")
)

// locals are the addresses of this machine.
type locals map[session.Addr]bool

func readLocals() (locals, error) {
	list, err := net.InterfaceAddrs()
	if err != nil {
		return nil, fmt.Errorf("carry: addresses of this machine: %w", err)
	}
	out := locals{}
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out[session.AddrFrom(ip)] = true
			}
		}
	}
	return out, nil
}

// end tells whether a connection ends at this machine: it asks, or is who answers. One
// that is only translated to one of its addresses, or from one, does not.
func (l locals) end(r *session.Record) bool { return l[r.Src] || l[r.ReplySrc] }

// carried makes of an entry what another kernel can go on with; false: nothing can.
func carried(ev *conntrack.Event, r *session.Record) bool {
	if ev.Has&conntrack.HasTupleZone != 0 || !ev.Rec.Replicable() {
		return false
	}
	*r = ev.Rec
	r.Status &^= session.StatusOffload | session.StatusHWOffload // of this kernel's flowtables
	return true
}
