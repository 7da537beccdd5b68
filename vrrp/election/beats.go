package election

import (
	"crypto/rand"
	"encoding/binary"
	"net/netip"
	"slices"
	"time"

	"understudy/vrrp"
	"understudy/vrrp/vrrpnet"
	"understudy/vrrp/witness"
)

// beats is the second witness: heartbeats to and from the election processes of
// the peers, on the network of the sessions, and what is concluded from them.
type beats struct {
	guard     *witness.Guard
	socket    *vrrpnet.Paths // nil: there are no peers, or it could not be opened
	to        [][]vrrpnet.Destination
	neighbour witness.Neighbour // the daemon's last word
	packet    []byte
	retry     time.Time // when to open the socket again
	failed    bool
	sendErrs  []uint64 // by peer
}

// beatBound is how many heartbeats are read before the timers get their turn.
const beatBound = 64

// openRetry is how long to wait before a socket is tried again.
const openRetry = time.Second

func newBeats() (beats, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return beats{}, err
	}
	// Off until the daemon has told who the peers are.
	guard := witness.NewGuard(witness.Config{Mode: witness.ModeOff}, max(1, binary.BigEndian.Uint64(b[:])))
	return beats{guard: guard, packet: make([]byte, 0, witness.MaxSize)}, nil
}

// onGuard goes over to what the daemon says of peers and keys. The same once more
// changes nothing.
func (l *loop) onGuard(c witness.Config) {
	old := l.guard.Config()
	if equalConfig(old, c) {
		return
	}
	l.guard.Configure(c)
	l.sendErrs = make([]uint64, len(c.Peers))
	if old.Listen != c.Listen || !slices.Equal(old.Also, c.Also) || !slices.EqualFunc(old.Peers, c.Peers, sameAddress) || c.Mode == witness.ModeOff {
		l.closeBeats()
		l.failed = false
	}
	l.openBeats()
}

func equalConfig(a, b witness.Config) bool {
	return a.Node == b.Node && a.Mode == b.Mode && a.Listen == b.Listen && slices.Equal(a.Also, b.Also) && a.Key == b.Key &&
		slices.EqualFunc(a.Peers, b.Peers, func(x, y witness.Peer) bool {
			return x.Name == y.Name && sameAddress(x, y) && slices.Equal(x.Keys, y.Keys)
		})
}

func sameAddress(a, b witness.Peer) bool {
	return a.Address == b.Address && slices.Equal(a.Also, b.Also)
}

func (l *loop) openBeats() {
	l.retry = time.Time{}
	c := l.guard.Config()
	if l.socket != nil || c.Mode == witness.ModeOff || !c.Listen.IsValid() || len(c.Peers) == 0 {
		return
	}
	socket, to, err := openSocket(c)
	if err != nil {
		if !l.failed { // once, not with each try
			l.log.Warn("no heartbeats", "error", err)
		}
		l.failed, l.retry = true, l.now.Add(openRetry)
		return
	}
	l.socket, l.to, l.failed = socket, to, false
}

func openSocket(c witness.Config) (*vrrpnet.Paths, [][]vrrpnet.Destination, error) {
	to := make([][]vrrpnet.Destination, len(c.Peers))
	for i, p := range c.Peers {
		for _, a := range append([]netip.AddrPort{p.Address}, p.Also...) {
			d, err := vrrpnet.NewDestination(a)
			if err != nil {
				return nil, nil, err
			}
			to[i] = append(to[i], d)
		}
	}
	socket, err := vrrpnet.OpenPaths(append([]netip.AddrPort{c.Listen}, c.Also...)...)
	return socket, to, err
}

func (l *loop) closeBeats() {
	if l.socket != nil {
		l.socket.Close()
		l.socket = nil
	}
}

// receiveBeats reads what the peers say: before an expired timer is believed, as
// with adverts.
func (l *loop) receiveBeats() {
	for n := 0; l.socket != nil && l.set != nil && n < beatBound; n++ {
		b, at, ok := l.socket.Receive(l.now)
		if !ok {
			return
		}
		l.guard.Receive(l.now, at, b)
		for i := range l.guard.Said() {
			if group, term, news := l.guard.Term(i, l.set); news {
				l.board.Heard(group, term)
				l.step(vrrp.SetInput{Kind: vrrp.InTerm, Group: l.groups[group].name, Term: term})
			}
			if in, ok := l.guard.Vouch(i); ok {
				l.step(in)
			}
		}
	}
}

// beat sends what is due, and judges. It is the last thing of a turn, so that
// what the turn has changed is in it.
func (l *loop) beat() {
	if l.set == nil {
		return
	}
	if expired(l.retry, l.now) {
		l.openBeats()
	}
	if l.guard.Due(l.now) && l.socket != nil {
		l.guard.SetNeighbour(l.seen())
		for peer := range l.to {
			l.beatTo(peer)
		}
	}
	before := l.guard.Findings()
	changed, again := l.guard.Judge(l.now, l.set)
	for _, group := range again {
		l.log.Info("another node was active too: announcing again", "group", group)
		l.tell(Reclaim{Group: group})
	}
	if changed {
		l.logFindings(before)
		l.tell(l.findings())
	}
}

func (l *loop) beatTo(peer int) {
	for n, more := 0, true; more && n < witness.MaxBeats; n++ {
		l.beats.packet, more = l.guard.Append(l.now, peer, l.set, l.beats.packet[:0])
		sent := false
		for path := range l.to[peer] {
			sent = l.socket.Send(path, &l.to[peer][path], l.beats.packet) == nil || sent
		}
		if !sent {
			l.sendErrs[peer]++
		}
	}
}

// seen is what the daemon's check says of the neighbour, as long as the daemon is
// there to say it.
func (l *loop) seen() witness.Neighbour {
	if !l.responsive(l.now) {
		return witness.NeighbourUnknown
	}
	return l.neighbour
}

// logFindings tells what begins and what is over: the daemon may not be there to
// do it.
func (l *loop) logFindings(before []witness.Finding) {
	same := func(a witness.Finding) func(witness.Finding) bool {
		return func(b witness.Finding) bool {
			return a.Kind == b.Kind && a.Group == b.Group && a.Peer == b.Peer && a.Since.Equal(b.Since)
		}
	}
	now := l.guard.Findings()
	for _, f := range now {
		if !slices.ContainsFunc(before, same(f)) {
			l.log.Warn("guard", "alarm", string(f.Kind), "group", f.Group, "peer", f.Peer, "detail", f.Detail)
		}
	}
	for _, f := range before {
		if !slices.ContainsFunc(now, same(f)) {
			l.log.Info("guard: over", "alarm", string(f.Kind), "group", f.Group, "peer", f.Peer, "lasted", l.now.Sub(f.Since))
		}
	}
}

func (l *loop) findings() Found { return Found{Findings: l.guard.Findings()} }
