package daemon

import (
	"bytes"
	"cmp"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"understudy/appliance"
	"understudy/appliance/replica"
	"understudy/appliance/web/live"
	"understudy/nat/session"
)

// How a peer stands goes over the session link, as what `status --json` prints, packed.

// viewBytes bounds the status that a peer's view unpacks to.
const viewBytes = 4 << 20

// viewFresh is how old a view may be to be shown as how the peer stands: it is asked
// for each second.
const viewFresh = 6 * time.Second

// errLarge: a status that the link is not for.
var errLarge = errors.New("too large to be told")

// packView makes a view of a status.
func packView(s appliance.Status) ([]byte, error) {
	if s.Sessions != nil && s.Sessions.LastTakeover != nil { // flows are not told
		all := *s.Sessions
		last := *all.LastTakeover
		last.Lost, all.LastTakeover, s.Sessions = []appliance.LostFlow{}, &last, &all
	}
	text, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, flate.BestSpeed)
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if _, err := w.Write(text); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if len(text) > viewBytes || b.Len() > session.MaxView {
		return nil, fmt.Errorf("view: %w", errLarge)
	}
	return b.Bytes(), nil
}

// unpackView is the status in a view of the peer of that name, in our own form of it:
// what we do not know is left out, what is missing is present and empty.
func unpackView(peer string, view []byte) (json.RawMessage, error) {
	text, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(view)), viewBytes+1))
	if err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if len(text) > viewBytes {
		return nil, fmt.Errorf("view: %w", errLarge)
	}
	s := appliance.NewStatus()
	if err := json.Unmarshal(text, &s); err != nil {
		return nil, fmt.Errorf("view: %w", err)
	}
	if s.Node != peer {
		return nil, fmt.Errorf("view: of %.40q, who is %q", s.Node, peer)
	}
	present(&s)
	return json.Marshal(s)
}

// present has no array of the status be null, which one of another version may have.
func present(s *appliance.Status) {
	empty := appliance.NewStatus()
	s.Routers, s.Groups, s.Checks, s.Alarms = or(s.Routers, empty.Routers), or(s.Groups, empty.Groups), or(s.Checks, empty.Checks), or(s.Alarms, empty.Alarms)
	s.Bonds, s.NAT.Entries, s.Heartbeats = or(s.Bonds, empty.Bonds), or(s.NAT.Entries, empty.NAT.Entries), or(s.Heartbeats, empty.Heartbeats)
	s.Guard.Peers, s.Election.Lateness.Buckets = or(s.Guard.Peers, empty.Guard.Peers), or(s.Election.Lateness.Buckets, empty.Election.Lateness.Buckets)
	for i := range s.Routers {
		s.Routers[i].Addresses = or(s.Routers[i].Addresses, []string{})
	}
	if s.Sessions != nil {
		s.Sessions.Peers = or(s.Sessions.Peers, []appliance.PeerStatus{})
	}
}

func or[T any](s, other []T) []T {
	if s == nil {
		return other
	}
	return s
}

// View is how this node stands, for its peers.
func (n *node) View(ctx context.Context) ([]byte, error) {
	s, err := n.Status(ctx)
	if err != nil {
		return nil, err
	}
	return packView(s)
}

// Peers implements live.Source: what is known is returned, and what is new asked for.
func (l *looked) Peers(context.Context) []live.Peer {
	if l.sessions == nil {
		return nil
	}
	l.sessions.Look()
	now := time.Now()
	var out []live.Peer
	for _, v := range l.sessions.Views() {
		out = append(out, l.peer(&v, now))
	}
	slices.SortFunc(out, func(a, b live.Peer) int { return cmp.Compare(a.Name, b.Name) })
	return out
}

func (l *looked) peer(v *replica.View, now time.Time) live.Peer {
	p := live.Peer{Name: v.Peer}
	switch {
	case !v.Connected:
		p.Why = "no session link from it"
	case v.At.IsZero():
		p.Why = "it does not say how it stands"
	case now.Sub(v.At) > viewFresh:
		p.Why = "it has not said how it stands for a while"
	default:
		p.AgeSeconds = now.Sub(v.At).Seconds()
		status, err := unpackView(v.Peer, v.Bytes)
		if err != nil {
			l.log.Debug("a peer's view", "peer", v.Peer, "err", err)
			p.Why = "what it says of itself is not understood"
			break
		}
		p.Status = status
	}
	return p
}
